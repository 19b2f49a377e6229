"""How numbers are written everywhere: one minus sign, thousands separators, two or three significant digits.

Units: ``share`` (0.612 -> 61.2%), ``points`` (0.053 -> +5.3 pp), ``number``, ``change`` (a number with its sign), and
for amounts ``flops``, ``seconds`` and ``count`` (12.3 M). Records carry no units, so ``unit_of`` infers them by the
rule it states.
"""

import math
import re
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Literal

Unit = Literal["share", "points", "number", "change", "flops", "seconds", "count"]

MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
MISSING = "\N{EN DASH}"
NO_BREAK = "\N{NO-BREAK SPACE}"
NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"

_SHARE_WORDS = re.compile(
    r"accura|\bexact|\brates?\b|\bshares?\b|\bwins?\b|agreement|\bcorrect|\bpass(ed)?\b|\bparsed\b|fraction|probabilit|proportion"
    r"|\brecall\b|\bprecision\b",
    re.I,
)
_CHANGE_WORDS = re.compile(r"differ|\bgain|minus|\bchange|delta|drift|\bgap|\bdrop", re.I)
_ALREADY_PERCENT = re.compile(r"%|\bpp\b|percent", re.I)
_AMOUNTS: tuple[tuple[Unit, re.Pattern[str]], ...] = (
    ("flops", re.compile(r"flop", re.I)),
    ("seconds", re.compile(r"\bseconds?\b", re.I)),
    ("count", re.compile(r"\btokens\b|\bparameters\b|\btargets\b|\bcalls\b", re.I)),
)
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_PREFIXES = ((1e24, "Y"), (1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_COUNT_PREFIXES = ((1e15, "Q"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def unit_of(text: str, values: Iterable[float | None]) -> Unit:
    """The unit of ``values`` that ``text`` (a measure's name, or a panel's title and axis titles) speaks of.

    Shares are values in [0, 1] under a name with a word for a rate (accuracy, win rate, share, agreement ...).
    Names that speak of a difference, or negative values in [-1, 1], turn a share into percentage points. Names with
    FLOP or seconds, and large numbers of tokens, parameters, targets or calls, are amounts.
    """
    text = text.replace("_", " ").replace("-", " ")
    known = [value for value in values if value is not None]
    is_change = bool(_CHANGE_WORDS.search(text))
    for amount, words in _AMOUNTS:
        if words.search(text) and not is_change and (amount != "count" or max(known, default=0.0) >= 10_000):
            return amount
    bounded = all(-1.0 <= value <= 1.0 for value in known)
    if not known or not bounded or not _SHARE_WORDS.search(text) or _ALREADY_PERCENT.search(text):
        return "change" if is_change else "number"
    return "points" if is_change or min(known) < 0 else "share"


def difference_unit(unit: Unit) -> Unit:
    """The unit of a difference between two values of ``unit``."""
    return "points" if unit in ("share", "points") else "change"


def decimals_of(intervals: Iterable[tuple[float | None, float | None]]) -> int | None:
    """Decimals that give the width of the median (low, high) two digits, 0 to 8; None where none has a width."""
    widths = [high - low for low, high in intervals if low is not None and high is not None and high > low]
    return min(8, max(0, 1 - math.floor(math.log10(median(widths))))) if widths else None


def show_estimate(
    value: float | None, low: float | None, high: float | None, unit: Unit, decimals: int | None = None
) -> tuple[str, str]:
    """A value and its interval as text; plain numbers have ``decimals`` or, without, what the interval is worth."""
    decimals = decimals_of([(low, high)]) if decimals is None else decimals
    return show(value, unit, decimals), show_interval(low, high, unit, decimals)


def show(value: float | None, unit: Unit = "number", decimals: int | None = None) -> str:
    """One value with its unit: ``61.2%``, ``+5.3 pp``, ``1,234``, ``+0.120``; an en dash where there is none.

    Plain numbers have ``decimals`` or, without, three significant digits; shares and amounts have rules of their own.
    """
    if value is None or math.isnan(value):
        return MISSING
    bare = show_bare(value, unit, decimals)
    return bare + {"share": "%", "points": f"{NARROW_SPACE}pp"}.get(unit, "")


def show_bare(value: float | None, unit: Unit = "number", decimals: int | None = None) -> str:
    """One value in its unit, but without the unit's name (for table cells and interval ends)."""
    if value is None or math.isnan(value):
        return MISSING
    if unit in ("flops", "seconds", "count"):
        text = show_cost(unit, abs(value))
    elif unit in ("share", "points"):
        text = f"{abs(100 * value):.1f}"
    elif decimals is not None and math.isfinite(value):
        text = f"{abs(value):,.{decimals}f}"
    else:
        text = _significant(abs(value))
    return _sign(value, text, always=unit in ("points", "change")) + text


def show_interval(low: float | None, high: float | None, unit: Unit = "number", decimals: int | None = None) -> str:
    """``[low, high]`` in the unit of the value beside it; an en dash where no interval was computed."""
    if low is None or high is None:
        return MISSING
    return f"[{show_bare(low, unit, decimals)},{NO_BREAK}{show_bare(high, unit, decimals)}]"


def show_plain(value: object) -> str:
    """Any stored value as text: numbers with up to six digits, yes/no, an en dash for nothing."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", MINUS)
    if isinstance(value, float):
        return _exact(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {show_plain(inner)}" for name, inner in value.items()) or MISSING
    if isinstance(value, list | tuple):
        return ", ".join(show_plain(part) for part in value) or MISSING
    return str(value)


def show_p(value: float) -> str:
    """A p-value: ``< 0.001``, ``0.013``, ``0.21``."""
    if value < 0.001:
        return f"<{NO_BREAK}0.001"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def show_ratio(value: float | None) -> str:
    """A ratio to the baseline, as a multiplier with two decimals under ten and three digits above."""
    if value is None or math.isnan(value):
        return MISSING
    return TIMES + (f"{value:.2f}" if value < 10 else _significant(value))


def show_cost(currency: str, value: float) -> str:
    """An amount of a currency, by the word in its name: flops and bytes with an SI prefix, seconds as clock time.

    Any other currency is a count: 12.3 M.
    """
    if "flops" in currency:
        return f"{_scaled(value, _PREFIXES)}FLOP"
    if "bytes" in currency:
        return f"{_scaled(value, _PREFIXES)}B"
    if "seconds" in currency:
        return show_seconds(value)
    return _scaled(value, _COUNT_PREFIXES).rstrip()


def show_seconds(value: float) -> str:
    """A duration: ``0.8 s``, ``42 s``, ``3 min 12 s``, ``5 h 20 min``, ``3.2 days``."""
    if value < 10:
        return f"{value:.1f} s"
    total = round(value)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60} s"
    if total < 48 * 3600:
        return f"{total // 3600} h {total % 3600 // 60} min"
    return f"{value / 86400:.1f} days"


def currency_name(currency: str) -> str:
    """A currency's column title: ``generated_tokens`` -> ``Generated tokens``, ``flops`` -> ``Compute``."""
    named = {
        "flops": "Compute",
        "body_flops": "Compute without output layer",
        "seconds": "Time",
        "targets": "Predicted targets",
        "calls": "Judge calls",
    }
    return named.get(currency, currency.replace("_", " ").capitalize().replace("flops", "FLOPs"))


def _sign(value: float, text: str, *, always: bool) -> str:
    if not re.search("[1-9\N{INFINITY}]", text):
        return ""
    if value < 0:
        return MINUS
    return "+" if always else ""


def _exact(value: float) -> str:
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", MINUS)
    return f"{value:.6g}".replace("e-0", "e-").replace("-", MINUS)


def _significant(value: float, digits: int = 3) -> str:
    if value == 0:
        return "0"
    if math.isinf(value):
        return "\N{INFINITY}"
    if value >= 1e15 or value < 1e-3:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}{NARROW_SPACE}{TIMES}{NARROW_SPACE}10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    if value >= 10 ** (digits - 1) or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.{digits - 1 - math.floor(math.log10(value))}f}"


def _scaled(value: float, prefixes: tuple[tuple[float, str], ...]) -> str:
    for size, prefix in prefixes:
        if abs(value) >= size:
            return f"{_significant(value / size)} {prefix}"
    return f"{_significant(value)} "
