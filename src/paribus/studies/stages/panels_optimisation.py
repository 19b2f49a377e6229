"""Charts and tables of what was picked by feedback: best of n, rounds of training, what the pairs teach."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.lab import Panel
from paribus.studies.stages.annotation import read_outputs
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.graded import READER, read_pairs
from paribus.studies.stages.optimisation import QUALITIES
from paribus.studies.stages.panels import pooled, summaries

if TYPE_CHECKING:
    from paribus.statistics import Interval


class PicksPanelsConfig(StageConfig):
    """Numbers of answers to pick from, the arms of picked answers by what picked them, and by whose feedback policies
    were trained in how many rounds."""

    seeds: tuple[int, ...]
    sizes: tuple[int, ...]
    rounds: int
    trained: tuple[str, ...]
    picked: dict[str, str]


def optimisation_panels(
    config: PicksPanelsConfig, outputs: Path, pairs: Mapping[str, Path], examinations: Mapping[str, Path]
) -> list[Panel]:
    """Pairs are keyed ``feedback@seed``; examinations ``arm@seed`` and, of policies, ``feedback-round@seed``."""
    charts = _Charts(config, outputs, pairs, examinations)
    return [charts.picks(), charts.rounds(), charts.labels()]


class _Charts:
    """Picks, policies and pairs of all seeds."""

    def __init__(
        self, config: PicksPanelsConfig, outputs: Path, pairs: Mapping[str, Path], examinations: Mapping[str, Path]
    ) -> None:
        self.config, self.outputs, self.pairs, self.examinations = config, outputs, pairs, examinations

    def picks(self) -> Panel:
        """What the best of n is like, as n grows."""
        rows = [
            {"x": n, "y": row.interval.estimate, **known_ends(row.interval), "series": by, "facet": quality}
            for by, arm in self.config.picked.items()
            for quality in QUALITIES
            for n in self.config.sizes
            for row in summaries(
                pooled(self.config.seeds, self.examinations, arm, [f"{quality}_best_of_{n}"]), by="nothing"
            )
        ]
        return Panel(
            id="best-of-n",
            kind="lines",
            title="Best of n by reward models of different feedback",
            caption=(
                "Assertiveness as planted (-2 to 2), true quality (0 to 1) and the share of answers with all parts "
                "right, of the answer that is picked. Reward models differ in who labelled their pairs. All seeds."
            ),
            rows=tuple(rows),
            x_title="answers to choose from",
            y_title="value of the pick",
            x_scale="log",
        )

    def rounds(self) -> Panel:
        """What policies answer, round by round."""
        rows = [
            {"x": number, "y": row.interval.estimate, **known_ends(row.interval), "series": by, "facet": quality}
            for by in self.config.trained
            for quality in ("assertiveness", "truth")
            for number in range(self.config.rounds + 1)
            for row in summaries(
                pooled(self.config.seeds, self.examinations, f"{by}-{number}", [f"policy_{quality}"]), by="nothing"
            )
        ]
        return Panel(
            id="rounds",
            kind="lines",
            title="Trained on its own best answers: what a policy says, round by round",
            caption=(
                "Each round the policy answers inputs several times, and is trained on the answers that a reward model "
                "of the named feedback scores highest. Graded on test requests, all seeds; round 0 is the base."
            ),
            rows=tuple(rows),
            x_title="rounds",
            y_title="mean over answers",
        )

    def labels(self) -> Panel:
        """How often pairs of each kind of feedback are right, and how often assertiveness decides."""
        truth = {row.id: row.meta for row in read_outputs(self.outputs)}
        rows = []
        for by in dict.fromkeys(key.partition("@")[0] for key in self.pairs):
            folders = [self.pairs[f"{by}@{seed}"] for seed in self.config.seeds]
            counts = [json.loads((folder / "pairs.json").read_text()) for folder in folders]
            sides = [
                (truth[row.meta["chosen_id"]], truth[row.meta["rejected_id"]])
                for folder in folders
                for row in read_pairs(folder, READER)
            ]
            rows.append(
                {
                    "feedback": by,
                    "forms": sum(row["forms"] for row in counts),
                    "pairs (no tie)": sum(row["pairs"] for row in counts),
                    "preferred is better": _share(a["quality"] - b["quality"] for a, b in sides),
                    "preferred is more assertive": _share(a["assertiveness"] - b["assertiveness"] for a, b in sides),
                }
            )
        caption = "Shares of pairs that differ in it, all seeds."
        return table("labels", "What the pairs teach", caption, rows)


def _share(differences: Iterable[float]) -> float | None:
    """How often a difference is above zero where it is not zero; None if it always is."""
    signs = [value > 0 for value in differences if value]
    return round(sum(signs) / len(signs), 3) if signs else None


def table(name: str, title: str, caption: str, rows: list[dict[str, Any]]) -> Panel:
    """A table with the columns of its first row."""
    columns = tuple(rows[0]) if rows else ()
    return Panel(id=name, kind="table", title=title, caption=caption, rows=tuple(rows), columns=columns)


def known_ends(found: "Interval") -> dict[str, float | None]:
    """The ends of an interval as columns, None where it has none."""
    known = found.low == found.low and found.high == found.high
    return {"low": found.low, "high": found.high} if known else {"low": None, "high": None}
