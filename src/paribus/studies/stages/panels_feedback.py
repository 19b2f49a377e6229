"""Panels about feedback: routing, the arbiter, preference pairs, the monitors of online rounds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paribus.lab import Panel
from paribus.studies.stages.arbitrage import read_completions, right
from paribus.studies.stages.data import read_prompts, truth_known

ACCURACIES = (0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Of the simulated arbiters, of right against wrong answers."""


def _json(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def routing_panels(routes: Mapping[str, Path]) -> list[Panel]:
    """Whom the routers picked, and at what cost."""
    return [_shares(routes), _routing(routes)]


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
                "right answers": found["gold"].get("all"),
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


def arbiter_panels(pool: Path, dev_pool: Path, prompts: Path) -> list[Panel]:
    """How good the arbiter is, and how good it would have to be."""
    found = _json(pool, "arbiter.json")
    if not found["truth_known"]:
        text = f"Arbiter: {found['identity']}. Right answers are not known, so its accuracy cannot be measured."
        return [Panel(id="arbiter", kind="text", title="Arbiter", rows=({"text": text},))]
    return [_accuracy(found), *_sweep(pool, dev_pool, prompts)]


def _accuracy(found: dict[str, Any]) -> Panel:
    rows = [
        {"label": row["language"], "value": row["accuracy"], "low": row["low"], "high": row["high"], "reference": 0.5}
        for row in found["accuracy"]
    ]
    return Panel(
        id="arbiter",
        kind="intervals",
        title="How often the arbiter orders two answers as the truth does (accuracy)",
        caption=f"Arbiter: {found['identity']}. Pairs of teachers' answers to one prompt of which one is better.",
        rows=tuple(rows),
        x_title="pairwise accuracy",
    )


def _sweep(pool: Path, dev_pool: Path, folder: Path) -> list[Panel]:
    """Reward routing against fixed routing, had the arbiter been better or worse."""
    from paribus.feedback.arbiter_sweep import sweep_arbiter_accuracy
    from paribus.feedback.routing import TeacherPool, build_pool, find_experts

    prompts = read_prompts(folder)
    if not truth_known(prompts):
        return []
    answers, practice = (read_completions(place / "pool.jsonl") for place in (pool, dev_pool))
    registry = TeacherPool(_who_answered(answers))
    experts = find_experts(build_pool(practice, registry))
    scored = build_pool(answers, registry)
    found = sweep_arbiter_accuracy(prompts, scored, experts, right, accuracies=ACCURACIES, resamples=500)
    rows = [
        {
            "label": f"accuracy {row.accuracy:.0%}",
            "value": row.difference.estimate,
            "low": row.difference.low,
            "high": row.difference.high,
            "reference": 0.0,
            "measured accuracy": row.measured,
            "right, reward routing": row.reward,
            "right, fixed routing": row.fixed,
        }
        for row in found
        if row.language == "all"
    ]
    return [
        Panel(
            id="arbiter-sweep",
            kind="intervals",
            title="How good an arbiter must be: reward minus fixed routing, right answers picked",
            caption=(
                "The same pool scored by simulated arbiters of planted accuracy. Left of zero the language's known "
                "expert is the better choice, and cheaper."
            ),
            rows=tuple(rows),
            x_title="difference in the share of right answers picked",
        )
    ]


def _who_answered(answers: list[Any]) -> dict[str, tuple[str, ...]]:
    spoken: dict[str, set[str]] = {}
    for row in answers:
        spoken.setdefault(row.model, set()).add(row.language)
    return {teacher: tuple(sorted(languages)) for teacher, languages in spoken.items()}


def pair_panels(pairs: Mapping[str, Path]) -> list[Panel]:
    """Statistics of the preference pairs, by source."""
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


def monitor_panels(monitors: Mapping[str, Path]) -> list[Panel]:
    """The signs of reward hacking, round by round."""
    rows = [
        {"x": found["round"] + 1, "y": found[sign], "series": name, "facet": sign}
        for name, folder in monitors.items()
        for found in _json(folder, "monitors.json")
        for sign in _SIGNS
        if sign in found
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
