"""Mixtures give exactly the counts they promise, and their account adds up."""

import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.data.mixtures import Cap, largest_remainder, mix, token_length
from paribus.errors import ConfigError, DataError
from paribus.records import Example, Message

LANGUAGES = ("en", "fr", "hi")


def rows(name: str, count: int, dataset: str = "") -> list[Example]:
    return [
        Example(
            id=f"{name}{number}",
            language=LANGUAGES[number % 3],
            source=dataset,
            messages=(Message(role="user", content="q"), Message(role="assistant", content="a" * (number + 1))),
        )
        for number in range(count)
    ]


def letters(row: Example) -> int:
    return len(row.answer)


def plain_ids(mixed: list[Example], source: str) -> list[str]:
    return [row.id.split("/")[1].split("#")[0] for row in mixed if row.id.startswith(source + "/")]


@st.composite
def mixtures(draw):
    sizes = draw(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 25), min_size=1))
    sources = {name: rows(name, size) for name, size in sizes.items()}
    by = draw(st.sampled_from(["source", "language"]))
    # A cap on sources can leave nothing of a language, of which nothing can then be asked.
    cells = st.sampled_from([("source", "language"), (by,), ("source", "language", "task")])
    caps = draw(st.lists(st.builds(Cap, st.integers(1, 30), cells), max_size=2))
    options = {"caps": caps, "seed": draw(st.integers(0, 9)), "by": by}
    kind = draw(st.sampled_from(["all", "weights", "temperature"]))
    if kind != "all":
        options |= {"total": draw(st.integers(1, 100)), "repeat": True}
    if kind == "temperature":
        options["temperature"] = draw(st.sampled_from([0.01, 0.5, 1, 3, math.inf]))
    if kind == "weights":
        found = sources if by == "source" else sorted({row.language for own in sources.values() for row in own})
        options["weights"] = {name: draw(st.floats(0.1, 9)) for name in found}
    return sources, options


@settings(max_examples=40, deadline=None)
@given(mixtures())
def test_the_account_is_exact(case):
    sources, options = case
    mixed, report = mix(sources, length=letters, **options)
    total = report.total
    assert total.rows == len(mixed) == options.get("total", total.available)
    assert total.offered == sum(map(len, sources.values()))
    assert total.tokens == sum(map(letters, mixed))
    assert len({row.id for row in mixed}) == len(mixed)
    for name, share in report.by_source.items():
        ids = plain_ids(mixed, name)
        copies = Counter(ids)
        assert (share.rows, share.distinct, share.offered) == (len(ids), len(copies), len(sources[name]))
        assert set(ids) <= {row.id for row in sources[name]}
        assert share.epochs * share.available == pytest.approx(len(ids))
    for code, share in report.by_language.items():
        assert share.rows == sum(row.language == code for row in mixed)
        assert share.tokens == sum(letters(row) for row in mixed if row.language == code)


@settings(max_examples=40, deadline=None)
@given(mixtures())
def test_no_row_is_drawn_twice_before_every_row_of_its_group_is_drawn_once(case):
    sources, options = case
    mixed, report = mix(sources, **options)
    groups = report.by_source if options["by"] == "source" else report.by_language
    copies: dict[str, Counter] = {}
    for row in mixed:
        group = row.id.split("/")[0] if options["by"] == "source" else row.language
        copies.setdefault(group, Counter())[row.id.split("#")[0]] += 1
    for name, counts in copies.items():
        spread = [*counts.values(), *([0] * (groups[name].available - len(counts)))]
        assert max(spread) - min(spread) <= 1


@settings(max_examples=40, deadline=None)
@given(mixtures(), st.randoms())
def test_a_mixture_is_a_pure_function_of_its_arguments(case, random):
    sources, options = case
    shuffled = {name: random.sample(own, len(own)) for name, own in sources.items()}
    mixed, _ = mix(sources, **options)
    assert mixed == mix(sources, **options)[0]
    # The order that a source's rows come in is no argument.
    assert mixed == mix(shuffled, **options)[0]


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any), st.integers(0, 5000))
def test_largest_remainders_add_up_and_stay_within_one(weights, total):
    shares = [Fraction(weight, sum(weights)) for weight in weights]
    counts = largest_remainder(shares, total)
    assert sum(counts) == total
    assert all(abs(count - share * total) < 1 for count, share in zip(counts, shares, strict=True))
    assert all(count == 0 for count, weight in zip(counts, weights, strict=True) if weight == 0)


def test_weights_by_hand():
    sources = {"a": rows("a", 10), "b": rows("b", 10), "c": rows("c", 10)}
    _, report = mix(sources, total=10, weights={"a": 1, "b": 1, "c": 1})
    assert [share.rows for share in report.by_source.values()] == [4, 3, 3]
    _, report = mix(sources, total=8, weights={"a": 0.5, "b": 0, "c": 0.25})
    assert [share.rows for share in report.by_source.values()] == [5, 0, 3]


@pytest.mark.parametrize(
    ("temperature", "counts"), [(1, [90, 9, 1]), (2, [70, 22, 8]), (math.inf, [34, 33, 33]), (0.001, [100, 0, 0])]
)
def test_temperatures_by_hand(temperature, counts):
    """At 2: the roots of 90, 9, 1 are 70.34, 22.24, 7.41 in a hundred, and the largest remainder is the last's."""
    sources = {"a": rows("a", 90), "b": rows("b", 9), "c": rows("c", 1)}
    _, report = mix(sources, total=100, temperature=temperature, repeat=True)
    assert [share.rows for share in report.by_source.values()] == counts


def test_shares_by_language_run_over_all_sources():
    sources = {"a": rows("a", 30), "b": rows("b", 60)}
    _, report = mix(sources, total=40, weights={"en": 2, "fr": 1, "hi": 1}, by="language")
    assert {code: share.rows for code, share in report.by_language.items()} == {"en": 20, "fr": 10, "hi": 10}


def test_epochs_are_told_and_copies_named():
    mixed, report = mix({"a": rows("a", 4), "b": rows("b", 10)}, total=20, weights={"a": 1, "b": 1}, repeat=True)
    assert report.by_source["a"].epochs == 2.5
    assert report.by_source["b"].epochs == 1
    assert Counter(row.id[4:] for row in mixed if row.id.startswith("a/")) == {"": 4, "#2": 4, "#3": 2}


def test_caps_apply_in_order_to_their_cells():
    sources = {"a": rows("a", 30, "x") + rows("b", 3, "y"), "b": rows("c", 6)}
    mixed, report = mix(sources, caps=[Cap(5, per=("source", "dataset")), Cap(7)])
    assert {name: share.rows for name, share in report.by_source.items()} == {"a": 7, "b": 5}
    datasets = Counter(row.source for row in mixed if row.id.startswith("a/"))
    assert datasets["x"] <= 5 and datasets["y"] <= 3 and datasets.total() == 7
    assert report.total.offered == 39 and report.total.available == report.total.rows == 12
    assert {row.source for row in mixed if row.id.startswith("b/")} == {"b"}


def test_a_tighter_cap_or_another_source_leaves_the_rest_as_it_was():
    """Arms that differ in one thing share all the rows they can."""
    a, b = rows("a", 50), rows("b", 50)
    wide = {row.id for row in mix({"a": a, "b": b}, caps=[Cap(30)])[0]}
    tight = {row.id for row in mix({"a": a, "b": b}, caps=[Cap(10)])[0]}
    alone = {row.id for row in mix({"a": a}, total=20, weights={"a": 1})[0]}
    assert tight < wide
    assert alone < {row for row in wide if row.startswith("a/")}
    other = {row.id for row in mix({"a": a}, total=20, weights={"a": 1}, seed=1)[0]}
    assert other != alone


def test_draws_are_even_over_seeds():
    """Each of 10 rows is drawn about 3 times in 10: within five standard deviations of a binomial."""
    counts = Counter(
        row.id for seed in range(400) for row in mix({"a": rows("a", 10)}, total=3, weights={"a": 1}, seed=seed)[0]
    )
    spread = 5 * math.sqrt(400 * 0.3 * 0.7)
    assert len(counts) == 10
    assert all(abs(count - 120) < spread for count in counts.values())


def test_tokens_are_those_of_the_chat_template(tokenizer):
    from paribus.data.chat import encode

    mixed, report = mix({"a": rows("a", 3)}, total=5, weights={"a": 1}, repeat=True, length=token_length(tokenizer))
    assert report.total.tokens == sum(len(encode(tokenizer, row.messages)) for row in mixed)


def test_the_account_as_plain_values():
    _, report = mix({"a": rows("a", 3)}, total=2, weights={"a": 1})
    plain = report.as_dict()
    assert plain["by_source"]["a"] == {
        "offered": 3, "available": 3, "rows": 2, "distinct": 2, "tokens": None, "epochs": pytest.approx(2 / 3),
    }  # fmt: skip
    assert sum(cell["rows"] for cell in plain["cells"]) == plain["total"]["rows"] == 2


@pytest.mark.parametrize(
    ("sources", "options", "error", "message"),
    [
        ({}, {}, DataError, "nothing to mix"),
        ({"a": []}, {}, DataError, "nothing to mix"),
        ({"a": rows("a", 2) + rows("a", 1)}, {}, DataError, "source 'a' the id 'a0' stands twice"),
        ({"a": rows("a", 2)}, {"total": 3, "weights": {"a": 1}}, DataError, "'a' has 2, and 3 are asked.*repeat=True"),
        (
            {"a": rows("a", 2), "b": []},
            {"total": 3, "weights": {"a": 1, "b": 1}, "repeat": True},
            DataError,
            "a group that has none",
        ),
        (
            {"a": rows("a", 3)},
            {"total": 3, "weights": {"en": 1, "fr": 1, "hi": 1}, "by": "language", "caps": [Cap(2)], "repeat": True},
            DataError,
            "a group that has none",
        ),
        ({"a": rows("b/c", 1), "a/b": rows("c", 1)}, {}, DataError, "rename a source"),
        ({"a": rows("a", 2)}, {"total": 3}, ConfigError, "a total needs weights or a temperature"),
        ({"a": rows("a", 2)}, {"weights": {"a": 1}}, ConfigError, "these need a total"),
        ({"a": rows("a", 2)}, {"weights": {"a": 1}, "temperature": 1, "total": 1}, ConfigError, "not both"),
        ({"a": rows("a", 2)}, {"total": 1, "weights": {"b": 1}}, ConfigError, "Weights are for b, the groups are a"),
        ({"a": rows("a", 2)}, {"total": 1, "weights": {"a": -1}}, ConfigError, "numbers from 0 up"),
        ({"a": rows("a", 2)}, {"total": 1, "weights": {"a": 0}}, ConfigError, "not all 0"),
        ({"a": rows("a", 2)}, {"total": 1, "weights": {"a": math.nan}}, ConfigError, "numbers from 0 up"),
        ({"a": rows("a", 2)}, {"total": 1, "temperature": 0}, ConfigError, "temperature=0 cannot be used"),
        ({"a": rows("a", 2)}, {"total": 0, "temperature": 1}, ConfigError, "total=0 cannot be drawn"),
    ],
)
def test_what_cannot_be_mixed_is_refused(sources, options, error, message):
    with pytest.raises(error, match=message):
        mix(sources, **options)


@pytest.mark.parametrize("arguments", [(0,), (3, ())])
def test_useless_caps_are_refused(arguments):
    with pytest.raises(ConfigError, match="give most >= 1 and at least one field"):
        Cap(*arguments)
