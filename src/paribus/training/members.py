"""K models of one architecture trained at once, each as if it were alone: other seeds, other data, other rates.

Small models leave a GPU idle most of the time; several of them in one batched model do not. On a CPU there is hardly
anything to win, which ``members_pay`` finds out by measuring. A member's run is its single ``train`` run up to
rounding: same batches, same optimizer, same schedule, its own gradient clip.
"""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from paribus.data.stream import BatchStream
from paribus.errors import ConfigError, DataError
from paribus.training.compute import FP32, ComputePath, gain_of
from paribus.training.objectives.base import Batch
from paribus.training.objectives.causal import real_tokens
from paribus.training.objectives.labelled import Labelled, RowSums, model_inputs, sequence_accuracy
from paribus.training.optimizers import build_optimizer
from paribus.training.preparation import prepared
from paribus.training.results import Divergence, StepReport, TrainResult
from paribus.training.schedule import rate_at
from paribus.training.settings import TrainSettings
from paribus.training.stacking import Stack
from paribus.training.trainer import counted_parameters

OWN = ("learning_rate", "seed")
"""Settings in which members may differ."""

NEEDED_GAIN = 1.1
"""How much faster members must be together to be trained so; below, single runs keep ``train``'s exact resumption."""


def train_members(
    build: Callable[[int], Any],
    streams: Sequence[BatchStream],
    objective: Labelled,
    settings: Sequence[TrainSettings],
    *,
    compute: ComputePath = FP32,
    stop: Callable[[StepReport], bool] | None = None,
    on_step: Callable[[int, StepReport], None] | None = None,
    device: str = "cpu",
) -> list[TrainResult]:
    """Train ``build(0)``, ``build(1)``, ... on a stream each, and return what each spent.

    Args:
        build: gives member k, a model in float32 or float64; all members have the same shapes.
        streams: one a member, of equal batch size; they may be the same.
        settings: one a member; they may differ in learning rate and seed only.
        compute: the number format of the forward pass; attention is eager always, the form that torch can batch.
        stop: as for ``train``; a member for which it is true stays as it is, and the others go on without it.
        on_step: is told the member's number and its step.

    A member's ``seconds`` are its share of the time of the steps that it took part in. Dropout is drawn for all members
    together and so is not that of single runs; a weight that no loss depends on is decayed here, where a single run
    passes it over.

    Raises ``ConfigError`` for settings that members cannot have or models that torch cannot batch, and ``Divergence``
    when a member's loss stops being finite.
    """
    check_members(streams, settings)
    models = [build(member).to(device) for member in range(len(settings))]
    reason = f"one of {len(models)} members computed together"
    path = ComputePath(dtype=compute.dtype, attention="eager", reason=reason)
    with prepared(models[0], path, settings[0]):
        models[0].train()
        run = _Run(Stack(models, settings), streams, objective, settings, path)
        run.go(stop, on_step)
    return run.results


def check_members(streams: Sequence[BatchStream], settings: Sequence[TrainSettings]) -> None:
    """Raise ``ConfigError`` for streams or settings that cannot be those of members."""
    if not settings or len(streams) != len(settings):
        raise ConfigError(
            f"There are {len(settings)} settings and {len(streams)} streams; give one of each to every member."
        )
    sizes = {stream.batch_size for stream in streams}
    if len(sizes) > 1:
        raise ConfigError(f"The members' streams have batch sizes {sorted(sizes)}; give them the same one.")
    first = settings[0].model_dump(exclude=set(OWN))
    for member, run in enumerate(settings):
        changed = [name for name, value in run.model_dump(exclude=set(OWN)).items() if value != first[name]]
        if changed:
            raise ConfigError(
                f"Member {member} differs from member 0 in {', '.join(changed)}; members may differ in "
                f"{' and '.join(OWN)} only."
            )
    _check_possible(settings[0])


def _check_possible(run: TrainSettings) -> None:
    wanted = {
        "optimizer": run.optimizer != "adamw",
        "gradient_accumulation": run.gradient_accumulation > 1,
        "activation_checkpointing": run.activation_checkpointing,
        "lora": run.lora is not None,
        "checkpoint_every": run.checkpoint_every > 0,
    }
    refused = [f"{name}={getattr(run, name)!r}" for name, asked in wanted.items() if asked]
    if refused:
        raise ConfigError(f"Members cannot be trained together with {', '.join(refused)}; train them one by one.")


@dataclass
class _Run:
    """The loop over steps, and what it has found so far."""

    stack: Stack
    streams: Sequence[BatchStream]
    objective: Labelled
    settings: Sequence[TrainSettings]
    path: ComputePath

    def __post_init__(self) -> None:
        self.results = [TrainResult(model, self.path) for model in self.stack.models]

    def go(self, stop: Callable[[StepReport], bool] | None, on_step: Callable[[int, StepReport], None] | None) -> None:
        """All steps, or those until every member has stopped."""
        for step in range(1, self.settings[0].steps + 1):
            started = time.perf_counter()
            reports = self._step(step)
            seconds = (time.perf_counter() - started) / len(reports)
            for member, report in reports.items():
                self.results[member].seconds += seconds
                if on_step is not None:
                    on_step(member, report)
            self._retire([member for member, report in reports.items() if stop is not None and stop(report)], step)
            if not self.stack.places:
                break
        self.stack.settle(self.stack.places)
        for result in self.results:
            result.flops = 6.0 * counted_parameters(result.model) * result.tokens

    def _step(self, step: int) -> dict[int, StepReport]:
        """One step of the members that are left; their reports, by member."""
        members = list(self.stack.places)
        batches = [self.streams[member].batch(step - 1) for member in members]
        rows = sums_of(self.stack, self.objective, batches, self.path)
        scored = rows.scored.sum(-1)
        losses = rows.loss.sum(-1) / scored.clamp(min=1)
        accuracies = rows.right.sum(-1) / scored.clamp(min=1), sequence_accuracy(rows)
        # One look at the numbers a step: each look makes a GPU wait.
        columns = torch.stack([scored, losses.detach(), *accuracies], -1).tolist()
        for member, (targets, loss, _, _) in zip(members, columns, strict=True):
            self._check(member, step, targets, loss)
        losses.sum().backward()
        self.stack.step(step, rate_at(step - 1, self.settings[0]))
        drawn = zip(members, batches, columns, strict=True)
        return {member: self._report(member, step, batch, values) for member, batch, values in drawn}

    def _check(self, member: int, step: int, targets: float, loss: float) -> None:
        if targets == 0:
            raise DataError(
                f"Step {step} of member {member} has no position to learn: every label of its "
                f"{self.streams[member].batch_size} rows is masked; look at its sampler."
            )
        if not math.isfinite(loss):
            raise Divergence(
                f"The loss of member {member} is {loss} at step {step} of {self.settings[member].steps}; lower its "
                f"learning_rate={self.settings[member].learning_rate}."
            )

    def _report(self, member: int, step: int, batch: Batch, values: Sequence[float]) -> StepReport:
        """Keep a member's step and tell of it."""
        result, run = self.results[member], self.settings[member]
        targets, loss, accuracy, whole = values
        metrics = {"accuracy": accuracy, "sequence_accuracy": whole}
        rate = run.learning_rate * rate_at(step - 1, run)
        result.history.append({"step": step, "learning_rate": rate, "loss": loss, **metrics})
        result.steps = step
        result.targets += int(targets)
        result.tokens += int(real_tokens(batch).sum())
        return StepReport(step, run.steps, loss, result.tokens, metrics, result.history)

    def _retire(self, members: Sequence[int], step: int) -> None:
        for member in members:
            self.results[member].stopped_at = step
        self.stack.settle(members)


def sums_of(stack: Stack, objective: Labelled, batches: Sequence[Batch], path: ComputePath) -> RowSums:
    """The objective's sums for each row (A, B) of each member's batch."""
    place = stack.groups[0].values.device
    batch = {name: _stacked([one[name] for one in batches], name).to(place) for name in batches[0]}
    with torch.autocast(place.type, torch.bfloat16, enabled=path.dtype == "bfloat16"):
        logits = stack.logits(model_inputs(batch))
    return objective.by_row(logits, batch)


def _stacked(values: list[Tensor], name: str) -> Tensor:
    shapes = {tuple(own.shape) for own in values}
    if len(shapes) > 1:
        raise DataError(
            f"The {name} of the members have the shapes {sorted(shapes)} at one step; sample rows of one length, or "
            "train one by one."
        )
    return torch.stack(values)


@dataclass(frozen=True)
class MembersPay:
    """Whether ``count`` members are trained faster together than one by one: ``gain`` times as fast (0: impossible)."""

    count: int
    gain: float
    reason: str

    @property
    def batched(self) -> bool:
        """Whether to train them together."""
        return self.gain >= NEEDED_GAIN


def members_pay(
    build: Callable[[int], Any],
    stream: BatchStream,
    objective: Labelled,
    settings: TrainSettings,
    count: int,
    *,
    compute: ComputePath = FP32,
    device: str = "cpu",
    turns: int = 3,
) -> MembersPay:
    """Measure ``count`` single steps against one step of ``count`` members, on models and a batch like the run's.

    The single steps are those of a bare loop, without what ``train`` adds to them, so the gain is a lower bound. Takes
    ``turns + 1`` steps of both kinds.
    """
    batch = {name: values.to(device) for name, values in stream.batch(0).items()}
    try:
        check_members([stream] * count, [settings] * count)
        gain = _gain(
            [build(member).to(device) for member in range(count + 1)], batch, objective, settings, compute, turns
        )
    except ConfigError as error:
        return MembersPay(count, 0.0, str(error))
    reason = f"{count} members ran {gain:.2f}x as fast together as one by one on {device} (needed: {NEEDED_GAIN}x)"
    return MembersPay(count, gain, reason)


def _gain(
    models: Sequence[Any],
    batch: Batch,
    objective: Labelled,
    settings: TrainSettings,
    compute: ComputePath,
    turns: int,
) -> float:
    """The last model steps alone, the others together, taking turns."""
    *together, alone = models
    path = ComputePath(dtype=compute.dtype, attention="eager")
    with prepared(together[0], path, settings), prepared(alone, compute, settings):
        single = single_step(alone, batch, objective, settings, compute)
        batched = batched_step(together, batch, objective, settings, path)
        return len(together) * gain_of(lambda new: _seconds(batched if new else single), turns=turns)


def single_step(
    model: Any, batch: Batch, objective: Labelled, settings: TrainSettings, path: ComputePath
) -> Callable[[], None]:
    """A bare training step of one model; each call of what is returned takes the next one."""
    optimizer = build_optimizer(model.train(), settings)

    def step() -> None:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=path.dtype == "bfloat16"):
            loss = objective.loss(model, batch).value
        loss.backward()
        if settings.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return step


def batched_step(
    models: Sequence[Any], batch: Batch, objective: Labelled, settings: TrainSettings, path: ComputePath
) -> Callable[[], None]:
    """A bare training step of all models as members, each on the same batch."""
    models[0].train()
    stack, numbers = Stack(models, [settings] * len(models)), itertools.count(1)

    def step() -> None:
        loss = sums_of(stack, objective, [batch] * len(models), path).loss.sum()
        loss.backward()
        stack.step(next(numbers), 1.0)
        loss.item()

    return step


def _seconds(step: Callable[[], None]) -> float:
    # Both kinds of step end with the loss as a Python number, so a GPU has done its work but for the optimizer's.
    start = time.perf_counter()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
