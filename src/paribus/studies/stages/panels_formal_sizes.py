"""Charts and tables of sizes: widths and states of networks beside bounds and constructions."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from paribus.lab import Panel
from paribus.models.sequence_shape import GROWING
from paribus.studies.stages.formal import OVERLAP, PRECISION, VERIFIED
from paribus.studies.stages.outcomes import Folders
from paribus.studies.stages.outcomes_formal import FormalOutcomes, FormalPanelsConfig, PanelArm
from paribus.studies.stages.rows import read_rows
from paribus.testbeds.formal.bounds import (
    OneLayerBound,
    known,
    one_layer_width,
    recurrent_bits,
    recurrent_width,
    task_ceiling,
)
from paribus.testbeds.formal.probing import StateFacts
from paribus.testbeds.formal.task import FormalTask
from paribus.testbeds.formal.tasks import BoundedDyck


class SizeCharts(FormalOutcomes):
    """Accuracy against width and state, with what is proved."""

    def widths(self, verified: Sequence[Mapping[str, Any]]) -> list[Panel]:
        """Accuracy against width, and against the bits of a fixed state, with every bound and construction."""
        constructed = {row["task"]: row for row in reversed(verified)}
        return [
            Panel(
                id="widths",
                kind="lines",
                title="Accuracy against width",
                caption=(
                    "Faint points: single seeds. Vertical lines: the width of the paper's own construction, and the "
                    "least width of an exact one-layer Transformer where a bound is known. Left of that bound one "
                    "layer cannot be exact on all inputs; right of it nothing is promised about learning."
                ),
                rows=tuple(row for problem in self.config.order for row in self._width_rows(problem, constructed)),
                x_title="width",
                y_title="accuracy",
                x_scale="log",
            ),
            Panel(
                id="state",
                kind="lines",
                title="Answers right against the bits of the state",
                caption=(
                    "Nets with a state of fixed size, fp32; token accuracy. Vertical lines: bits that every exact net "
                    "of this kind needs, and bits of the hand-written one. Dashed: the best accuracy that so many bits "
                    "allow (Fano's inequality), where a closed form is known."
                ),
                rows=tuple(row for problem in self.config.order for row in self._state_rows(problem, constructed)),
                x_title="bits of the state",
                y_title="accuracy",
                x_scale="log",
            ),
        ]

    def _width_rows(self, problem: str, constructed: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        arms = [arm for arm, name in self.learned() if name == problem]
        rows, given = self._runs(problem, arms, lambda arm: arm.width, "accuracy"), self.config.problems[problem]
        if not rows:
            return []
        rows.append(_flag("construction", constructed[given.task.name]["width"], problem))
        if bound := _one_layer(given.task, self.config.heads):
            rows.append(_flag("one layer, at least", bound.width, problem))
        return rows

    def _state_rows(self, problem: str, constructed: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        given = self.config.problems[problem]
        fixed = [arm for arm, name in self.learned() if name == problem and arm.networks[name].mixer not in GROWING]

        def bits(arm: PanelArm) -> int:
            return arm.networks[problem].shape(given).state_bits(given.tokens)

        rows = self._runs(problem, fixed, bits, "token_accuracy")
        if not rows:
            return []
        needed, widest = recurrent_bits(given.task), max(row["x"] for row in rows)
        for x in [*(needed * 2 ** (step / 4) for step in range(-16, 1)), *([widest] if widest > needed else [])]:
            ceiling = known(partial(task_ceiling, given.task, x))
            if ceiling is not None:
                rows.append({"x": x, "y": ceiling, "series": "ceiling", "facet": problem, "role": "reference"})
        rows.append(_flag(f"needs {needed} bits", needed, problem))
        if isinstance(given.task, BoundedDyck):
            units = constructed[given.task.name]["width"]
            rows.append(_flag("construction", 32 * units, problem))
        return rows

    def _runs(
        self, problem: str, arms: Sequence[PanelArm], x: Callable[[PanelArm], float], measure: str
    ) -> list[dict[str, Any]]:
        """Mean accuracy of arms at their x, and every seed's."""
        rows: list[dict[str, Any]] = []
        for arm in sorted(arms, key=lambda arm: (arm.of, x(arm))):
            found = self.by_seed(arm, problem, measure=measure)
            point = {"x": x(arm), "facet": problem}
            rows.append({**point, "y": fmean(found), "series": arm.of})
            rows += [
                {**point, "y": value, "series": f"seed {seed}", "role": "run", "of": arm.of}
                for seed, value in zip(self.config.seeds, found, strict=True)
            ]
        return rows

    def sizes(self) -> Panel:
        """What every network has and carries."""
        rows = []
        for arm, problem in self.by_problem():
            given = self.config.problems[problem]
            shape = arm.networks[problem].shape(given)
            state = StateFacts.of(given.task, shape)
            rows.append(
                {
                    "task": problem,
                    "arm": arm.name,
                    "layers": shape.num_hidden_layers,
                    "width": shape.hidden_size,
                    "feed-forward": shape.feed_forward,
                    "parameters": shape.parameters,
                    "state, numbers": state.numbers,
                    "state, bits": state.bits,
                    "state grows": "" if state.binds else "yes",
                    "FLOPs a token": round(shape.flops_per_token(given.tokens)),
                    "token accuracy": fmean(self.by_seed(arm, problem, measure="token_accuracy")),
                    "ceiling of the state": state.ceiling,
                }
            )
        return Panel(
            id="sizes",
            kind="table",
            title="Sizes: what is equal and what is not",
            caption=(
                "Arms of one width have equal parameters (the feed-forward layer takes up the difference), but for "
                "those named raw, which are as they come. States differ by the nature of the mixers. Ceiling: the best "
                "token accuracy that the bits of a fixed state allow (Fano), where one is known; no net can beat it."
            ),
            rows=tuple(rows),
        )

    def equal_states(self) -> Panel:
        """Nets whose states hold as many numbers, side by side."""
        found: dict[tuple[str, int], list[PanelArm]] = {}
        for arm, problem in self.by_problem():
            given = self.config.problems[problem]
            shape = arm.networks[problem].shape(given)
            if shape.mixer not in GROWING and not arm.name.endswith("_raw"):
                found.setdefault((problem, shape.state_numbers(given.tokens)), []).append(arm)
        rows = [
            {
                "task": problem,
                "state, numbers": numbers,
                "arm": arm.name,
                "width": arm.width,
                "parameters": arm.networks[problem].parameters(self.config.problems[problem]),
                "accuracy": fmean(self.by_seed(arm, problem)),
            }
            for (problem, numbers), arms in found.items()
            if len({arm.of for arm in arms}) > 1
            for arm in arms
        ]
        return Panel(
            id="equal-states",
            kind="table",
            title="Nets with equally large states",
            caption="Equal states, so unequal widths and parameters: the other way to make recurrent nets comparable.",
            rows=tuple(rows),
        )


def _flag(name: str, x: float, facet: str) -> dict[str, Any]:
    """A vertical line with a name."""
    return {"x": x, "y": None, "series": name, "facet": facet, "role": "bound"}


def _one_layer(task: FormalTask, heads: int) -> OneLayerBound | None:
    """The least width of a one-layer Transformer in fp32, where a bound is known."""
    return known(lambda: one_layer_width(task, heads=heads, bits_per_number=32))


def bounds(config: FormalPanelsConfig) -> list[Panel]:
    """What is proved of every task, and what the proof assumes."""
    rows, assumed = [], []
    for name in config.order:
        task = config.problems[name].task
        bound = _one_layer(task, config.heads)
        row = {
            "task": name,
            "bits of an exact recurrent state": recurrent_bits(task),
            "fp32 numbers": recurrent_width(task, 32),
            "bf16 numbers": recurrent_width(task, 16),
            "width of one exact attention layer": bound.width if bound else None,
        }
        assumes = bound.assumes if bound else "no bound is known"
        assumed.append({"task": name, "setting": task.name, "the bound on one layer assumes": assumes})
        rows.append(row)
    return [
        Panel(
            id="bounds",
            kind="table",
            title="What is proved: least sizes of exact solvers",
            caption=(
                "Worst case over inputs. Equality has a randomised protocol of few bits, so its one-layer bound says "
                "nothing about the average input. Lookup has no bound on one layer: one of small width does it. "
                "The paper's bound for bounded Dyck is on membership; next characters tell it over all positions only."
            ),
            rows=tuple(rows),
        ),
        Panel(
            id="assumptions",
            kind="table",
            title="The tasks, and what both sides of a cut know",
            rows=tuple(assumed),
        ),
    ]


def verified_table(folder: Path) -> Panel:
    """Constructions and what checking them gave."""
    return Panel(
        id="verified",
        kind="table",
        title="Constructions, checked",
        caption=(
            "Hand-written weights in the class of the trained networks. Exhaustive: every input there is was run. "
            "Proved: no input, or no input of any length, can be answered wrong, by a certificate over the weights or "
            "a walk through all states. Else errors are rarer than the failure bound with 95% confidence. Margin: the "
            "guaranteed gap between a right logit and the best wrong one; measured: the least that was seen."
        ),
        rows=tuple(read_rows(folder / VERIFIED)),
    )


def precision_table(folder: Path) -> Panel:
    """Attention mass that misses its target, by number format and size; above what is tolerated it breaks."""
    rows = [
        {
            "construction": row["construction"],
            "size": row["size"],
            "width": row["width"],
            "number format": row["dtype"],
            "stray attention": row["mass"],
            "tolerated": row["tolerated"],
            "holds": "yes" if row["holds"] else "BREAKS",
        }
        for row in read_rows(folder / PRECISION)
    ]
    return Panel(
        id="precision",
        kind="table",
        title="Where a construction breaks: number formats",
        caption="The certificate bounds the error of every input there is at that size.",
        rows=tuple(rows),
    )


def overlap_table(folders: Folders) -> Panel:
    rows = [{"task": name} | json.loads((folder / OVERLAP).read_text()) for name, folder in folders.items()]
    return Panel(
        id="overlap",
        kind="table",
        title="Test sequences met in training",
        caption="Counted exactly over the streams of all seeds. Small input spaces repeat themselves of necessity.",
        rows=tuple(rows),
    )
