"""Panels about judged games: win rates under each definition, the judge's position bias, style control."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.lab import Panel
from paribus.studies.stages.arbitrage import read_completions

if TYPE_CHECKING:
    from paribus.studies.stages.panels import PanelsConfig

BASE = "base"
JUDGED = "all languages, as judged"
TRUTH = "all languages, the truth: the same judge without biases and noise"


def game_panels(config: "PanelsConfig", evaluations: Mapping[str, Path], judged: Mapping[str, Path]) -> list[Panel]:
    """Each definition of a win rate has a panel of its own: they are never mixed in one table."""
    return [
        _win_rates(config, judged),
        _other_definition(config, judged, "half_ties", "ties count as half a win"),
        _other_definition(config, judged, "strong_x3", "strong verdicts count three times, ties as half"),
        _positions(config, judged),
        *_style(config, evaluations, judged),
    ]


def _win_rates(config: "PanelsConfig", folders: Mapping[str, Path]) -> Panel:
    from paribus.studies.stages.panels import pooled, summaries

    rows = []
    for arm in config.arms:
        for found in summaries(pooled(config.seeds, folders, arm, ["win_rate", "win_rate_true"])):
            everywhere, true = found.language == "all", found.measure == "win_rate_true"
            if everywhere or (arm == config.ladder[-1] and not true):
                group = TRUTH if true else JUDGED if everywhere else f"{arm} by language"
                label = arm if everywhere else f"{arm}, {found.language}"
                rows.append({"label": label, "group": group, **_span(found.interval)})
    rows.sort(key=lambda row: (row["group"] != JUDGED, row["group"] != TRUTH))
    said = json.loads((folders[f"{config.ladder[0]}@{config.seeds[0]}"] / "judge.json").read_text())
    return Panel(
        id="win-rates",
        kind="intervals",
        title="Win rate against the base model, ties apart (wins over all prompts)",
        caption=(
            f"The Aya papers' definition; the majority of its games wins a prompt. Judge: {said['identity']}, "
            f"{said['protocol']} games. Intervals resample questions."
        ),
        rows=tuple(rows),
        x_title="win rate",
    )


def _span(interval: Any) -> dict[str, float]:
    return {"value": interval.estimate, "low": interval.low, "high": interval.high}


def _other_definition(config: "PanelsConfig", folders: Mapping[str, Path], definition: str, words: str) -> Panel:
    from paribus.evaluation.winrate import win_rate

    rows = []
    for arm in config.arms:
        verdicts = _verdicts(folders[f"{arm}@{config.seeds[0]}"])
        rate = win_rate(verdicts, verdicts[0].a, definition, baseline=verdicts[0].b, resamples=1000)  # type: ignore[arg-type]
        rows.append({"label": arm, **_span(rate.rate), "reference": 0.5})
    return Panel(
        id=f"win-rates-{definition.replace('_', '-')}",
        kind="intervals",
        title=f"Win rate against the base model, {words}",
        caption="First seed. Not comparable with the rates of another definition.",
        rows=tuple(rows),
        x_title="win rate",
    )


def _verdicts(folder: Path) -> list[Any]:
    from paribus.records import Verdict, read_records

    return list(read_records(folder / "verdicts.jsonl", Verdict))


def _positions(config: "PanelsConfig", folders: Mapping[str, Path]) -> Panel:
    from paribus.evaluation.position import position_report

    rows = []
    for arm in config.arms:
        verdicts = _verdicts(folders[f"{arm}@{config.seeds[0]}"])
        report = position_report(verdicts, verdicts[0].a, resamples=500)
        rows.append(
            {
                "arm": arm,
                "first shown wins (share of decided games)": report.first_wins.estimate if report.first_wins else None,
                "flip rate between games": report.flip_rate.estimate if report.flip_rate else None,
                "consistent-only win rate": report.consistent_wins.estimate if report.consistent_wins else None,
                "prompts": report.prompts,
                "unparsed": report.unparsed,
            }
        )
    return Panel(
        id="position-bias",
        kind="table",
        title="The judge's position bias",
        caption="First seed. Without bias the answer shown first wins half of the decided games.",
        rows=tuple(rows),
        columns=tuple(rows[0]),
    )


def _style(config: "PanelsConfig", evaluations: Mapping[str, Path], judged: Mapping[str, Path]) -> list[Panel]:
    """Chances to beat the base by Bradley-Terry, as they are and with style held equal."""
    from paribus.errors import DataError
    from paribus.evaluation.style import completion_styles
    from paribus.evaluation.style_control import style_control

    seed = config.seeds[0]
    arms = [arm for arm in config.arms if arm != BASE]
    verdicts = [
        row.model_copy(update={"a": arm, "b": BASE}) for arm in arms for row in _verdicts(judged[f"{arm}@{seed}"])
    ]
    answers = [
        row.model_copy(update={"model": arm})
        for arm in (*arms, BASE)
        for row in read_completions(evaluations[f"{arm}@{seed}"] / "answers.jsonl")
    ]
    try:
        fit = style_control(verdicts, completion_styles(answers), BASE, resamples=100)
    except DataError as error:
        return [Panel(id="style-control", kind="text", title="Style control", rows=({"text": str(error)},))]
    rows = [
        {
            "arm": arm,
            "chance to beat the base": fit.plain[arm].estimate,
            "at the average style gap": fit.at_mean_gap[arm].estimate,
            "at equal style": fit.at_zero_gap[arm].estimate,
            "equal style, low": fit.at_zero_gap[arm].low,
            "equal style, high": fit.at_zero_gap[arm].high,
        }
        for arm in arms
    ]
    coefficients = [
        {
            "feature of the answer": row.feature,
            "log odds per standard deviation": row.per_sd.estimate,
            "low": row.per_sd.low,
            "high": row.per_sd.high,
            "mean gap": row.mean_gap,
        }
        for row in fit.coefficients
    ]
    caption = "First seed, strong verdicts three times. Style: length and markdown, features of Arena-Hard-Auto v2.0."
    titles = ("Bradley-Terry with style control", "What style is worth to the judge")
    return [
        Panel(id=name, kind="table", title=title, caption=caption, rows=tuple(table), columns=tuple(table[0]))
        for name, title, table in (("style-control", titles[0], rows), ("style-coefficients", titles[1], coefficients))
    ]
