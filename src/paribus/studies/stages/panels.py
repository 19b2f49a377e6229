"""The stage that turns stored records into the charts and tables of a report."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paribus.lab import Panel, stage
from paribus.studies.stages.arbitrage import read_completions, right
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.data import read_prompts

SAMPLES = 2
"""Sample prompts a language."""


class PanelsConfig(StageConfig):
    """The recipe's steps in order (arm names), the languages, and the post-training seeds."""

    ladder: tuple[str, ...]
    languages: tuple[str, ...]
    seeds: tuple[int, ...]


@stage(version="1")
def panels(
    config: PanelsConfig,
    evaluations: dict[str, Path],
    judged: dict[str, Path],
    routes: dict[str, Path],
    pool: Path,
    pairs: dict[str, Path],
    monitors: dict[str, Path],
    prompts: Path,
    *,
    out: Path,
) -> None:
    """Write ``panels.jsonl``. Evaluations and games are keyed ``arm@seed``."""
    rows = [
        _ladder(config, evaluations),
        _heatmap(config, evaluations),
        _tasks(config, evaluations),
        _errors(config, evaluations),
        _shares(routes),
        _routing(routes),
        _arbiter(pool),
        _win_rates(config, judged),
        _positions(config, judged),
        *_pair_table(pairs),
        *_monitors(monitors),
        _samples(config, evaluations, prompts),
    ]
    with (out / "panels.jsonl").open("w", encoding="utf-8") as file:
        for panel in rows:
            file.write(panel.model_dump_json() + "\n")


def _pooled(config: PanelsConfig, folders: Mapping[str, Path], arm: str, measures: Sequence[str]) -> list[Any]:
    """An arm's item rows of all seeds; the seed is part of the item, the question stays the cluster."""
    from paribus.evaluation.items import read_item_rows

    return [
        row._replace(item=f"{row.item}@{seed}")
        for seed in config.seeds
        for row in read_item_rows(folders[f"{arm}@{seed}"] / "items.jsonl")
        if row.measure in measures
    ]


def _summaries(rows: list[Any], *, by_group: bool = False) -> list[Any]:
    from paribus.evaluation.items import summarise

    return summarise(rows, by_group=by_group, resamples=1000)


def _ladder(config: PanelsConfig, folders: Mapping[str, Path]) -> Panel:
    rows = []
    for number, arm in enumerate(config.ladder):
        for found in _summaries(_pooled(config, folders, arm, ["exact_match"])):
            row = {"step": f"{number}. {arm}", "arm": arm, "value": found.interval.estimate}
            row |= {"low": found.interval.low, "high": found.interval.high}
            rows.append(row if found.language == "all" else row | {"language": found.language})
    return Panel(
        id="ladder",
        kind="ladder",
        title="The recipe, step by step: exact match on held-out facts",
        caption="Share of right greedy answers. Intervals resample questions, over all post-training seeds together.",
        rows=tuple(rows),
        y_title="exact match",
    )


def _arms(folders: Mapping[str, Path]) -> list[str]:
    return list(dict.fromkeys(name.rpartition("@")[0] for name in folders))


def _heatmap(config: PanelsConfig, folders: Mapping[str, Path]) -> Panel:
    rows = [
        {"x": found.language, "y": arm, "value": found.interval.estimate}
        for arm in _arms(folders)
        for found in _summaries(_pooled(config, folders, arm, ["exact_match"]))
    ]
    return Panel(
        id="languages",
        kind="heatmap",
        title="Exact match by language",
        caption="Held-out facts, all seeds.",
        rows=tuple(rows),
        x_title="language",
        y_title="arm",
    )


def _tasks(config: PanelsConfig, folders: Mapping[str, Path]) -> Panel:
    rows = [
        {"x": found.group, "y": arm, "value": found.interval.estimate}
        for arm in _arms(folders)
        for found in _summaries(_pooled(config, folders, arm, ["exact_match"]), by_group=True)
        if found.language == "all"
    ]
    return Panel(
        id="tasks",
        kind="heatmap",
        title="Exact match by task",
        caption="Held-out facts, all languages and seeds. A mix over tasks hides most of what happens.",
        rows=tuple(rows),
        x_title="task",
        y_title="arm",
    )


_ERRORS = ("wrong_fact", "wrong_language", "format", "refusal", "repetition", "truncated")
_ALSO = ("exact_match", "exact_match_recall", "exact_match_sampled", "length_characters")


def _errors(config: PanelsConfig, folders: Mapping[str, Path]) -> Panel:
    rows = []
    for arm in _arms(folders):
        found = {
            row.measure: row.interval.estimate
            for row in _summaries(_pooled(config, folders, arm, [*_ERRORS, *_ALSO]))
            if row.language == "all"
        }
        rows.append({"arm": arm} | {name: found[name] for name in (*_ALSO, *_ERRORS) if name in found})
    return Panel(
        id="errors",
        kind="table",
        title="What kind of answers: right ones and named mistakes",
        caption=(
            "Shares of all held-out questions; exact_match_recall asks facts seen in training, exact_match_sampled takes "
            "one sample at temperature 1 in place of the greedy answer."
        ),
        rows=tuple(rows),
        columns=("arm", *_ALSO, *_ERRORS),
    )


def _json(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def _shares(routes: Mapping[str, Path]) -> Panel:
    shares = _json(routes["reward"], "routing.json")["shares"]
    rows = [
        {"group": language, "part": teacher, "share": share}
        for language, row in shares.items()
        for teacher, share in row.items()
    ]
    return Panel(
        id="routing-shares",
        kind="shares",
        title="Whose answers the reward router picked",
        caption="Share of training prompts of each language that went to each teacher.",
        rows=tuple(rows),
        x_title="language",
    )


def _routing(routes: Mapping[str, Path]) -> Panel:
    rows = []
    for router, folder in routes.items():
        found = _json(folder, "routing.json")
        rows.append(
            {
                "router": router,
                "right answers": found["gold"]["all"],
                "agreement with reward": found["agreement"],
                "reward gap, best to second": found["reward_gap"],
                "generated tokens": found["generated_tokens"],
                "arbiter calls": found["scorings"],
            }
        )
    return Panel(
        id="routing",
        kind="table",
        title="What each router picked, and what it had to generate for it",
        rows=tuple(rows),
        columns=tuple(rows[0]),
    )


def _arbiter(pool: Path) -> Panel:
    found = _json(pool, "arbiter.json")
    rows = [
        {"label": row["language"], "value": row["accuracy"], "low": row["low"], "high": row["high"], "reference": 0.5}
        for row in found["accuracy"]
    ]
    if not rows:
        return Panel(
            id="arbiter", kind="text", title="Arbiter", rows=({"text": "The truth of these prompts is not known."},)
        )
    return Panel(
        id="arbiter",
        kind="intervals",
        title="How often the arbiter orders two answers as the truth does (accuracy)",
        caption=f"Arbiter: {found['identity']}. Pairs of teachers' answers to one prompt of which one is better.",
        rows=tuple(rows),
        x_title="pairwise accuracy",
    )


def _win_rates(config: PanelsConfig, folders: Mapping[str, Path]) -> Panel:
    rows = []
    for arm in _arms(folders):
        for found in _summaries(_pooled(config, folders, arm, ["win_rate"])):
            if found.language == "all" or arm == config.ladder[-1]:
                name = arm if found.language == "all" else f"{arm}, {found.language}"
                group = "all languages" if found.language == "all" else f"{arm} by language"
                interval = found.interval
                rows.append(
                    {
                        "label": name,
                        "value": interval.estimate,
                        "low": interval.low,
                        "high": interval.high,
                        "group": group,
                    }
                )
    return Panel(
        id="win-rates",
        kind="intervals",
        title="Win rate against the base model (wins over all prompts, ties apart)",
        caption="Swapped double game, a prompt is won by the majority of its two games. Question-clustered intervals.",
        rows=tuple(rows),
        x_title="win rate",
    )


def _positions(config: PanelsConfig, folders: Mapping[str, Path]) -> Panel:
    from paribus.evaluation.position import position_report
    from paribus.records import Verdict, read_records

    rows = []
    for arm in _arms(folders):
        verdicts = list(read_records(folders[f"{arm}@{config.seeds[0]}"] / "verdicts.jsonl", Verdict))
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


def _pair_table(pairs: Mapping[str, Path]) -> list[Panel]:
    rows = [
        {
            "pairs": name,
            "source": source,
            "number": found["pairs"],
            "dropped: no margin": found["dropped_ties"],
            "dropped: empty": found["dropped_empty"],
            "mean margin": found["margin"],
            "length gap, characters": found["length_gap"],
        }
        for name, folder in pairs.items()
        for source, found in _json(folder, "statistics.json").items()
    ]
    if not rows:
        return []
    return [Panel(id="pairs", kind="table", title="Preference pairs", rows=tuple(rows), columns=tuple(rows[0]))]


_SIGNS = ("gap", "drift", "kl", "wrong_language", "exact_match", "distinct")


def _monitors(monitors: Mapping[str, Path]) -> list[Panel]:
    rows = [
        {"x": found["round"] + 1, "y": found[sign], "series": name, "facet": sign}
        for name, folder in monitors.items()
        for found in _json(folder, "monitors.json")
        for sign in _SIGNS
    ]
    if not rows:
        return []
    stops = [
        f"{n}: {found['stop']}" for n, f in monitors.items() for found in _json(f, "monitors.json") if found["stop"]
    ]
    said = f" Stop rule: {'; '.join(stops)}." if stops else " The stop rule was not met."
    caption = (
        "Of the samples that each round was trained on. gap: arbiter minus gold, in first-round standard deviations; "
        "drift: relative change of length; kl: nats an answer to the start model." + said
    )
    return [
        Panel(
            id="monitors",
            kind="lines",
            title="Watching for reward hacking, round by round",
            caption=caption,
            rows=tuple(rows),
            x_title="round",
        )
    ]


def _samples(config: PanelsConfig, folders: Mapping[str, Path], prompts: Path) -> Panel:
    asked = read_prompts(prompts)
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
                correct = bool(right(prompt, text))
                note = "" if correct else f"expected: {prompt.meta['answer']}"
                row = {"language": language, "prompt": prompt.text, "arm": arm, "text": text}
                rows.append(row | {"correct": correct, "note": note})
    return Panel(
        id="samples",
        kind="samples",
        title="Answers side by side",
        caption="The first test prompts of each language, not picked.",
        rows=tuple(rows),
    )
