"""Stages that train small sequence models on problems of the test-beds, with a sweep over learning rates before.

A run that does not learn its problem has not learned it within its budget; nothing here calls that impossible.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from paribus.lab import Cost, Handle, current, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.problems import Learner, Problem
from paribus.testbeds.seeds import CHOICE_SEED

if TYPE_CHECKING:
    from paribus.training.results import StepReport, TrainResult
    from paribus.training.settings import TrainSettings

SWEEP, TRAINING = "sweep.json", "training.json"
SWEEP_SEED = 1000
"""Of the sweep's weights and streams, which no reported run shares."""


class SequenceRecipe(StageConfig):
    """How long and how fast to train on fresh sequences.

    Args:
        steps: optimizer steps. rows: sequences a step.
        rates: peak learning rates that the sweep tries, each from the same start with the same batches; warm-up is
            linear over ``warmup`` (a share of the steps), then a cosine to a tenth.
        sweep_share: steps of a run of the sweep, as a share of ``steps``.
        choice: sequences by whose loss the rate is chosen.
        weight_decay: decoupled, matrices only. checkpoint_every: steps between two checkpoints (0 = none).
        stop_at: accuracy over the last batches from which a run ends early (0 = never). Runs that end early have spent
            less, and contrasts that are matched by examples then say so and decide nothing.
    """

    steps: int = Field(gt=0)
    rows: int = Field(gt=0)
    rates: tuple[float, ...] = Field(min_length=1)
    sweep_share: float = Field(default=0.5, gt=0.0, le=1.0)
    choice: int = Field(default=512, gt=0)
    warmup: float = Field(default=0.05, ge=0.0, le=1.0)
    weight_decay: float = 0.0
    checkpoint_every: int = Field(default=0, ge=0)
    stop_at: float = Field(default=0.0, ge=0.0, le=1.0)

    @field_validator("rates")
    @classmethod
    def _each_once(cls, rates: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(rates)) < len(rates) or min(rates) <= 0:
            raise ValueError("rates must be positive, each given once")
        return rates

    @property
    def sweep_steps(self) -> int:
        """Steps of each run of the sweep."""
        return max(1, round(self.sweep_share * self.steps))

    def settings(self, steps: int, rate: float, seed: int) -> "TrainSettings":
        """The recipe as the trainer takes it."""
        from paribus.training.settings import TrainSettings

        return TrainSettings(
            steps=steps,
            batch_size=self.rows,
            learning_rate=rate,
            warmup_steps=round(self.warmup * steps),
            weight_decay=self.weight_decay,
            checkpoint_every=self.checkpoint_every,
            seed=seed,
        )


def early_stop(config: "SequenceConfig") -> Any:
    """The rule by which a run ends early, or None: whole sequences of a formal task, positions of a prompt."""
    from paribus.training.results import Reached

    if not config.recipe.stop_at:
        return None
    metric = "sequence_accuracy" if config.problem.kind == "formal" else "accuracy"
    return Reached(at=config.recipe.stop_at, metric=metric)


class SequenceConfig(StageConfig):
    """A network, a problem, and how the one is trained on the other."""

    problem: Problem
    network: Learner
    recipe: SequenceRecipe

    def cost(self, steps: int) -> Cost:
        """What ``steps`` steps take."""
        examples = steps * self.recipe.rows
        tokens = examples * self.problem.tokens
        return Cost(
            tokens=tokens,
            examples=examples,
            flops=self.network.training_flops(self.problem, tokens),
            parameters=self.network.parameters(self.problem),
        )


class SeedsConfig(SequenceConfig):
    """Several seeds trained as one batched model where that is faster here; ``seeds`` in the order of the members."""

    seeds: tuple[int, ...]


class SeedConfig(StageConfig):
    """Which seed to take from a batched run, and what it cost."""

    run: SequenceConfig
    seed: int


# ---- The learning rate -----------------------------------------------------------------------------------------------


def sweep_cost(config: SequenceConfig, inputs: Mapping[str, Any]) -> Cost:
    """Planned cost of the sweep: one shorter run a rate; a single rate takes none."""
    rates = len(config.recipe.rates)
    return config.cost(config.recipe.sweep_steps * rates) if rates > 1 else Cost()


@stage(version="1", cost=sweep_cost)
def sweep_rates(config: SequenceConfig, body: Path | None = None, *, out: Path, seed: int) -> Cost:
    """Choose a network's learning rate for a problem by the loss on sequences of their own; writes ``sweep.json``.

    A single rate is taken without a run.
    """
    recipe = config.recipe
    if len(recipe.rates) == 1:
        found: dict[str, Any] = {"rates": recipe.rates, "losses": [None], "chosen": recipe.rates[0], "edge": False}
    else:
        found = _swept(config, seed, body)
    (out / SWEEP).write_text(json.dumps(found, indent=1))
    return sweep_cost(config, {})


def _swept(config: SequenceConfig, seed: int, body: Path | None) -> dict[str, Any]:
    import torch

    from paribus.testbeds.fitting import sweep
    from paribus.training.objectives.labelled import Labelled

    recipe, context = config.recipe, current()
    objective = Labelled(config.problem.loss)
    batch = config.problem.sampler()(recipe.choice, torch.Generator().manual_seed(CHOICE_SEED))
    done = [0]

    def told(step: "StepReport") -> None:
        done[0] += 1
        context.progress(done[0], step.total * len(recipe.rates), tokens=step.tokens, loss=step.loss)

    swept = sweep(
        lambda start: config.network.build(config.problem, start, body),
        config.problem.sampler(),
        config.problem.data_hash,
        objective,
        recipe.settings(recipe.sweep_steps, recipe.rates[0], seed).model_copy(update={"checkpoint_every": 0}),
        recipe.rates,
        lambda model: -loss_on(model, batch, objective),
        on_step=told,
        device=context.device,
    )
    losses = [None if score != score else -score for score in swept.scores]
    return {"rates": swept.rates, "losses": losses, "chosen": swept.chosen, "edge": swept.edge}


def loss_on(model: Any, batch: Mapping[str, Any], objective: Any) -> float:
    """Mean loss over the scored positions of a batch."""
    from paribus.testbeds.fitting import logits_on

    return float(objective.mean(objective.by_row(logits_on(model, batch), batch)).value)


def chosen_rate(sweep: Path) -> float:
    """The learning rate that a sweep chose."""
    return float(json.loads((sweep / SWEEP).read_text())["chosen"])


# ---- Training --------------------------------------------------------------------------------------------------------


def training_cost(config: SequenceConfig, inputs: Mapping[str, Any]) -> Cost:
    """Planned cost of the run."""
    return config.cost(config.recipe.steps)


@stage(version="1", cost=training_cost)
def train_sequence(config: SequenceConfig, sweep: Path, body: Path | None = None, *, out: Path, seed: int) -> Cost:
    """Train a network on fresh sequences with the rate of its sweep; saves the model, and its course in
    ``training.json``. Heads stand around the language model of ``body``."""
    rate = chosen_rate(sweep)
    network = config.network.build(config.problem, seed, body)
    still = {name: weight.clone() for name, weight in network.named_parameters() if not weight.requires_grad}
    result = _fit(network, config, rate, seed)
    after = dict(result.model.named_parameters())
    assert all(after[name].equal(weight) for name, weight in still.items()), "what is frozen stays as it was"
    save_run(result, config.recipe.steps, rate, seed, out)
    return measured(config, result)


def _fit(network: Any, config: SequenceConfig, rate: float, seed: int) -> "TrainResult":
    from paribus.testbeds.fitting import fit_sampled
    from paribus.training.objectives.labelled import Labelled

    context, recipe = current(), config.recipe
    return fit_sampled(
        network,
        config.problem.sampler(),
        config.problem.data_hash,
        Labelled(config.problem.loss),
        recipe.settings(recipe.steps, rate, seed),
        stop=early_stop(config),
        checkpoint_dir=context.scratch / "checkpoints" if recipe.checkpoint_every else None,
        on_step=lambda step: context.progress(step.step, step.total, tokens=step.tokens, loss=step.loss),
        device=context.device,
    )


def save_run(result: "TrainResult", planned: int, rate: float, seed: int, out: Path) -> None:
    """The trained model, and in ``training.json`` what it was trained by and how it went."""
    result.model.save_pretrained(out)
    told = {
        "seed": seed,
        "learning_rate": rate,
        **{name: getattr(result, name) for name in ("steps", "tokens", "targets")},
        "curve": course(result.history, planned),
    }
    (out / TRAINING).write_text(json.dumps(told, indent=1))


POINTS = 40


def course(history: Sequence[Mapping[str, float]], planned: int) -> list[dict[str, float]]:
    """A run in at most forty points: last step, mean loss and accuracies of each stretch of its planned steps. Batches
    are fresh, so these are accuracies on unseen sequences."""
    size = max(1, -(-planned // POINTS))
    stretches = [history[start : start + size] for start in range(0, len(history), size)]
    names = ("loss", "accuracy", "sequence_accuracy")
    return [
        {"step": rows[-1]["step"]} | {name: fmean(row[name] for row in rows) for name in names} for rows in stretches
    ]


def measured(config: SequenceConfig, result: "TrainResult") -> Cost:
    """Counted tokens and targets; operations by the network's own shape."""
    return config.cost(result.steps).model_copy(update={"tokens": result.tokens, "targets": result.targets})


# ---- Seeds together --------------------------------------------------------------------------------------------------


def _member(folder: Path, seed: int) -> Path:
    return folder / f"seed-{seed}"


@stage(version="1")
def train_seeds(config: SeedsConfig, sweep: Path, *, out: Path) -> None:
    """Train all seeds of an arm as one batched model, if a test finds that faster here, else one after another.

    What each cost is told by the stages that take them, so that the ledger has a line a seed.
    """
    from paribus.testbeds.fitting import fit_seeds
    from paribus.training.objectives.labelled import Labelled

    context, recipe, rate = current(), config.recipe, chosen_rate(sweep)
    results = fit_seeds(
        lambda seed: config.network.build(config.problem, seed),
        config.problem.sampler(),
        config.problem.data_hash,
        Labelled(config.problem.loss),
        recipe.settings(recipe.steps, rate, config.seeds[0]).model_copy(update={"checkpoint_every": 0}),
        config.seeds,
        together="auto",
        stop=early_stop(config),
        on_step=lambda seed, step: context.progress(step.step, step.total, tokens=step.tokens, loss=step.loss),
        device=context.device,
    )
    for seed, result in zip(config.seeds, results, strict=True):
        print(f"seed {seed}: {result.compute.reason}")
        save_run(result, recipe.steps, rate, seed, _member(out, seed))


def seed_cost(config: SeedConfig, inputs: Mapping[str, Any]) -> Cost:
    """Planned cost of one seed's share."""
    return config.run.cost(config.run.recipe.steps)


@stage(version="1", cost=seed_cost)
def take_seed(config: SeedConfig, runs: Path, *, out: Path) -> Cost:
    """One seed of a batched run as a model of its own."""
    import shutil

    shutil.copytree(_member(runs, config.seed), out, dirs_exist_ok=True)
    told = json.loads((out / TRAINING).read_text())
    counted = {name: told[name] for name in ("tokens", "targets")}
    return config.run.cost(told["steps"]).model_copy(update=counted)


# ---- Handles ---------------------------------------------------------------------------------------------------------


def sweep_of(run: SequenceConfig, name: str, body: Handle | None = None) -> Handle:
    """The choice of a run's learning rate; ``name``: the problem, which labels begin with."""
    return sweep_rates(run, seed=SWEEP_SEED, label=f"{name}-sweep", body=body)


def trained(
    run: SequenceConfig,
    name: str,
    seed: int,
    *,
    sweep: Handle,
    together: tuple[int, ...] = (),
    body: Handle | None = None,
) -> Handle:
    """A run with one seed; ``together``: all seeds, where they are trained as one batched model."""
    if not together:
        return train_sequence(run, sweep=sweep, seed=seed, label=f"{name}-train", body=body)
    fields = {field: getattr(run, field) for field in SequenceConfig.model_fields}
    runs = train_seeds(SeedsConfig(**fields, seeds=together), sweep=sweep, label=f"{name}-seeds")
    return take_seed(SeedConfig(run=run, seed=seed), runs=runs, label=f"{name}-train")


def load_network(model: Path) -> Any:
    """The trained network of an artifact."""
    from paribus.models.sequence import SequenceForPrediction
    from paribus.testbeds.incontext.bodies import VectorHeads

    kinds: dict[str, Any] = {kind.config_class.model_type: kind for kind in (SequenceForPrediction, VectorHeads)}
    kind = json.loads((model / "config.json").read_text())["model_type"]
    return kinds[kind].from_pretrained(model).to(current().device).eval()
