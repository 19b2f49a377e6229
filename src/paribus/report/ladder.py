"""The steps of a recipe as one table: what each adds over the one before, by language, and what it costs."""

from collections.abc import Mapping, Sequence
from typing import Any

from paribus.lab.results import ContrastResult, Estimate, StudyResult
from paribus.report.formatting import MISSING, Unit, currency_name, difference_unit, show_cost, show_estimate
from paribus.report.writing import is_language, writing_of

_COSTS = ("tokens", "generated_tokens", "flops", "body_flops", "seconds")


def ladder_table(result: StudyResult, units: Mapping[str, Unit]) -> dict[str, Any] | None:
    """Columns are the contrasts that ``result.ladder`` names; rows all languages, each language, and the added costs.

    None where the study has no ladder. A cell whose interval excludes zero says so by its sign.
    """
    by_name = {contrast.name: contrast for contrast in result.contrasts}
    steps = [by_name[name] for name in result.ladder if name in by_name]
    if not steps:
        return None
    languages = list(dict.fromkeys(code for step in steps for code in step.by_language))
    rows = [{"name": "all languages", "cells": [_cell(step.difference, _unit(step, units)) for step in steps]}]
    rows += [
        {"name": _language(code), "cells": [_cell(step.by_language.get(code), _unit(step, units)) for step in steps]}
        for code in languages
    ]
    return {
        "steps": [{"name": step.name, "pair": f"{step.arm} over {step.baseline}"} for step in steps],
        "rows": rows,
        "costs": _costs(result, steps),
    }


def _unit(step: ContrastResult, units: Mapping[str, Unit]) -> Unit:
    return difference_unit(units[step.measure])


def _language(code: str) -> str:
    return writing_of(code).name if is_language(code) else code


def _cell(estimate: Estimate | None, unit: Unit) -> dict[str, str]:
    if estimate is None:
        return {"text": MISSING, "interval": "", "sign": ""}
    sign = "up" if estimate.low > 0 else "down" if estimate.high < 0 else ""
    text, interval = show_estimate(estimate.value, estimate.low, estimate.high, unit)
    return {"text": text, "interval": interval, "sign": sign}


def _costs(result: StudyResult, steps: Sequence[ContrastResult]) -> list[dict[str, Any]]:
    """What the arm of a step cost beyond the arm it stands on."""
    spent = {arm.name: arm.cost for arm in result.arms}
    rows = []
    for currency in _COSTS:
        amounts = [spent[s.arm].get(currency, 0.0) - spent[s.baseline].get(currency, 0.0) for s in steps]
        if any(amounts):
            cells = [show_cost(currency, amount) if amount > 0 else f"{MISSING}" for amount in amounts]
            rows.append({"name": f"added: {currency_name(currency).lower()}", "cells": cells})
    return rows
