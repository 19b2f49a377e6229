"""Numbers on the page: one way to write each kind."""

import pytest

from paribus.report.formatting import (
    currency_name,
    decimals_of,
    difference_unit,
    show,
    show_bare,
    show_cost,
    show_estimate,
    show_interval,
    show_p,
    show_plain,
    show_ratio,
    show_seconds,
    unit_of,
)

MINUS, NARROW, HARD = "\N{MINUS SIGN}", "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.6123, "share", "61.2%"),
        (1.0, "share", "100.0%"),
        (0.0531, "points", f"+5.3{NARROW}pp"),
        (-0.0531, "points", f"{MINUS}5.3{NARROW}pp"),
        (0.0, "points", f"0.0{NARROW}pp"),
        (-0.0001, "points", f"0.0{NARROW}pp"),
        (1234.6, "number", "1,235"),
        (12.345, "number", "12.3"),
        (0.98765, "number", "0.988"),
        (3.0, "number", "3"),
        (0.00012345, "number", f"1.23{NARROW}×{NARROW}10⁻⁴"),
        (-2.5, "change", f"{MINUS}2.50"),
        (2.5, "change", "+2.50"),
        (2.6e14, "flops", "260 TFLOP"),
        (4_200_000.0, "count", "4.20 M"),
        (None, "share", "–"),
        (float("-inf"), "change", f"{MINUS}∞"),
        (float("nan"), "number", "–"),
    ],
)
def test_show(value: float | None, unit: str, text: str) -> None:
    assert show(value, unit) == text


def test_intervals_are_low_and_high_in_the_unit_of_their_value() -> None:
    assert show_interval(0.021, 0.084, "points") == f"[+2.1,{HARD}+8.4]"
    assert show_interval(0.58, 0.641, "share") == f"[58.0,{HARD}64.1]"
    assert show_interval(None, None, "share") == "–"


def test_a_rounded_zero_has_no_sign() -> None:
    assert show_bare(-0.00001, "share") == "0.0"
    assert show_bare(0.0, "change") == "0"


@pytest.mark.parametrize(
    ("text", "values", "unit"),
    [
        ("exact_match", [0.2, 0.8], "share"),
        ("win rate against base", [0.5], "share"),
        ("gain in accuracy", [0.02, 0.1], "points"),
        ("accuracy", [-0.02, 0.1], "points"),
        ("accuracy", [54.0, 61.0], "number"),
        ("accuracy (%)", [0.5, 0.6], "number"),
        ("KL to SFT", [0.1, 0.4], "number"),
        ("length drift", [0.1, 2.0], "change"),
        ("moving window", [0.1], "number"),
        ("generated text", [0.1], "number"),
        ("training FLOP", [1e14], "flops"),
        ("tokens", [2e6], "count"),
        ("reply length, tokens", [18.0], "number"),
        ("accuracy", [], "number"),
        ("accuracy", [None, 0.4], "share"),
    ],
)
def test_units_are_inferred_from_names_and_ranges(text: str, values: list[float | None], unit: str) -> None:
    assert unit_of(text, values) == unit


def test_differences_of_shares_are_percentage_points() -> None:
    assert difference_unit("share") == "points"
    assert difference_unit("number") == "change"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.84, "0.8 s"), (42.4, "42 s"), (192, "3 min 12 s"), (19_200, "5 h 20 min"), (400_000, "4.6 days")],
)
def test_durations(seconds: float, text: str) -> None:
    assert show_seconds(seconds) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (1.8145, 1.8062, 1.8228, f"1.815 [1.806,{HARD}1.823]"),
        (-0.0009, -0.0148, 0.0123, f"{MINUS}0.001 [{MINUS}0.015,{HARD}+0.012]"),
        (24.02, 23.9, 24.2, f"24.02 [23.90,{HARD}24.20]"),
        (1234.0, 1100.0, 1400.0, f"1,234 [1,100,{HARD}1,400]"),
        (2.0, 2.0, 2.0, f"2 [2,{HARD}2]"),
    ],
)
def test_numbers_have_the_decimals_that_their_interval_is_worth(
    value: float, low: float, high: float, shown: str
) -> None:
    assert " ".join(show_estimate(value, low, high, "change" if value < 0 else "number")) == shown


def test_a_column_has_the_decimals_of_its_median_interval() -> None:
    assert decimals_of([(1.0, 1.02), (1.0, 1.03), (1.0, 9.0), (None, None)]) == 3
    assert decimals_of([(1.0, 1.0), (None, None)]) is None
    assert show_estimate(0.5, 0.4, 0.6, "share", 7) == ("50.0%", f"[40.0,{HARD}60.0]")


@pytest.mark.parametrize(
    ("currency", "amount", "name"),
    [
        ("body_flops", "260 TFLOP", "Compute without output layer"),
        ("router_flops", "260 TFLOP", "Router FLOPs"),
        ("kv_bytes", "260 TB", "Kv bytes"),
        ("gpu_seconds", "3009259259.3 days", "Gpu seconds"),
        ("prompts", "260 T", "Prompts"),
    ],
)
def test_a_new_currency_is_shown_by_the_word_in_its_name(currency: str, amount: str, name: str) -> None:
    assert (show_cost(currency, 2.6e14), currency_name(currency)) == (amount, name)


def test_costs_by_currency() -> None:
    assert show_cost("flops", 1.23e15) == "1.23 PFLOP"
    assert show_cost("generated_tokens", 12_345_678) == "12.3 M"
    assert show_cost("calls", 0) == "0"
    assert show_cost("seconds", 61) == "1 min 1 s"
    assert currency_name("generated_tokens") == "Generated tokens"


def test_p_values_and_ratios() -> None:
    assert [show_p(p) for p in (0.0002, 0.0134, 0.214, 1.0)] == [f"<{HARD}0.001", "0.013", "0.21", "1.00"]
    assert [show_ratio(r) for r in (1.0, 0.954, 12.34, None)] == ["×1.00", "×0.95", "×12.3", "–"]


def test_stored_values_keep_six_digits() -> None:
    assert show_plain(4_200_000) == "4,200,000"
    assert show_plain(3e-4) == "0.0003"
    assert show_plain(0.123456789) == "0.123457"
    assert show_plain(True) == "yes"
    assert show_plain([0, 1, 2]) == "0, 1, 2"
    assert show_plain(None) == "–"
    assert show_plain(float("inf")) == "inf"
    assert show_plain({"kind": "reward", "k": 4}) == "kind reward, k 4"
