"""The stage that turns stored records into the charts and tables of a report."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from paribus.lab import Panel, stage
from paribus.lab.analysis import PANELS
from paribus.studies.stages.arbitrage import read_completions, right
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.data import read_prompts, truth_known

SAMPLES = 2
"""Sample prompts a language."""


class PanelsConfig(StageConfig):
    """Arm names in the study's order, those that are the recipe's steps, languages, seeds, and the main measure."""

    arms: tuple[str, ...]
    ladder: tuple[str, ...]
    languages: tuple[str, ...]
    seeds: tuple[int, ...]
    measure: str = "exact_match"


@stage(version="1")
def panels(
    config: PanelsConfig,
    evaluations: dict[str, Path],
    judged: dict[str, Path],
    routes: dict[str, Path],
    pool: Path,
    dev_pool: Path,
    train_prompts: Path,
    pairs: dict[str, Path],
    monitors: dict[str, Path],
    prompts: Path,
    *,
    out: Path,
) -> None:
    """Write ``panels.jsonl``. Evaluations and games are keyed ``arm@seed``."""
    from paribus.studies.stages.panels_feedback import arbiter_panels, monitor_panels, pair_panels, routing_panels
    from paribus.studies.stages.panels_games import game_panels

    rows = [
        *quality_panels(config, evaluations, judged),
        *routing_panels(routes),
        *arbiter_panels(pool, dev_pool, train_prompts),
        *game_panels(config, evaluations, judged),
        *pair_panels(pairs),
        *monitor_panels(monitors),
        samples(config, evaluations, prompts),
    ]
    write_panels(out, rows)


def write_panels(out: Path, panels: Iterable[Panel]) -> None:
    """Write ``panels.jsonl``, from which the analysis takes them."""
    with (out / PANELS).open("w", encoding="utf-8") as file:
        for panel in panels:
            file.write(panel.model_dump_json() + "\n")


def pooled(seeds: Sequence[int], folders: Mapping[str, Path], arm: str, measures: Iterable[str]) -> list[Any]:
    """An arm's item rows of all seeds; the seed is part of the item, the question stays the cluster."""
    from paribus.evaluation.items import read_item_rows

    wanted = set(measures)
    return [
        row._replace(item=f"{row.item}@{seed}")
        for seed in seeds
        for row in read_item_rows(folders[f"{arm}@{seed}"] / "items.jsonl")
        if row.measure in wanted
    ]


def summaries(rows: Sequence[Any], *, by: Literal["language", "task", "nothing"] = "language") -> list[Any]:
    """Means with question-clustered intervals: of all items, and of each language or task."""
    from paribus.evaluation.items import summarise

    return summarise(rows, by_language=by == "language", by_group=by == "task", resamples=1000)


def course_rows(curves: Mapping[int, Sequence[Mapping[str, float]]], measure: str, **told: str) -> list[dict[str, Any]]:
    """Lines of a measure along training: the mean over seeds at every step, and each seed faintly.

    ``curves``: by seed. Runs that ended early are in the mean as far as they went. ``told``: series and facet.
    """
    by_step: dict[float, dict[int, float]] = {}
    for seed, points in curves.items():
        for point in points:
            by_step.setdefault(point["step"], {})[seed] = point[measure]
    rows: list[dict[str, Any]] = []
    for step, found in sorted(by_step.items()):
        rows.append({"x": step, "y": fmean(found.values()), **told})
        runs = {"role": "run", "of": told["series"]}
        rows += [{"x": step, "y": y, **told, "series": f"seed {seed}", **runs} for seed, y in found.items()]
    return rows


_TITLES = {"exact_match": "exact match on held-out facts", "win_rate": "win rate against the base"}


def quality_panels(config: PanelsConfig, evaluations: Mapping[str, Path], judged: Mapping[str, Path]) -> list[Panel]:
    """The study's main measure: the ladder, by language, by task; and what kind of answers there are."""
    folders = judged if config.measure == "win_rate" else evaluations
    title = _TITLES[config.measure]
    return [
        _ladder(config, folders, title),
        _by_language(config, folders, title),
        *_by_task(config, folders, title),
        _kinds(config, evaluations),
    ]


def _ladder(config: PanelsConfig, folders: Mapping[str, Path], title: str) -> Panel:
    rows = []
    for number, arm in enumerate(config.ladder):
        for found in summaries(pooled(config.seeds, folders, arm, [config.measure])):
            row = {"step": f"{number}. {arm}", "arm": arm, "value": found.interval.estimate}
            row |= {"low": found.interval.low, "high": found.interval.high}
            rows.append(row if found.language == "all" else row | {"language": found.language})
    return Panel(
        id="ladder",
        kind="ladder",
        title=f"The recipe, step by step: {title}",
        caption="Intervals resample questions, over all post-training seeds together.",
        rows=tuple(rows),
        y_title=config.measure.replace("_", " "),
    )


def _by_language(config: PanelsConfig, folders: Mapping[str, Path], title: str) -> Panel:
    rows = [
        {"x": found.language, "y": arm, "value": found.interval.estimate}
        for arm in config.arms
        for found in summaries(pooled(config.seeds, folders, arm, [config.measure]))
    ]
    return Panel(
        id="languages",
        kind="heatmap",
        title=f"By language: {title}",
        caption="All seeds.",
        rows=tuple(rows),
        x_title="language",
        y_title="arm",
    )


def _by_task(config: PanelsConfig, folders: Mapping[str, Path], title: str) -> list[Panel]:
    rows = [
        {"x": found.group, "y": arm, "value": found.interval.estimate}
        for arm in config.arms
        for found in summaries(pooled(config.seeds, folders, arm, [config.measure]), by="task")
        if found.group
    ]
    if len({row["x"] for row in rows}) < 3:  # one task beside "all" says nothing new
        return []
    return [
        Panel(
            id="tasks",
            kind="heatmap",
            title=f"By task: {title}",
            caption="All languages and seeds. A mix over tasks hides most of what happens.",
            rows=tuple(rows),
            x_title="task",
            y_title="arm",
        )
    ]


_ERRORS = ("wrong_fact", "wrong_language", "format", "refusal", "repetition", "truncated")
_ALSO = ("exact_match", "exact_match_recall", "exact_match_sampled", "length_characters", "length_limit")


def _kinds(config: PanelsConfig, folders: Mapping[str, Path]) -> Panel:
    rows = []
    for arm in config.arms:
        found = {
            row.measure: row.interval.estimate
            for row in summaries(pooled(config.seeds, folders, arm, [*_ERRORS, *_ALSO]), by="nothing")
        }
        rows.append({"arm": arm} | {name: found[name] for name in (*_ALSO, *_ERRORS) if name in found})
    return Panel(
        id="errors",
        kind="table",
        title="What kind of answers: right ones and named mistakes",
        caption=(
            "Shares of all test questions (length in characters). exact_match_recall asks facts seen in training, "
            "exact_match_sampled takes one sample at temperature 1 in place of the greedy answer."
        ),
        rows=tuple(rows),
        columns=tuple(dict.fromkeys(name for row in rows for name in row)),
    )


def samples(config: PanelsConfig, folders: Mapping[str, Path], prompts: Path) -> Panel:
    """The first test prompts of each language with the answers of the ladder's arms."""
    asked = read_prompts(prompts)
    known = truth_known(asked)
    seed = config.seeds[0]
    answers = {
        arm: {row.prompt_id: row for row in read_completions(folders[f"{arm}@{seed}"] / "answers.jsonl")}
        for arm in config.ladder
    }
    rows = []
    for language in config.languages:
        for prompt in [row for row in asked if row.language == language][:SAMPLES]:
            for arm, by_prompt in answers.items():
                text = by_prompt[prompt.id].text
                correct = bool(right(prompt, text)) if known else None
                note = f"expected: {prompt.meta['answer']}" if correct is False else ""
                row = {"language": language, "prompt": prompt.text, "arm": arm, "text": text}
                rows.append(row | {"correct": correct, "note": note})
    return Panel(
        id="samples",
        kind="samples",
        title="Answers side by side",
        caption="The first test prompts of each language, not picked.",
        rows=tuple(rows),
    )
