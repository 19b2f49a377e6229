"""The stage that turns what networks did on formal tasks into the charts and tables of a report."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import Field

from paribus.errors import ConfigError
from paribus.lab import Panel, stage
from paribus.models.sequence_shape import GROWING
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.formal import DEPTHS, LENGTHS, OVERLAP, PRECISION, VERIFIED, read_rows
from paribus.studies.stages.panels import pooled, summaries, write_panels
from paribus.studies.stages.problems import FormalProblem, Network
from paribus.studies.stages.sequences import SWEEP, TRAINING
from paribus.testbeds.formal.tasks import BoundedDyck


class PanelArm(StageConfig):
    """An arm, what it was trained on, and its network for each problem. ``of``: the architecture, for arms that are
    another width of one."""

    name: str
    of: str
    width: int
    networks: dict[str, Network] = Field(default_factory=dict)
    problems: tuple[str, ...]


class FormalPanelsConfig(StageConfig):
    """Arms and problems in the study's order, seeds; ``solved``: accuracy from which a run solved its problem."""

    arms: tuple[PanelArm, ...]
    order: tuple[str, ...]
    problems: dict[str, FormalProblem]
    seeds: tuple[int, ...]
    solved: float
    heads: int


Folders = Mapping[str, Path]
CONTROL = "without_first_layer"


@stage(version="1")
def formal_panels(
    config: FormalPanelsConfig,
    examinations: dict[str, Path],
    trained: dict[str, Path],
    sweeps: dict[str, Path],
    overlaps: dict[str, Path],
    verified: Path,
    *,
    out: Path,
) -> None:
    """Write ``panels.jsonl``. Examinations and models are keyed ``problem/arm@seed``, sweeps ``problem/arm``."""
    drawer = _Drawer(config, examinations, trained, sweeps)
    panels = [
        drawer.matrix(),
        drawer.seeds(),
        *drawer.widths(read_rows(verified / VERIFIED)),
        *drawer.lengths(),
        drawer.courses(),
        *drawer.depths(),
        drawer.sizes(),
        *_bounds(config),
        _verified(verified),
        _precision(verified),
        _overlap(overlaps),
    ]
    write_panels(out, [panel for panel in panels if panel.rows])


class _Drawer:
    """Charts of what was trained."""

    def __init__(self, config: FormalPanelsConfig, examinations: Folders, trained: Folders, sweeps: Folders) -> None:
        self.config, self.examinations, self.trained, self.sweeps = config, examinations, trained, sweeps

    def pairs(self) -> Iterator[tuple[PanelArm, str]]:
        """Every arm with every problem that it was examined on."""
        for arm in self.config.arms:
            for problem in arm.problems:
                yield arm, problem

    def learned(self) -> Iterator[tuple[PanelArm, str]]:
        """Of those, the ones that were trained."""
        return ((arm, problem) for arm, problem in self.pairs() if problem in arm.networks)

    def by_problem(self) -> list[tuple[PanelArm, str]]:
        """The same, problem by problem."""
        return sorted(self.learned(), key=lambda pair: self.config.order.index(pair[1]))

    def interval(self, arm: PanelArm, problem: str, measure: str = "accuracy") -> Any:
        """Mean over seeds and test sequences, with its interval."""
        folders = {
            f"{arm.name}@{seed}": self.examinations[f"{problem}/{arm.name}@{seed}"] for seed in self.config.seeds
        }
        rows = pooled(self.config.seeds, folders, arm.name, [f"{problem}_{measure}"])
        return summaries(rows, by="nothing")[0].interval

    def by_seed(self, arm: PanelArm, problem: str, size: int | None = None, measure: str = "accuracy") -> list[float]:
        """Accuracy of each seed at a size of the problem (None: the one of training)."""
        wanted = self.config.problems[problem].task.size if size is None else size
        found = []
        for seed in self.config.seeds:
            rows = json.loads((self.examinations[f"{problem}/{arm.name}@{seed}"] / LENGTHS).read_text())
            found += [row[measure] for row in rows if row["size"] == wanted]
        return found

    # ---- Accuracy ----------------------------------------------------------------------------------------------------

    def matrix(self) -> Panel:
        """Arms by problems."""
        rows = []
        for arm, problem in self.pairs():
            value = self.interval(arm, problem)
            rows.append({"x": problem, "y": arm.name, "value": value.estimate, "low": value.low, "high": value.high})
        return Panel(
            id="accuracy",
            kind="heatmap",
            title="Accuracy on test sequences: all of a sequence right",
            caption="Means over test sequences and seeds; intervals resample sequences. Constructions are not trained.",
            rows=tuple(rows),
            x_title="task",
            y_title="arm",
            better="more",
        )

    def seeds(self) -> Panel:
        """Every run's outcome: how many seeds solved it, the worst and the best, and the learning rate."""
        return Panel(
            id="seeds",
            kind="table",
            title="How many seeds solved the task",
            caption=(
                f"Solved: at least {self.config.solved:.0%} of test sequences right throughout, with the interval of "
                "the share of seeds (Wilson). A rate at the edge says that a wider sweep may do better. What "
                "was not solved was not learned within this budget."
            ),
            rows=tuple(self._seed_row(arm, problem) for arm, problem in self.by_problem()),
        )

    def _seed_row(self, arm: PanelArm, problem: str) -> dict[str, Any]:
        from paribus.statistics import wilson

        found = self.by_seed(arm, problem)
        share = wilson(sum(value >= self.config.solved for value in found), len(found))
        sweep = json.loads((self.sweeps[f"{problem}/{arm.name}"] / SWEEP).read_text())
        told = json.loads((self.trained[f"{problem}/{arm.name}@{self.config.seeds[0]}"] / TRAINING).read_text())
        return {
            "task": problem,
            "arm": arm.name,
            "solved": f"{sum(value >= self.config.solved for value in found)} of {len(found)}",
            "share from": share.low,
            "share to": share.high,
            "accuracy, worst": min(found),
            "accuracy, best": max(found),
            "token accuracy": fmean(self.by_seed(arm, problem, measure="token_accuracy")),
            "learning rate": f"{sweep['chosen']:g}",
            "at the edge": "yes" if sweep["edge"] else "",
            "rates tried": len(sweep["rates"]),
            "steps": told["steps"],
        }

    # ---- Size and bound ----------------------------------------------------------------------------------------------

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
                    "accuracy": fmean(self.by_seed(arm, problem)),
                }
            )
        return Panel(
            id="sizes",
            kind="table",
            title="Sizes: what is equal and what is not",
            caption=(
                "Arms of one width have equal parameters (the feed-forward layer takes up the difference) unless the "
                "study was set to equal widths. States differ by the nature of the mixers."
            ),
            rows=tuple(rows),
        )

    # ---- Length, course, depth ---------------------------------------------------------------------------------------

    def lengths(self) -> list[Panel]:
        """Accuracy at sizes beyond those of training, a chart a problem: their lengths have different scales."""
        return [self._length_panel(problem) for problem in self.config.order]

    def _length_panel(self, problem: str) -> Panel:
        rows: list[dict[str, Any]] = []
        for arm, name in self.pairs():
            sizes = self._tested(arm, name)
            if name != problem or len(sizes) < 2 or arm.name != arm.of or arm.name == CONTROL:
                continue
            for size in sizes:
                rows.append({"x": size, "y": fmean(self.by_seed(arm, problem, size)), "series": arm.name})
                rows += self._single_runs(arm, problem, size)
        if rows:
            trained = self.config.problems[problem].task.size
            rows.append({"x": trained, "y": None, "series": "trained at", "role": "bound"})
        return Panel(
            id=f"lengths-{problem}",
            kind="lines",
            title=f"Other lengths than those of training: {problem}",
            caption="All of a sequence right. Faint: single seeds. Positions beyond training have random codes.",
            rows=tuple(rows),
            x_title="length",
            y_title="accuracy",
        )

    def _tested(self, arm: PanelArm, problem: str) -> list[int]:
        folder = self.examinations[f"{problem}/{arm.name}@{self.config.seeds[0]}"]
        return [row["size"] for row in json.loads((folder / LENGTHS).read_text())]

    def _single_runs(self, arm: PanelArm, problem: str, size: int) -> list[dict[str, Any]]:
        if problem not in arm.networks:
            return []
        return [
            {"x": size, "y": value, "series": f"seed {seed}", "role": "run", "of": arm.name}
            for seed, value in zip(self.config.seeds, self.by_seed(arm, problem, size), strict=True)
        ]

    def courses(self) -> Panel:
        """Accuracy on fresh sequences along training."""
        rows: list[dict[str, Any]] = []
        for arm, problem in self.learned():
            if arm.name != arm.of:
                continue
            curves = {
                seed: json.loads((self.trained[f"{problem}/{arm.name}@{seed}"] / TRAINING).read_text())["curve"]
                for seed in self.config.seeds
            }
            for points in zip(*curves.values(), strict=True):
                point = {"x": points[0]["step"], "facet": problem}
                rows.append({**point, "y": fmean(p["sequence_accuracy"] for p in points), "series": arm.name})
                rows += [
                    {**point, "y": p["sequence_accuracy"], "series": f"seed {seed}", "role": "run", "of": arm.name}
                    for seed, p in zip(curves, points, strict=True)
                ]
        return Panel(
            id="courses",
            kind="lines",
            title="Accuracy along training",
            caption="Batches are fresh, so this is accuracy on unseen sequences. Faint: single seeds.",
            rows=tuple(rows),
            x_title="step",
            y_title="accuracy",
        )

    def depths(self) -> list[Panel]:
        """Bounded Dyck by depth."""
        rows: list[dict[str, Any]] = []
        for arm, problem in self.pairs():
            folders = [self.examinations[f"{problem}/{arm.name}@{seed}"] for seed in self.config.seeds]
            if arm.name != arm.of or not (folders[0] / DEPTHS).exists():
                continue
            found = [json.loads((folder / DEPTHS).read_text())["accuracy"] for folder in folders]
            rows += [
                {"x": str(depth), "y": arm.name, "value": fmean(values)}
                for depth, values in enumerate(zip(*found, strict=True))
                if None not in values
            ]
        return [
            Panel(
                id="depths",
                kind="heatmap",
                title="Bounded Dyck: accuracy of next characters by depth",
                caption="Share of positions at which every next character is told rightly, by depth after the token.",
                rows=tuple(rows),
                x_title="depth",
                y_title="arm",
                better="more",
            )
        ]


# ---- Theory ----------------------------------------------------------------------------------------------------------


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


def _bounds(config: FormalPanelsConfig) -> list[Panel]:
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


def _verified(folder: Path) -> Panel:
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


def _precision(folder: Path) -> Panel:
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


def _overlap(folders: Folders) -> Panel:
    rows = [{"task": name} | json.loads((folder / OVERLAP).read_text()) for name, folder in folders.items()]
    return Panel(
        id="overlap",
        kind="table",
        title="Test sequences met in training",
        caption="Counted exactly over the streams of all seeds. Small input spaces repeat themselves of necessity.",
        rows=tuple(rows),
    )
