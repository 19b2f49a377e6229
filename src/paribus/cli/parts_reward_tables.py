"""Tables of ``paribus evaluate-reward``: each is printed, and given back as plain values for result.json."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from paribus.cli.parts_judging import share
from paribus.cli.parts_progress import print_table, say

if TYPE_CHECKING:
    from paribus.evaluation.items import ItemRow
    from paribus.evaluation.reward_models import Outcomes, ScoredPairs


def pair_table(title: str, rows: "Sequence[ItemRow]", drawing: dict[str, Any]) -> list[dict[str, Any]]:
    """Accuracy by group and language; ``drawing`` has resamples, level and rng."""
    from paribus.evaluation.items import summarise

    found = summarise(rows, **drawing)
    shown = [row for row in found if row.language == "all" or row.group == "all"]
    cells = [[row.group, row.language, share(row.interval), row.interval.n] for row in shown]
    heading = f"{title}\n{100 * drawing['level']:g}% intervals over questions"
    print_table(heading, ["group", "language", "accuracy", "questions"], cells)
    return [asdict(row) for row in found]


def bench_table(outcomes: "Outcomes", drawing: dict[str, Any]) -> dict[str, Any]:
    """RewardBench's section scores by language, accuracy by published length trend, and what deviates."""
    from paribus.evaluation.reward_bench import reward_bench

    found = reward_bench(outcomes, **drawing)
    cells = [[row.section, row.language, share(row.score), row.pairs] for row in found.sections]
    print_table("RewardBench sections (weighted; all: their mean)", ["section", "language", "score", "pairs"], cells)
    trends = [[trend, share(interval)] for trend, interval in found.by_length]
    print_table("By which answer tends to win in a subset", ["as published", "accuracy"], trends)
    if found.deviations:
        say(
            f"{len(found.deviations)} subsets differ from the published set, such as {found.deviations[0]}; these are "
            "not scores of the whole benchmark."
        )
    return asdict(found)


def length_table(found: "Outcomes | ScoredPairs", sections: bool, drawing: dict[str, Any]) -> list[dict[str, Any]]:
    """Accuracy where the better answer is longer and where it is shorter, and margins against lengths; with
    ``sections`` in each section of RewardBench as well.
    """
    from paribus.evaluation.length_bias import length_bias
    from paribus.evaluation.reward_bench_data import section_of

    reports = length_bias(found, group=section_of if sections else None, **drawing)
    columns = ["language", "section", "better is longer", "better is shorter", "gap", "longer wins", "margin-length r"]
    cells = [
        [
            row.language,
            row.group,
            share(row.longer),
            share(row.shorter),
            share(row.gap),
            share(row.longer_wins),
            _number(row.pearson),
        ]
        for row in reports
    ]
    print_table("Length bias", columns, cells)
    return [asdict(row) for row in reports]


def _number(interval: Any) -> str:
    if interval is None:
        return "–"
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
