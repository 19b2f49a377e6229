"""Charts and tables of sizes: widths and states of networks beside bounds and constructions."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from paribus.errors import ConfigError
from paribus.lab import Panel
from paribus.models.sequence_shape import GROWING, SequenceShape
from paribus.studies.stages.formal import OVERLAP, PRECISION, VERIFIED, read_rows
from paribus.studies.stages.outcomes_formal import Folders, FormalPanelsConfig, Outcomes, PanelArm
from paribus.studies.stages.problems import FormalProblem
from paribus.testbeds.formal.tasks import BoundedDyck


class SizeCharts(Outcomes):
    """Accuracy against width and state, with what is proved."""

    def widths(self, verified: Sequence[Mapping[str, Any]]) -> list[Panel]:
        """Accuracy against width with every bound and construction, a chart for each task; and against state bits."""
        constructed = {row["task"]: row["width"] for row in reversed(verified)}
        return [
            Panel(
                id="widths",
                kind="lines",
                title="Accuracy against width, with what is proved",
                caption=(
                    "Faint points: single seeds. Vertical lines: the least width of an exact recurrent net with fp32 "
                    "numbers, of an exact one-layer Transformer where a bound is known, and the width of the paper's "
                    "own construction. A bound speaks of exact answers in the worst case; left of it no net "
                    "of its kind can be exact, right of it nothing is promised about learning."
                ),
                rows=tuple(row for problem in self.config.order for row in self._width_rows(problem, constructed)),
                x_title="width",
                y_title="accuracy",
                x_scale="log",
            ),
            Panel(
                id="state",
                kind="lines",
                title="Accuracy of lookup against the bits of the state",
                caption=(
                    "Nets with a state of fixed size, fp32. Vertical line: bits that an exact net needs. Dashed: the "
                    "best accuracy that so many bits allow (Fano's inequality)."
                ),
                rows=tuple(self._state_rows()),
                x_title="bits of the state",
                y_title="accuracy",
                x_scale="log",
            ),
        ]

    def _width_rows(self, problem: str, constructed: Mapping[str, int]) -> list[dict[str, Any]]:
        rows, given = self._runs(problem, lambda arm: arm.width), self.config.problems[problem]
        places = [("recurrent, at least", _recurrent_width(given)), ("construction", constructed[given.task.name])]
        places += _one_layer(given, self.config.heads)
        bounds = [{"x": width, "y": None, "series": name, "facet": problem, "role": "bound"} for name, width in places]
        return [*rows, *(bounds if rows else [])]

    def _runs(self, problem: str, x: Callable[[PanelArm], float], kinds: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Mean accuracy of the architectures at their x, and every seed's."""
        rows: list[dict[str, Any]] = []
        arms = [arm for arm, name in self.learned() if name == problem and (not kinds or arm.of in kinds)]
        for arm in sorted(arms, key=lambda arm: (arm.of, x(arm))):
            found = self.by_seed(arm, problem)
            point = {"x": x(arm), "facet": problem}
            rows.append({**point, "y": fmean(found), "series": arm.of})
            rows += [
                {**point, "y": value, "series": f"seed {seed}", "role": "run", "of": arm.of}
                for seed, value in zip(self.config.seeds, found, strict=True)
            ]
        return rows

    def _state_rows(self) -> list[dict[str, Any]]:
        from paribus.testbeds.formal.bounds import recurrent_bits, task_ceiling

        problem = next((name for name in self.config.problems if name == "lookup"), None)
        if problem is None:
            return []
        fixed = [arm.of for arm, name in self.learned() if name == problem and self._mixer(arm) not in GROWING]
        task = self.config.problems[problem].task

        def bits(arm: PanelArm) -> int:
            return arm.networks[problem].shape(self.config.problems[problem]).state_bits(task.tokens)

        rows = self._runs(problem, bits, fixed) if fixed else []
        if not rows:
            return []
        needed = recurrent_bits(task)
        widest = max(row["x"] for row in rows)
        curve = [*(needed * 2 ** (step / 4) for step in range(-16, 1)), *([widest] if widest > needed else [])]
        rows += [
            {"x": x, "y": task_ceiling(task, x), "series": "ceiling", "facet": problem, "role": "reference"}
            for x in curve
        ]
        return [
            *rows,
            {"x": needed, "y": None, "series": f"{needed} bits", "facet": problem, "role": "bound"},
        ]

    def _mixer(self, arm: PanelArm) -> str:
        return next(iter(arm.networks.values())).mixer

    def sizes(self) -> Panel:
        """What every network has and carries."""
        rows = []
        for arm, problem in self.by_problem():
            given = self.config.problems[problem]
            shape = arm.networks[problem].shape(given)
            rows.append(
                {
                    "task": problem,
                    "arm": arm.name,
                    "layers": shape.num_hidden_layers,
                    "width": shape.hidden_size,
                    "feed-forward": shape.feed_forward,
                    "parameters": shape.parameters,
                    "state, numbers": shape.state_numbers(given.tokens),
                    "state, bits": shape.state_bits(given.tokens),
                    "state grows": "yes" if shape.mixer in GROWING else "",
                    "FLOPs a token": round(shape.flops_per_token(given.tokens)),
                    "token accuracy": fmean(self.by_seed(arm, problem, measure="token_accuracy")),
                    "ceiling of the state": _ceiling(shape, given),
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


def _ceiling(shape: SequenceShape, problem: FormalProblem) -> float | None:
    """The best token accuracy that a fixed state allows, where a closed form is known."""
    from paribus.testbeds.formal.bounds import task_ceiling

    if shape.mixer in GROWING:
        return None
    try:
        return task_ceiling(problem.task, shape.state_bits(problem.tokens))
    except ConfigError:
        return None


def _recurrent_width(problem: FormalProblem) -> int:
    from paribus.testbeds.formal.bounds import recurrent_width

    return recurrent_width(problem.task, 32)


def _decided(task: Any) -> Any:
    """The task as a question of yes and no: whoever tells the next characters of a Dyck string tells membership."""
    return task.model_copy(update={"readout": "membership"}) if isinstance(task, BoundedDyck) else task


def _one_layer(problem: FormalProblem, heads: int) -> list[tuple[str, int]]:
    """The least width of a one-layer Transformer, where a bound is known."""
    from paribus.testbeds.formal.bounds import one_layer_width

    try:
        return [("one layer, at least", one_layer_width(_decided(problem.task), heads=heads, bits_per_number=32).width)]
    except ConfigError:
        return []


def bounds(config: FormalPanelsConfig) -> list[Panel]:
    """What is proved of every task, and what the proof assumes."""
    from paribus.testbeds.formal.bounds import one_layer_width, recurrent_bits, recurrent_width

    rows, assumed = [], []
    for name in config.order:
        task = config.problems[name].task
        row: dict[str, Any] = {
            "task": name,
            "bits of an exact recurrent state": recurrent_bits(task),
            "fp32 numbers": recurrent_width(task, 32),
            "bf16 numbers": recurrent_width(task, 16),
            "width of one exact attention layer": None,
        }
        try:
            bound = one_layer_width(_decided(task), heads=config.heads, bits_per_number=32)
            row["width of one exact attention layer"] = bound.width
            assumed.append({"task": name, "setting": task.name, "the bound on one layer assumes": bound.assumes})
        except ConfigError:
            assumed.append({"task": name, "setting": task.name, "the bound on one layer assumes": "no bound is known"})
        rows.append(row)
    return [
        Panel(
            id="bounds",
            kind="table",
            title="What is proved: least sizes of exact solvers",
            caption=(
                "Worst case over inputs. Equality has a randomised protocol of few bits, so its one-layer bound says "
                "nothing about the average input. Lookup has no bound on one layer: one of small width does it."
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
    return Panel(
        id="verified",
        kind="table",
        title="Constructions, checked",
        caption=(
            "Hand-written weights in the class of the trained networks. Exhaustive: every input there is. Else errors "
            "are rarer than the failure bound with 95% confidence. Margin: the least gap between a right logit and the "
            "best wrong one."
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
