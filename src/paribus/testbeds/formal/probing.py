"""One architecture on one formal task: learning rates, seeds, lengths, and its state beside the bound.

What was not learned here was not learned within the budget that was given; only the bounds say more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from paribus.errors import ConfigError
from paribus.records.schema import Record
from paribus.testbeds.formal.bounds import distinct_states, known, recurrent_bits, task_ceiling
from paribus.testbeds.formal.scoring import LengthScore, length_scores
from paribus.testbeds.formal.task import FormalTask
from paribus.testbeds.formal.tasks import TASKS, parse_task
from paribus.testbeds.seeds import CHOICE_SEED, TEST_SEED

if TYPE_CHECKING:
    import torch

    from paribus.models.sequence_config import SequenceConfig
    from paribus.models.sequence_shape import SequenceShape
    from paribus.testbeds.fitting import Sweep
    from paribus.testbeds.formal.constructions.construction import Construction
    from paribus.testbeds.formal.task import Batch
    from paribus.training.results import StepReport, TrainResult
    from paribus.training.settings import TrainSettings

MOST_WALKED = 4096
"""States of a language up to which a recurrent net for it is walked through: a second or two."""


class FormalRow(Record):
    """A trained model at one size of the task. ``accuracy`` is strict (all of a sequence right); ``sequences`` tested.

    ``learned``: strict accuracy at the training size reached the probe's ``learned_at``. ``steps`` it trained for; a
    run whose loss stopped being finite has ``diverged`` and accuracy 0.
    """

    task: str
    architecture: str
    seed: int
    learning_rate: float
    trained_size: int
    size: int
    accuracy: float
    token_accuracy: float
    sequences: int
    steps: int
    learned: bool
    diverged: bool = False


@dataclass(frozen=True)
class StateFacts:
    """What an architecture carries over a cut after a whole sequence, and what the task needs.

    numbers    the state has after ``task.tokens`` tokens; ``bits`` of them at 32 a number
    needed     bits that every exact recurrent solver has; None where the task has no closed form for it
    binds      whether that bound speaks of this architecture; it does not where the state grows with the past
    ceiling    the best token accuracy that ``bits`` allow, where it has a closed form
    """

    numbers: int
    bits: int
    needed: int | None
    binds: bool
    ceiling: float | None

    @classmethod
    def of(cls, task: FormalTask, shape: SequenceShape) -> StateFacts:
        """The facts of a task and a shape."""
        from paribus.models.sequence_shape import GROWING

        bits, binds = shape.state_bits(task.tokens), shape.mixer not in GROWING
        needed = known(lambda: recurrent_bits(task))
        ceiling = known(lambda: task_ceiling(task, bits)) if binds else None
        return cls(shape.state_numbers(task.tokens), bits, needed, binds, ceiling)


class VerifiedRow(Record):
    """A construction and what checking it gave: ``margin`` is guaranteed, ``measured_margin`` the least that was seen.

    ``exhaustive``: all inputs there are were checked; else errors are rarer than ``failure_bound`` (95% confidence).
    ``stray`` is the largest attention mass off target that any input can have, ``tolerated`` what does no harm; None
    for recurrent nets, which look nothing up. ``proved``: for what there can be no error at all, beyond what was run.
    "every input": the certificate holds. "every length": all states of a recurrent net were tried with every token.
    """

    construction: str
    task: str
    layers: int
    width: int
    parameters: int
    margin: float
    checked: int
    errors: int
    exhaustive: bool
    measured_margin: float
    failure_bound: float
    stray: float | None = None
    tolerated: float | None = None
    proved: Literal["every input", "every length", ""] = ""


def verify_constructions(task: FormalTask, sizes: Sequence[int] = (), *, samples: int = 10_000) -> list[VerifiedRow]:
    """Build the constructions for a task at its own and other sizes, and check each: on every input where they can be
    counted, else on ``samples`` of the task's distribution.

    Raises ``ConfigError`` for a task or a size that has no construction.
    """
    from paribus.testbeds.formal.constructions.catalogue import constructions_for

    return [
        _verified(built, samples)
        for size in dict.fromkeys([task.size, *sizes])
        # At its own size the task keeps its name, by which rows are found.
        for built in constructions_for(task if size == task.size else task.at(size))
    ]


def _verified(built: Construction, samples: int) -> VerifiedRow:
    from paribus.testbeds.formal.constructions.construction import certify
    from paribus.testbeds.formal.constructions.verifying import verify

    checked, certificate = verify(built, samples=samples), certify(built)
    holds = certificate.holds if certificate is not None else _right_in_every_state(built)
    found = {
        "checked": checked.checked,
        "errors": checked.errors,
        "exhaustive": checked.exhaustive,
        "measured_margin": checked.margin,
        "failure_bound": checked.failure_bound,
        "stray": None if certificate is None else certificate.mass,
        "tolerated": None if certificate is None else certificate.tolerated,
        "proved": ("every length" if certificate is None else "every input") if holds and checked.passed else "",
    }
    return VerifiedRow.model_validate(built.row() | found)


def _right_in_every_state(built: Construction) -> bool:
    """Whether a walk through all states of a recurrent net proves it; languages of too many stacks are not walked."""
    from paribus.testbeds.formal.constructions.reachable import walk_states

    return distinct_states(built.task) <= MOST_WALKED and walk_states(built).proves


def task_at(name: str, size: int | None, test_sizes: Sequence[int], **settings: Any) -> FormalTask:
    """A task at its training size, whose vocabulary reaches over all ``test_sizes``.

    ``size`` is the field that sizes the family (``length``, ``bits``, ``points``); None is its default.
    """
    family = TASKS.get(name)
    if family is not None and size is not None:
        settings = {family.size_field: size, **settings}
    task = parse_task(name, **settings)
    if "max_length" in type(task).model_fields and "max_length" not in settings:
        settings["max_length"] = max(task.size, *test_sizes, 1)
    return parse_task(name, **settings)


def config_for(task: FormalTask, test_sizes: Sequence[int], **shape: Any) -> SequenceConfig:
    """A sequence model's configuration with the task's ends, and positions for every size that will be tested."""
    from paribus.models.sequence_config import SequenceConfig

    longest = max(task.at(size).tokens for size in {task.size, *test_sizes})
    ends: dict[str, Any] = {"vocab_size": task.vocab_size, "input_size": task.input_size, "outputs": task.outputs}
    return SequenceConfig(**ends, max_positions=longest, **shape)


@dataclass(frozen=True)
class FormalProbe:
    """What to train and test.

    settings    of every run; learning rate and seed are replaced
    rates       learning rates to choose from, by token accuracy on fresh sequences of the training size, first seed
    seeds       of weights and training streams; all use the rate chosen for the first
    sizes       to test at, beside the training size
    learned_at  strict accuracy from which a run has learned its task
    stop_at     strict accuracy over the last steps' batches at which training ends early (0: never)
    sequences   tested at each size
    checkpoints folder for those of the trainings (None: none are kept); with ``settings.checkpoint_every`` a probe that
                was stopped and is run again goes on where it was, to the same rows
    """

    task: FormalTask
    config: SequenceConfig
    settings: TrainSettings
    rates: Sequence[float]
    seeds: Sequence[int]
    sizes: Sequence[int] = ()
    learned_at: float = 0.99
    stop_at: float = 0.999
    sequences: int = 512
    device: str = "cpu"
    checkpoints: Path | None = None

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"seeds={tuple(self.seeds)} cannot be used; give one or more, each once.")

    @property
    def runs(self) -> int:
        """Trainings: one a rate for the first seed, one for every other."""
        return len(self.rates) + len(self.seeds) - 1


@dataclass(frozen=True)
class FormalResult:
    """What came of a probe: a row a seed and size, and the rate chosen (``edge``: the first or last of several)."""

    rows: list[FormalRow]
    learning_rate: float
    edge: bool
    state: StateFacts
    models: dict[int, Any] = field(repr=False)

    @property
    def successes(self) -> int:
        """Seeds that learned the task."""
        return len({row.seed for row in self.rows if row.learned})


def probe(what: FormalProbe, *, on_step: Callable[[int, StepReport], None] = lambda run, report: None) -> FormalResult:
    """Train and test. ``on_step`` is told the number of the run (from 0) and its step.

    Raises ``ConfigError`` for settings that do not fit, and ``Divergence`` when no learning rate kept the loss finite.
    """
    training = _Training(what, on_step)
    swept = training.choose()
    results = {seed: training.run(seed, swept.chosen) for seed in what.seeds[1:]}
    results = {what.seeds[0]: swept.best, **results}
    rows = [row for seed, result in results.items() for row in _rows(what, seed, swept.chosen, result)]
    models = {seed: result.model for seed, result in results.items() if result is not None}
    edge = swept.edge and len(swept.rates) > 1
    return FormalResult(rows, swept.chosen, edge, StateFacts.of(what.task, what.config.shape), models)


class _Training:
    """The runs of a probe, counted."""

    def __init__(self, what: FormalProbe, on_step: Callable[[int, StepReport], None]) -> None:
        from paribus.training.objectives.labelled import Labelled
        from paribus.training.results import Reached

        self.what, self.begun = what, 0
        self.fixed = (what.task.sample, what.task.name, Labelled(what.task.kind))
        self.options: dict[str, Any] = {
            "stop": Reached(what.stop_at) if what.stop_at else None,
            "on_step": lambda report: on_step(self.begun - 1, report),
            "device": what.device,
        }

    def choose(self) -> Sweep:
        """Every rate with the first seed."""
        from paribus.testbeds.fitting import sweep

        settings, options = self._settings(self.what.seeds[0]), self._options(self.what.seeds[0])
        return sweep(self._build, *self.fixed, settings, self.what.rates, self._score, **options)

    def run(self, seed: int, rate: float) -> TrainResult | None:
        """Another seed at a rate; None if its loss stopped being finite."""
        from paribus.testbeds.fitting import fit_sampled
        from paribus.training.results import Divergence

        settings = self._settings(seed).model_copy(update={"learning_rate": rate})
        try:
            return fit_sampled(self._build(seed), *self.fixed, settings, **self._options(seed))
        except Divergence:
            return None

    def _build(self, seed: int) -> Any:
        import torch

        from paribus.models.sequence import SequenceForPrediction

        self.begun += 1
        torch.manual_seed(seed)
        return SequenceForPrediction(self.what.config)

    def _options(self, seed: int) -> dict[str, Any]:
        folder = self.what.checkpoints
        return self.options | {"checkpoint_dir": None if folder is None else folder / f"seed-{seed}"}

    def _settings(self, seed: int) -> TrainSettings:
        return self.what.settings.model_copy(update={"seed": seed})

    def _score(self, model: Any) -> float:
        task = self.what.task
        (scored,) = length_scores(_predictor(model), task, [task.size], seed=CHOICE_SEED)
        return scored.token_accuracy


def _predictor(model: Any) -> Callable[[Batch], torch.Tensor]:
    from paribus.testbeds.fitting import logits_on

    return lambda batch: logits_on(model, batch)


def _rows(what: FormalProbe, seed: int, rate: float, result: TrainResult | None) -> list[FormalRow]:
    """The training size first, then the others in their order."""
    sizes = list(dict.fromkeys([what.task.size, *what.sizes]))
    scores = [LengthScore(size, 0.0, 0.0, what.sequences) for size in sizes]
    if result is not None:
        scores = length_scores(_predictor(result.model), what.task, sizes, count=what.sequences, seed=TEST_SEED)
    return [
        FormalRow(
            task=what.task.name,
            architecture=what.config.mixer,
            seed=seed,
            learning_rate=rate,
            trained_size=what.task.size,
            size=score.size,
            accuracy=score.accuracy,
            token_accuracy=score.token_accuracy,
            sequences=score.count,
            steps=result.steps if result is not None else 0,
            learned=scores[0].accuracy >= what.learned_at,
            diverged=result is None,
        )
        for score in scores
    ]
