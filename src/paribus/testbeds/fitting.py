"""Fitting models to tasks whose examples are drawn fresh for every step; both test-beds train by it.

What a model did not learn here it did not learn *within the budget given*. That is no proof that it cannot, so nothing
in this file says so.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from paribus.data.sampled import SampledStream, Sampler
from paribus.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from paribus.training.compute import ComputePath
    from paribus.training.objectives.base import Objective
    from paribus.training.objectives.labelled import Labelled
    from paribus.training.results import StepReport, TrainResult
    from paribus.training.settings import TrainSettings


def fit_sampled(
    model: Any,
    sampler: Sampler,
    data_hash: str,
    objective: "Objective",
    settings: "TrainSettings",
    *,
    stop: "Callable[[StepReport], bool] | None" = None,
    compute: 'Literal["auto"] | ComputePath | None' = None,
    checkpoint_dir: Path | None = None,
    on_step: "Callable[[StepReport], None] | None" = None,
    device: str = "cpu",
) -> "TrainResult":
    """Train ``model`` in place on ``settings.batch_size`` fresh rows a step; the stream's seed is ``settings.seed``.

    Args:
        sampler: ``sampler(count, generator)`` draws a batch, as a task's ``sample`` does.
        data_hash: names the task with all its settings, see ``SampledStream``.
        objective: such as ``Labelled("classes")``.
        stop: when the run may end early, such as ``Reached(at=0.99)``.
        compute: how to compute; "auto" lets the machine choose, None is float32. Models of these tasks are too small to
            gain from bfloat16, and what is measured on them is finer than its rounding.
        checkpoint_dir, on_step, device: as in ``paribus.training.trainer.train``, whose errors are raised here too.
    """
    from paribus.training.compute import FP32
    from paribus.training.trainer import train

    stream = SampledStream(sampler, settings.batch_size, settings.seed, data_hash)
    return train(
        model,
        stream,
        objective,
        settings,
        compute=FP32 if compute is None else compute,
        checkpoint_dir=checkpoint_dir,
        on_step=on_step,
        stop=stop,
        device=device,
    )


@dataclass(frozen=True)
class Sweep:
    """Learning rates tried on equal terms.

    rates     in ascending order
    scores    of each, higher is better; NaN where the loss stopped being finite
    results   of each, with its trained model; None where the loss stopped being finite
    chosen    the rate with the best score, of equals the smallest
    """

    rates: tuple[float, ...]
    scores: tuple[float, ...]
    results: "tuple[TrainResult | None, ...]"
    chosen: float

    @property
    def best(self) -> "TrainResult":
        """The run with the chosen rate."""
        result = self.results[self.rates.index(self.chosen)]
        assert result is not None, "a run without a finite loss is not chosen"
        return result

    @property
    def edge(self) -> bool:
        """Whether the chosen rate is the first or the last: a better one may lie outside, so widen the sweep."""
        return self.chosen in (self.rates[0], self.rates[-1])


def sweep(
    build: Callable[[int], Any],
    sampler: Sampler,
    data_hash: str,
    objective: "Objective",
    settings: "TrainSettings",
    rates: Sequence[float],
    score: Callable[[Any], float],
    **options: Any,
) -> Sweep:
    """Train ``build(settings.seed)`` anew with every learning rate and score the trained models.

    Everything but the rate is equal: weights at the start, batches, steps, schedule. ``score(model)`` is called in
    evaluation mode and should look at rows of its own, not at those of the final comparison. ``options`` are the
    keyword arguments of ``fit_sampled``; every rate has its own folder in a ``checkpoint_dir``.

    Raises ``ConfigError`` when no rate is given or one twice, and ``Divergence`` when none kept the loss finite.
    """
    ordered = _ascending(rates)
    results = tuple(
        _tried(build, sampler, data_hash, objective, settings.model_copy(update={"learning_rate": rate}), options)
        for rate in ordered
    )
    scores = tuple(math.nan if run is None else float(score(run.model.eval())) for run in results)
    return Sweep(ordered, scores, results, _best(ordered, scores))


def _ascending(rates: Sequence[float]) -> tuple[float, ...]:
    if not rates or len(set(rates)) < len(rates):
        raise ConfigError(f"rates={tuple(rates)} cannot be swept over; give one or more, each once.")
    return tuple(sorted(rates))


def _tried(
    build: Callable[[int], Any],
    sampler: Sampler,
    data_hash: str,
    objective: "Objective",
    settings: "TrainSettings",
    options: Mapping[str, Any],
) -> "TrainResult | None":
    from paribus.training.results import Divergence

    if options.get("checkpoint_dir") is not None:
        options = {**options, "checkpoint_dir": options["checkpoint_dir"] / f"rate-{settings.learning_rate:g}"}
    try:
        return fit_sampled(build(settings.seed), sampler, data_hash, objective, settings, **options)
    except Divergence:
        return None


def _best(rates: Sequence[float], scores: Sequence[float]) -> float:
    from paribus.training.results import Divergence

    scored = [(score, -rate) for rate, score in zip(rates, scores, strict=True) if not math.isnan(score)]
    if not scored:
        raise Divergence(f"No run of learning rates {tuple(rates)} has a score, each loss became infinite; lower them.")
    return -max(scored)[1]


def fit_seeds(
    build: Callable[[int], Any],
    sampler: Sampler,
    data_hash: str,
    objective: "Labelled",
    settings: "TrainSettings",
    seeds: Sequence[int],
    *,
    together: 'Literal["auto"] | bool' = False,
    stop: "Callable[[StepReport], bool] | None" = None,
    on_step: "Callable[[int, StepReport], None] | None" = None,
    device: str = "cpu",
) -> "list[TrainResult]":
    """Train ``build(seed)`` for every seed, each on a stream of its own, in float32; one result a seed.

    Args:
        together: train the seeds as the members of one batched model ("auto": if that is faster, which is measured). It
            gives the same runs up to rounding, and on a CPU it hardly ever pays.
        stop, device: as in ``fit_sampled``. ``on_step`` is told the seed too.

    Raises ``ConfigError`` when there is no seed or one twice, and what ``train_members`` raises.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds={tuple(seeds)} cannot be trained; give one or more, each once.")
    runs = [settings.model_copy(update={"seed": seed}) for seed in seeds]
    if _together(build, sampler, data_hash, objective, runs, together, device):
        from paribus.training.members import train_members

        streams = [SampledStream(sampler, run.batch_size, run.seed, data_hash) for run in runs]
        told = None if on_step is None else lambda member, report: on_step(seeds[member], report)
        return train_members(
            lambda member: build(seeds[member]), streams, objective, runs, stop=stop, on_step=told, device=device
        )
    return [
        fit_sampled(
            build(run.seed),
            sampler,
            data_hash,
            objective,
            run,
            stop=stop,
            on_step=None if on_step is None else partial(on_step, run.seed),
            device=device,
        )
        for run in runs
    ]


def _together(
    build: Callable[[int], Any],
    sampler: Sampler,
    data_hash: str,
    objective: "Labelled",
    runs: "Sequence[TrainSettings]",
    together: 'Literal["auto"] | bool',
    device: str,
) -> bool:
    if together != "auto":
        return together
    from paribus.training.members import members_pay

    stream = SampledStream(sampler, runs[0].batch_size, runs[0].seed, data_hash)
    return members_pay(build, stream, objective, runs[0], len(runs), device=device).batched


def logits_on(model: Any, batch: "Mapping[str, torch.Tensor]", *, rows: int = 256) -> "torch.Tensor":
    """Logits (B, T, outputs) on the CPU, in evaluation mode, without gradient, at most ``rows`` rows at a time.

    ``batch`` is what a task's ``sample`` gives; its labels are ignored. The model is left in the mode it was in.
    """
    import torch

    from paribus.training.objectives.labelled import model_inputs

    inputs, was_training = model_inputs(batch), model.training
    device = next(model.parameters()).device
    parts = zip(*(values.split(rows) for values in inputs.values()), strict=True)
    model.eval()
    try:
        with torch.inference_mode():
            called = (dict(zip(inputs, (values.to(device) for values in part), strict=True)) for part in parts)
            return torch.cat([model(**arguments).logits.float().cpu() for arguments in called])
    finally:
        model.train(was_training)
