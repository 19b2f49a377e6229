"""The parts of a study page that come from arms, contrasts and claims rather than from panels."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from paribus.lab.analysis import MISSED
from paribus.lab.results import ClaimResult, ContrastResult, Estimate, StudyResult
from paribus.report.forest import contrast_forests
from paribus.report.formatting import (
    MINUS,
    MISSING,
    NO_BREAK,
    Unit,
    currency_name,
    decimals_of,
    difference_unit,
    show,
    show_cost,
    show_estimate,
    show_p,
    show_plain,
    show_ratio,
    unit_of,
)
from paribus.report.grids import Heatmap, heatmap_of, language_differences
from paribus.report.heat import Entry
from paribus.report.page import anchor

# The order of columns; a currency that is not here comes after them, by name.
CURRENCIES = (
    "tokens",
    "targets",
    "examples",
    "generated_tokens",
    "flops",
    "body_flops",
    "parameters",
    "calls",
    "seconds",
)
EVERY_LANGUAGE = "all"


def measure_name(measure: str) -> str:
    """A measure as prose: underscores become spaces."""
    return measure.replace("_", " ")


def measure_units(result: StudyResult) -> dict[str, Unit]:
    """The unit of every measure, from its name and all values that the arms have of it."""
    found: dict[str, list[float]] = {contrast.measure: [] for contrast in result.contrasts}
    for arm in result.arms:
        for measure, by_language in arm.measures.items():
            found.setdefault(measure, []).extend(estimate.value for estimate in by_language.values())
    for contrast in result.contrasts:
        if not found[contrast.measure]:
            found[contrast.measure].append(abs(contrast.difference.value))
    return {measure: unit_of(measure, values) for measure, values in found.items()}


def main_baseline(result: StudyResult) -> str:
    """The arm that most contrasts are measured from (the first of them on a tie); empty without contrasts."""
    counts = Counter(contrast.baseline for contrast in result.contrasts)
    return counts.most_common(1)[0][0] if counts else ""


def answers(result: StudyResult, units: Mapping[str, Unit]) -> list[dict[str, Any]]:
    """Per claim: its verdict in one sentence, and a line for each contrast if there are several."""
    by_name = {contrast.name: contrast for contrast in result.contrasts}
    return [
        _answer(claim, [by_name[name] for name in claim.contrasts if name in by_name], result.scale, units)
        for claim in result.claims
    ]


def contrast_sentence(contrast: ContrastResult, units: Mapping[str, Unit]) -> str:
    """``reward scores above single on accuracy: +5.3 pp [+2.1, +8.4], Holm p 0.003``."""
    unit = difference_unit(units.get(contrast.measure, "number"))
    difference = contrast.difference
    pair = f"{contrast.arm} scores {'above' if difference.value > 0 else 'below'} {contrast.baseline}"
    if difference.low <= 0 <= difference.high:
        pair = f"{contrast.arm} and {contrast.baseline} are not told apart"
    value, interval = show_estimate(difference.value, difference.low, difference.high, unit)
    return f"{pair} on {measure_name(contrast.measure)}: {value} {interval}, Holm p{NO_BREAK}{show_p(contrast.p_holm)}"


def arms_table(result: StudyResult) -> dict[str, Any]:
    """Rows of arms with the factors that vary as columns; factors that every arm shares are listed apart."""
    factors = list(dict.fromkeys(factor for arm in result.arms for factor in arm.factors))
    baseline = main_baseline(result)
    base = next((arm.factors for arm in result.arms if arm.name == baseline), {})
    varying = [factor for factor in factors if len({show_plain(arm.factors.get(factor)) for arm in result.arms}) > 1]
    rows = [
        {
            "name": arm.name,
            "description": arm.description,
            "factors": [
                _factor(arm.factors.get(factor), base.get(factor), arm.name != baseline and bool(baseline))
                for factor in varying
            ],
            "seeds": len(arm.seeds),
        }
        for arm in result.arms
    ]
    same = [(factor, show_plain(result.arms[0].factors[factor])) for factor in factors if factor not in varying]
    return {"rows": rows, "factors": varying, "same": same, "baseline": baseline}


def budget_table(result: StudyResult) -> dict[str, Any]:
    """Arms by currency, each amount with its ratio to the main baseline."""
    spent = {currency for arm in result.arms for currency in arm.cost}
    currencies = [c for c in CURRENCIES if c in spent] + sorted(spent.difference(CURRENCIES))
    base = next((arm.cost for arm in result.arms if arm.name == main_baseline(result)), {})
    rows = [
        (arm.name, [_amount(currency, arm.cost.get(currency), base.get(currency)) for currency in currencies])
        for arm in result.arms
    ]
    return {"currencies": [currency_name(currency) for currency in currencies], "rows": rows}


def measures_table(result: StudyResult, units: Mapping[str, Unit]) -> dict[str, Any]:
    """Arms by measure over all languages."""
    measures = list(dict.fromkeys(measure for arm in result.arms for measure in arm.measures))
    columns = {name: [arm.measures.get(name, {}).get(EVERY_LANGUAGE) for arm in result.arms] for name in measures}
    texts = [_measured(column, units[measure]) for measure, column in columns.items()]
    rows = [(arm.name, [column[number] for column in texts]) for number, arm in enumerate(result.arms)]
    estimates = [e for arm in result.arms for by_language in arm.measures.values() for e in by_language.values()]
    return {"names": [measure_name(m) for m in measures], "rows": rows, "level": level_text(estimates)}


def contrasts_section(result: StudyResult, units: Mapping[str, Unit]) -> dict[str, Any]:
    """Forests and table rows by family of contrasts, and differences by language."""
    by_measure: dict[str, list[ContrastResult]] = {}
    for contrast in result.contrasts:
        if contrast.by_language:
            by_measure.setdefault(contrast.measure, []).append(contrast)
    families: dict[str, list[ContrastResult]] = {}
    for contrast in result.contrasts:
        families.setdefault(contrast.family, []).append(contrast)
    return {
        "level": level_text(contrast.difference for contrast in result.contrasts),
        "families": [_family(family, members, units) for family, members in families.items()],
        "by_language": [
            (measure_name(m), language_differences(cs, difference_unit(units[m]))) for m, cs in by_measure.items()
        ],
    }


def _family(family: str, contrasts: Sequence[ContrastResult], units: Mapping[str, Unit]) -> dict[str, Any]:
    """Contrasts whose p-values were corrected together: their forests (an axis per measure) and their table rows."""
    return {
        "name": family or "Other contrasts",
        "anchor": anchor("family", family),
        "forests": [(measure_name(m), chart) for m, chart in contrast_forests(contrasts, units)],
        "rows": [_contrast_row(contrast, units) for contrast in contrasts],
    }


def language_heatmap(result: StudyResult, units: Mapping[str, Unit]) -> tuple[str, Heatmap] | None:
    """Arms by language for the measure of the first contrast, for studies that bring no heat map of their own."""
    measures = [c.measure for c in result.contrasts] or [m for arm in result.arms for m in arm.measures]
    for measure in dict.fromkeys(measures):
        languages = [code for arm in result.arms for code in arm.measures.get(measure, {}) if code != EVERY_LANGUAGE]
        if languages:
            return measure, _language_matrix(result, measure, list(dict.fromkeys(languages)), units[measure])
    return None


def ladder_differences(
    result: StudyResult, arms: Sequence[str], units: Mapping[str, Unit]
) -> list[tuple[str, Heatmap]]:
    """Paired differences by language for the stored contrasts between arms of a ladder, one table per measure."""
    place = {arm: index for index, arm in enumerate(arms)}
    steps = [c for c in result.contrasts if c.arm in place and c.baseline in place and c.by_language]
    steps.sort(key=lambda c: (place[c.arm], place[c.baseline]))
    measures = dict.fromkeys(contrast.measure for contrast in steps)
    tables = []
    for measure in measures:
        members = [contrast for contrast in steps if contrast.measure == measure]
        title = f"Paired differences by language: {measure_name(measure)}"
        tables.append((title, language_differences(members, difference_unit(units[measure]))))
    return tables


def level_text(estimates: Iterable[Estimate]) -> str:
    """``95%``, or ``90% and 95%`` where levels are mixed."""
    return " and ".join(f"{100 * level:g}%" for level in sorted({estimate.level for estimate in estimates})) or "no"


def _answer(
    claim: ClaimResult, contrasts: list[ContrastResult], scale: str, units: Mapping[str, Unit]
) -> dict[str, Any]:
    lines = [contrast_sentence(contrast, units) for contrast in contrasts]
    opening = f"{claim.verdict.capitalize()} at {scale} scale"
    if len(lines) == 1:
        return {
            "claim": claim,
            "finding": f"{opening}: {lines[0]}.",
            "details": [],
            "anchor": anchor("claim", claim.id),
        }
    counts = Counter(contrast.verdict for contrast in contrasts)
    tally = ", ".join(
        f"{counts[verdict]} {verdict}" for verdict in ("supported", "contradicted", "unresolved") if counts[verdict]
    )
    finding = (
        f"{opening}; of its {len(lines)} contrasts {tally}." if lines else f"{opening}; no contrast is stored for it."
    )
    details = [f"{line} ({contrast.verdict})" for line, contrast in zip(lines, contrasts, strict=True)]
    return {"claim": claim, "finding": finding, "details": details, "anchor": anchor("claim", claim.id)}


def _factor(value: object, base: object, compare: bool) -> dict[str, Any]:
    return {"text": show_plain(value), "differs": compare and show_plain(value) != show_plain(base)}


def _amount(currency: str, value: float | None, base: float | None) -> dict[str, str]:
    if value is None:
        return {"text": MISSING, "ratio": ""}
    return {"text": show_cost(currency, value), "ratio": show_ratio(value / base) if base else ""}


def _measured(column: Sequence[Estimate | None], unit: Unit) -> list[dict[str, str]]:
    """A column of estimates as text, all with the same decimals."""
    decimals = decimals_of((e.low, e.high) for e in column if e is not None)
    shown = [(MISSING, "") if e is None else show_estimate(e.value, e.low, e.high, unit, decimals) for e in column]
    return [{"text": text, "interval": interval} for text, interval in shown]


def _contrast_row(contrast: ContrastResult, units: Mapping[str, Unit]) -> dict[str, Any]:
    unit = difference_unit(units[contrast.measure])
    difference = contrast.difference
    value, interval = show_estimate(difference.value, difference.low, difference.high, unit)
    return {
        "anchor": anchor("contrast", contrast.name),
        "name": contrast.name,
        "pair": f"{contrast.arm} {MINUS} {contrast.baseline}",
        "measure": measure_name(contrast.measure),
        "declared": _declared(contrast, unit),
        "difference": value,
        "interval": interval,
        "n": f"{difference.n:,}",
        "p": show_p(contrast.p_value),
        "holm": show_p(contrast.p_holm),
        "detectable": show(contrast.minimal_detectable, unit).lstrip("+"),
        "matched": contrast.matched,
        "missed": contrast.matched.startswith(MISSED),
        "ratios": [
            (currency_name(currency).lower(), show_ratio(ratio)) for currency, ratio in contrast.cost_ratio.items()
        ],
        "covers": ", ".join(difference.covers) or MISSING,
        "verdict": contrast.verdict,
    }


def _declared(contrast: ContrastResult, unit: Unit) -> str:
    if not contrast.margin:
        return contrast.direction
    joint = "within" if contrast.direction == "equivalent" else "by more than"
    return f"{contrast.direction} {joint} {show(contrast.margin, unit).lstrip('+')}"


def _language_matrix(result: StudyResult, measure: str, languages: list[str], unit: Unit) -> Heatmap:
    arms = [arm for arm in result.arms if measure in arm.measures]
    entries = [
        [Entry(arm.measures[measure][code].value) if code in arm.measures[measure] else Entry() for code in languages]
        for arm in arms
    ]
    return heatmap_of(entries, (languages, [arm.name for arm in arms]), unit, ("", "arm"))
