"""Sweeps and runs of small sequence models as stages: what is chosen, what is trained, and that it is so every time."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stage_folders import Bench, read, small
from transformers import LlamaConfig, LlamaForCausalLM

from paribus.lab import Cost
from paribus.lab.context import RunContext, activate
from paribus.lab.store import hash_tree
from paribus.studies.stages import sequences
from paribus.studies.stages.problems import FormalProblem, Heads, Network, Problem, PromptProblem
from paribus.studies.stages.sequences import (
    SWEEP,
    TRAINING,
    SeedConfig,
    SeedsConfig,
    SequenceConfig,
    SequenceRecipe,
    chosen_rate,
    course,
    load_network,
    seed_cost,
    sweep_cost,
    sweep_rates,
    take_seed,
    train_seeds,
    train_sequence,
    training_cost,
)
from paribus.testbeds.fitting import Sweep, fit_sampled, logits_on
from paribus.testbeds.formal.tasks import IndexLookup
from paribus.testbeds.seeds import CHOICE_SEED
from paribus.training.objectives.labelled import Labelled

LOOKUP = FormalProblem(task=IndexLookup(length=4, symbols=3), longest=4)
PROMPTS = PromptProblem(name="conjunction", dimensions=3, points=5)
RECIPE = SequenceRecipe(steps=6, rows=4, rates=(1e-2,), choice=32)


def run_of(problem: Problem = LOOKUP, network: Network | Heads | None = None, **recipe: Any) -> SequenceConfig:
    return SequenceConfig(
        problem=problem, network=network or small(), recipe=RECIPE.model_copy(update={"rates": (1e-2,), **recipe})
    )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def swept(bench: Bench, config: SequenceConfig, name: str = "sweep", **inputs: Any) -> Path:
    return bench(name, sweep_rates, config, seed=1000, **inputs)


def trained(bench: Bench, config: SequenceConfig, seed: int = 0, name: str = "run", **inputs: Any) -> Path:
    sweep = bench.root / "sweep"
    if not sweep.exists():
        swept(bench, config, **inputs)
    return bench(name, train_sequence, config, sweep=sweep, seed=seed, **inputs)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_network(folder).state_dict())


# ---- The learning rate -----------------------------------------------------------------------------------------------


def test_the_rate_with_the_least_loss_is_chosen_on_sequences_of_their_own(bench: Bench) -> None:
    """Every rate's loss, computed anew: half of the steps, the sweep's seed, cross-entropy on the choice sequences."""
    config = run_of(rates=(3e-2, 1e-6, 3e-1), steps=20)
    found = read(swept(bench, config) / SWEEP)
    assert found["rates"] == [1e-6, 3e-2, 3e-1]
    batch = LOOKUP.task.sample(32, torch.Generator().manual_seed(CHOICE_SEED))
    for rate, loss in zip(found["rates"], found["losses"], strict=True):
        settings = config.recipe.settings(10, rate, 1000)
        model = fit_sampled(
            small().build(LOOKUP, 1000), LOOKUP.sampler(), config.problem.data_hash, Labelled("classes"), settings
        ).model
        logits, labels = logits_on(model, batch)[:, -1], batch["labels"][:, -1]
        assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert found["chosen"] == found["rates"][found["losses"].index(min(found["losses"]))]
    assert chosen_rate(bench.root / "sweep") == found["chosen"]


def test_a_rate_at_the_edge_is_told(bench: Bench) -> None:
    """Almost no learning at one end, weights that explode at the other: what lies between is best, unless left out."""
    middle = read(swept(bench, run_of(rates=(1e-8, 3e-2, 30.0), steps=60)) / SWEEP)
    assert (middle["chosen"], middle["edge"]) == (3e-2, False)
    edge = read(swept(bench, run_of(rates=(1e-8, 3e-2), steps=60), "edge") / SWEEP)
    assert (edge["chosen"], edge["edge"]) == (3e-2, True)


def test_a_single_rate_is_taken_without_a_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "_swept", lambda *given: pytest.fail("there is nothing to compare"))
    found = read(swept(bench, run_of(rates=(0.02,))) / SWEEP)
    assert found == {"rates": [0.02], "losses": [None], "chosen": 0.02, "edge": False}
    assert bench.cost == sweep_cost(run_of(rates=(0.02,)), {}) == Cost()


def test_a_rate_whose_loss_became_infinite_has_none_in_the_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Sweep(rates=(0.01, 9.0), scores=(-0.5, float("nan")), results=(None, None), chosen=0.01)
    monkeypatch.setattr("paribus.testbeds.fitting.sweep", lambda *given, **options: broken)
    text = (swept(bench, run_of(rates=(0.01, 9.0))) / SWEEP).read_text()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["losses"] == [0.5, None]


def test_a_sweep_costs_its_shorter_runs(bench: Bench) -> None:
    config = run_of(rates=(1e-3, 1e-2, 1e-1), steps=10, sweep_share=0.3)
    assert config.recipe.sweep_steps == 3
    swept(bench, config)
    assert bench.cost == sweep_cost(config, {})
    assert bench.cost.examples == 3 * 3 * 4
    assert bench.cost.tokens == bench.cost.examples * LOOKUP.tokens


# ---- Training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [LOOKUP, PROMPTS], ids=lambda problem: problem.kind)
@pytest.mark.parametrize("mixer", ["attention", "lstm"])
def test_the_same_seed_leaves_the_same_bytes_and_another_does_not(bench: Bench, mixer: str, problem: Problem) -> None:
    config = run_of(problem, small(mixer))
    first, again, other = (
        trained(bench, config, seed, name) for seed, name in ((0, "first"), (0, "again"), (1, "other"))
    )
    assert hash_tree(first) == hash_tree(again)
    assert (first / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


def test_a_run_is_the_trainers_on_the_problems_stream_with_the_swept_rate(bench: Bench) -> None:
    config = run_of(steps=9, weight_decay=0.1, warmup=0.3)
    (bench.root / "sweep").mkdir()
    (bench.root / "sweep" / SWEEP).write_text(json.dumps({"chosen": 0.02}))
    folder = trained(bench, config, seed=5)
    settings = config.recipe.settings(9, 0.02, 5)
    assert (settings.learning_rate, settings.warmup_steps, settings.weight_decay) == (0.02, 3, 0.1)
    alone = fit_sampled(
        small().build(LOOKUP, 5), LOOKUP.sampler(), config.problem.data_hash, Labelled("classes"), settings
    )
    for name, weight in alone.model.state_dict().items():
        assert torch.equal(weight, weights(folder)[name])
    told = read(folder / TRAINING)
    assert (told["seed"], told["learning_rate"], told["steps"]) == (5, 0.02, 9)
    assert told["curve"] == course(alone.history, len(alone.history))


def test_what_a_run_spent_is_what_was_planned(bench: Bench) -> None:
    config = run_of(PROMPTS)
    trained(bench, config)
    planned = training_cost(config, {})
    for currency in ("examples", "tokens", "flops", "parameters"):
        assert bench.cost.get(currency) == planned.get(currency) > 0
    assert bench.cost.targets == 6 * 4 * PROMPTS.points


def test_a_run_may_end_early_and_says_so(bench: Bench) -> None:
    """Two symbols of which the network must tell one of one position: learned long before the last step."""
    easy = FormalProblem(task=IndexLookup(length=1, symbols=2), longest=1)
    config = run_of(easy, steps=300, rows=16, stop_at=0.95, rates=(3e-2,))
    folder = trained(bench, config)
    told = read(folder / TRAINING)
    assert 20 <= told["steps"] < 300
    assert told["curve"][-1]["step"] == told["steps"]
    assert bench.cost.examples == told["steps"] * 16


def test_prompts_end_early_by_positions_and_formal_tasks_by_whole_sequences() -> None:
    rules = [sequences.early_stop(run_of(problem, stop_at=0.9)) for problem in (LOOKUP, PROMPTS)]
    assert [(rule.at, rule.metric) for rule in rules] == [(0.9, "sequence_accuracy"), (0.9, "accuracy")]
    assert sequences.early_stop(run_of()) is None


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(bench: Bench, tmp_path: Path) -> None:
    config = run_of(steps=12, checkpoint_every=5)
    whole = trained(bench, config, name="whole")

    class Killed(RunContext):
        def progress(self, step: int, total: int | None = None, **metrics: float) -> None:
            if step == 8:
                raise KeyboardInterrupt

    scratch = tmp_path / "scratch"
    with pytest.raises(KeyboardInterrupt), activate(Killed(scratch=scratch)):
        trained(bench, config, name="killed")
    steps: list[int] = []
    with activate(RunContext(scratch=scratch)) as context:
        context.progress = lambda step, *rest, **metrics: steps.append(step)  # type: ignore[method-assign]
        resumed = trained(bench, config, name="resumed")
    assert steps[0] == 6
    assert hash_tree(resumed) == hash_tree(whole)


@given(st.integers(1, 300))
def test_a_course_has_at_most_forty_points_and_loses_no_step(steps: int) -> None:
    history = [
        {"step": float(n), "loss": n**0.5, "accuracy": 1 / n, "sequence_accuracy": n % 2} for n in range(1, steps + 1)
    ]
    points = course(history, len(history))
    ends = [0, *(int(point["step"]) for point in points)]
    assert len(points) <= 40 and ends[-1] == steps
    sizes = [end - start for start, end in pairwise(ends)]
    assert len(set(sizes[:-1])) <= 1 and 1 <= sizes[-1] <= sizes[0]
    for name in ("loss", "accuracy", "sequence_accuracy"):
        total = sum(point[name] * size for point, size in zip(points, sizes, strict=True))
        assert total / steps == pytest.approx(fmean(row[name] for row in history))


def test_runs_that_end_early_have_the_stretches_of_those_that_do_not() -> None:
    history = [{"step": n, "loss": 1.0 / n, "accuracy": 0.5, "sequence_accuracy": 0.5} for n in range(1, 201)]
    whole, short = course(history, 200), course(history[:77], 200)
    assert short[:-1] == whole[: len(short) - 1]
    assert [point["step"] for point in short[-2:]] == [75, 77]


# ---- Frozen bodies ---------------------------------------------------------------------------------------------------


@pytest.fixture
def body(tmp_path: Path) -> Path:
    torch.manual_seed(7)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    config = LlamaConfig(vocab_size=32, max_position_embeddings=64, **sizes)  # type: ignore[arg-type]
    LlamaForCausalLM(config).save_pretrained(tmp_path / "body")
    return tmp_path / "body"


HEADS = Heads(pretrained=True, head_width=8, body_parameters=1000)


def test_a_frozen_body_stays_and_its_heads_learn(bench: Bench, body: Path) -> None:
    config = run_of(PROMPTS, HEADS)
    folder = trained(bench, config, body=body)
    found, start = weights(folder), HEADS.build(PROMPTS, 0, body).state_dict()
    pretrained = LlamaForCausalLM.from_pretrained(body).model.state_dict()
    for name, weight in found.items():
        if name.startswith("body."):
            assert torch.equal(weight, pretrained[name.removeprefix("body.")])
        else:
            assert not torch.equal(weight, start[name])
    assert not load_network(folder).training


def test_a_run_with_a_body_does_not_tell_where_the_body_lay(bench: Bench, body: Path) -> None:
    elsewhere = shutil.copytree(body, bench.root / "elsewhere")
    config = run_of(PROMPTS, HEADS)
    runs = [trained(bench, config, name=f"from-{place.name}", body=place) for place in (body, elsewhere)]
    assert hash_tree(runs[0]) == hash_tree(runs[1])
    assert str(body) not in (runs[0] / "config.json").read_text()


def test_a_frozen_weight_that_changed_is_not_published(
    bench: Bench, body: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sequences._fit

    def leaky(network: Any, *given: Any) -> Any:
        result = real(network, *given)
        with torch.no_grad():
            network.body.layers[0].mlp.up_proj.weight[0, 0] += 1e-3
        return result

    monkeypatch.setattr(sequences, "_fit", leaky)
    with pytest.raises(AssertionError, match="stays as it was"):
        trained(bench, run_of(PROMPTS, HEADS), body=body)
    assert not (bench.root / "run" / TRAINING).exists()


# ---- Seeds together --------------------------------------------------------------------------------------------------


def seeds(bench: Bench, config: SequenceConfig, name: str) -> Path:
    fields = {field: getattr(config, field) for field in SequenceConfig.model_fields}
    if not (bench.root / "sweep").exists():
        swept(bench, config)
    return bench(name, train_seeds, SeedsConfig(**fields, seeds=(4, 2)), sweep=bench.root / "sweep")


def forced(pays: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test of speed finds, whatever the machine."""
    monkeypatch.setattr("paribus.testbeds.fitting._together", lambda *given: pays)


def test_seeds_one_after_another_are_the_runs_of_their_own_to_the_byte(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced(False, monkeypatch)
    config = run_of(steps=8)
    runs = seeds(bench, config, "runs")
    for seed in (4, 2):
        taken = bench(f"taken-{seed}", take_seed, SeedConfig(run=config, seed=seed), runs=runs)
        alone = trained(bench, config, seed, f"alone-{seed}")
        assert hash_tree(taken) == hash_tree(alone)


@pytest.mark.parametrize("problem", [LOOKUP, PROMPTS], ids=lambda problem: problem.kind)
def test_seeds_as_one_batched_model_are_the_runs_of_their_own_to_rounding(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, problem: Problem
) -> None:
    forced(True, monkeypatch)
    config = run_of(problem, steps=8)
    runs = seeds(bench, config, "runs")
    for seed in (4, 2):
        taken = bench(f"taken-{seed}", take_seed, SeedConfig(run=config, seed=seed), runs=runs)
        cost = bench.cost
        assert seed_cost(SeedConfig(run=config, seed=seed), {}) == training_cost(config, {})
        alone = trained(bench, config, seed, f"alone-{seed}")
        assert cost == bench.cost and cost.targets > 0
        for name, weight in weights(alone).items():
            if "qkv_proj.bias" not in name:  # the bias of attention's keys has no gradient but noise
                torch.testing.assert_close(weights(taken)[name], weight, atol=1e-4, rtol=1e-3)
        told, expected = read(taken / TRAINING), read(alone / TRAINING)
        assert (told["seed"], told["learning_rate"], told["steps"]) == (seed, expected["learning_rate"], 8)
        for point, other in zip(told["curve"], expected["curve"], strict=True):
            assert point == pytest.approx(other, abs=1e-4)


def test_a_seed_that_ended_early_cost_less(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    forced(True, monkeypatch)
    easy = FormalProblem(task=IndexLookup(length=1, symbols=2), longest=1)
    config = run_of(easy, steps=300, rows=16, stop_at=0.95, rates=(3e-2,))
    folder = bench("taken", take_seed, SeedConfig(run=config, seed=2), runs=seeds(bench, config, "runs"))
    steps = read(folder / TRAINING)["steps"]
    assert 20 <= steps < 300
    assert bench.cost.examples == steps * 16
