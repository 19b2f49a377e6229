"""Fits on fresh data, sweeps on equal terms, and seeds together or apart."""

import math

import pytest
import torch

from paribus.errors import ConfigError
from paribus.models.sequence import SequenceConfig, SequenceForPrediction
from paribus.testbeds.fitting import Sweep, fit_sampled, fit_seeds, logits_on, sweep
from paribus.training.compute import ComputePath
from paribus.training.objectives.labelled import Labelled
from paribus.training.results import Divergence, Reached
from paribus.training.settings import TrainSettings

CLASSES = Labelled("classes")


def last_token(count, generator):
    """Say the last of 6 tokens: learnable in a few dozen steps."""
    ids = torch.randint(4, (count, 6), generator=generator)
    labels = torch.full_like(ids, -100)
    labels[:, -1] = ids[:, -1]
    return {"input_ids": ids, "labels": labels}


def coins(count, generator):
    """Labels that no input tells."""
    return last_token(count, generator) | {"labels": torch.randint(4, (count, 6), generator=generator)}


def build(seed, mixer="attention"):
    torch.manual_seed(seed)
    shape = {"vocab_size": 4, "outputs": 4, "hidden_size": 16, "ffn_size": 16, "max_positions": 8}
    return SequenceForPrediction(SequenceConfig(mixer=mixer, initializer_range=0.3, **shape))


def settings(**changes):
    return TrainSettings(**{"steps": 30, "batch_size": 16, "learning_rate": 1e-2, **changes})


def accuracy(model, sampler=last_token, count=200):
    batch = sampler(count, torch.Generator().manual_seed(123))
    right = logits_on(model, batch).argmax(-1) == batch["labels"]
    return float(right[batch["labels"] != -100].float().mean())


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return all(torch.equal(one, other) for one, other in zip(first.values(), second.values(), strict=True))


def test_a_fit_learns_what_can_be_learned_and_nothing_where_nothing_is():
    model = build(0)
    before = accuracy(model)
    result = fit_sampled(model, last_token, "last token", CLASSES, settings(steps=60))
    assert result.model is model
    assert accuracy(model) > max(0.95, before)
    assert result.tokens == 60 * 16 * 6
    assert result.targets == 60 * 16
    noise = build(0)
    fit_sampled(noise, coins, "coins", CLASSES, settings(steps=60))
    # 1200 fair guesses among 4: three standard deviations.
    assert abs(accuracy(noise, coins) - 0.25) < 3 * (0.25 * 0.75 / 1200) ** 0.5 + 0.01


def test_equal_fits_are_equal_and_seed_and_name_decide_the_data():
    def fit(name="last token", **changes):
        return fit_sampled(build(0), last_token, name, CLASSES, settings(steps=3, **changes))

    assert same(state(fit().model), state(fit().model))
    first = [run.history[0]["loss"] for run in (fit(), fit(seed=1), fit("other"))]
    assert len(set(first)) == 3


def test_a_fit_ends_early_and_resumes(tmp_path):
    rule = Reached(at=0.9, window=5)
    whole = fit_sampled(build(0), last_token, "last token", CLASSES, settings(steps=90), stop=rule)
    assert 5 <= whole.stopped_at < 90

    def killer(report):
        if report.step == whole.stopped_at - 1:
            raise KeyboardInterrupt

    run, options = settings(steps=90, checkpoint_every=4), {"stop": rule, "checkpoint_dir": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        fit_sampled(build(0), last_token, "last token", CLASSES, run, on_step=killer, **options)
    resumed = fit_sampled(build(0), last_token, "last token", CLASSES, run, **options)
    assert 0 < resumed.resumed_at < resumed.stopped_at == whole.stopped_at
    assert same(state(resumed.model), state(whole.model))


def test_the_compute_path_is_float32_unless_asked_otherwise():
    assert fit_sampled(build(0), coins, "coins", CLASSES, settings(steps=1)).compute.dtype == "float32"
    low = ComputePath(dtype="bfloat16", attention="eager")
    assert fit_sampled(build(0), coins, "coins", CLASSES, settings(steps=1), compute=low).compute == low


def test_a_sweep_starts_every_rate_from_the_same_weights_and_data():
    built = []

    def remembered(seed):
        built.append((seed, build(seed)))
        return built[-1][1]

    found = sweep(remembered, last_token, "x", CLASSES, settings(steps=20, seed=3), [1e-1, 1e-5, 1e-2], accuracy)
    assert found.rates == (1e-5, 1e-2, 1e-1)
    assert [seed for seed, _ in built] == [3, 3, 3]
    first_losses = [result.history[0]["loss"] for result in found.results]
    assert len(set(first_losses)) == 1
    alone = fit_sampled(build(3), last_token, "x", CLASSES, settings(steps=20, seed=3, learning_rate=found.chosen))
    assert same(state(found.best.model), state(alone.model))
    assert found.scores == tuple(accuracy(result.model) for result in found.results)
    assert found.scores[found.rates.index(found.chosen)] == max(found.scores)


@pytest.mark.parametrize(
    "scores, chosen, edge",
    [
        ({1e-3: 0.1, 1e-2: 0.9, 1e-1: 0.2}, 1e-2, False),
        ({1e-3: 0.9, 1e-2: 0.1, 1e-1: 0.2}, 1e-3, True),
        ({1e-3: 0.1, 1e-2: 0.2, 1e-1: 0.9}, 1e-1, True),
        ({1e-3: 0.1, 1e-2: 0.9, 1e-1: 0.9}, 1e-2, False),
        ({1e-3: 0.5, 1e-2: 0.5, 1e-1: 0.5}, 1e-3, True),
        ({1e-3: -2.0, 1e-2: math.nan, 1e-1: -1.0}, 1e-1, True),
    ],
)
def test_the_best_rate_is_chosen_and_the_smallest_of_equals(scores, chosen, edge):
    remaining = iter(scores.values())
    found = sweep(build, coins, "coins", CLASSES, settings(steps=1), list(scores), lambda model: next(remaining))
    assert (found.chosen, found.edge) == (chosen, edge)


def test_one_rate_alone_is_at_the_edge():
    found = sweep(build, coins, "coins", CLASSES, settings(steps=1), [1e-2], accuracy)
    assert found.edge
    assert isinstance(found, Sweep)


def breaking(above):
    """A builder of models whose loss is infinite from the step in which a large rate has moved the weights."""

    class Breaking(SequenceForPrediction):
        def forward(self, input_ids=None, **inputs):
            output = super().forward(input_ids, **inputs)
            moved = (self.head.weight - self.start).abs().max() > above
            output.logits = output.logits * torch.where(moved, torch.nan, 1.0)
            return output

    def broken(seed):
        torch.manual_seed(seed)
        model = Breaking(build(0).config)
        model.start = model.head.weight.detach().clone()
        return model

    return broken


def test_a_rate_that_diverges_scores_nothing_and_the_others_are_kept():
    found = sweep(breaking(0.5), coins, "coins", CLASSES, settings(steps=4), [1e-2, 1.0], accuracy)
    assert math.isnan(found.scores[1])
    assert found.results[1] is None
    assert (found.chosen, found.best) == (1e-2, found.results[0])


def test_a_sweep_in_which_every_rate_diverges_says_so():
    with pytest.raises(Divergence, match=r"No run of learning rates \(0.01, 1.0\) has a score.* lower them"):
        sweep(breaking(0.0), coins, "coins", CLASSES, settings(steps=4), [1e-2, 1.0], accuracy)


@pytest.mark.parametrize("rates", [[], [1e-2, 1e-3, 1e-2]])
def test_rates_that_are_no_sweep_are_refused(rates):
    with pytest.raises(ConfigError, match=r"rates=\(.*\) cannot be swept over"):
        sweep(build, coins, "coins", CLASSES, settings(), rates, accuracy)


def test_seeds_together_are_seeds_apart():
    run, rule = settings(steps=25), Reached(at=0.9, window=3)
    told = []
    apart = fit_seeds(build, last_token, "x", CLASSES, run, (5, 2), stop=rule, on_step=lambda *step: told.append(step))
    names = [(seed, report.step) for seed, report in told]
    told.clear()
    together = fit_seeds(
        build, last_token, "x", CLASSES, run, (5, 2), stop=rule, on_step=lambda *step: told.append(step), together=True
    )
    assert sorted(names) == sorted((seed, report.step) for seed, report in told)
    for seed, one, other in zip((5, 2), apart, together, strict=True):
        alone = fit_sampled(build(seed), last_token, "x", CLASSES, run.model_copy(update={"seed": seed}), stop=rule)
        assert same(state(one.model), state(alone.model))
        assert other.stopped_at == one.stopped_at
        for name, value in state(other.model).items():
            # The bias of attention's keys has no gradient but noise.
            if name != "model.layers.0.mixer.qkv_proj.bias":
                torch.testing.assert_close(value, state(one.model)[name], atol=1e-4, rtol=1e-3)


def test_auto_trains_one_by_one_what_cannot_be_batched():
    results = fit_seeds(
        lambda seed: build(seed, "lstm"), coins, "coins", CLASSES, settings(steps=2), (0, 1), together="auto"
    )
    assert [result.compute.reason for result in results] == ["fixed by the caller"] * 2


@pytest.mark.parametrize("seeds", [(), (1, 2, 1)])
def test_seeds_twice_or_none_are_refused(seeds):
    with pytest.raises(ConfigError, match=r"seeds=\(.*\) cannot be trained"):
        fit_seeds(build, coins, "coins", CLASSES, settings(), seeds)


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
@pytest.mark.parametrize("training", [True, False])
def test_logits_do_not_depend_on_how_many_rows_are_computed_at_once(rows, training):
    model, batch = build(0).train(training), coins(7, torch.Generator())
    logits = logits_on(model, batch, rows=rows)
    assert logits.shape == (7, 6, 4)
    assert not logits.requires_grad
    torch.testing.assert_close(logits, model(input_ids=batch["input_ids"]).logits.detach(), atol=1e-5, rtol=1e-5)
    assert model.training == training
