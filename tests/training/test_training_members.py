"""Members of a batched model against their single runs."""

import pytest
import torch
from labelled_toys import TASKS, ToyLSTM, bits, fresh, settings, tokens, toy, vectors, vectors_fp64
from torch import nn
from training_toys import weights

from paribus.data.sampled import SampledStream
from paribus.errors import ConfigError, DataError
from paribus.models.sequence import SequenceConfig, SequenceForPrediction
from paribus.training import members
from paribus.training.compute import FP32, ComputePath
from paribus.training.members import MembersPay, members_pay, train_members
from paribus.training.objectives.labelled import Labelled
from paribus.training.optimizers import build_optimizer
from paribus.training.results import Divergence, Reached
from paribus.training.settings import LoraSettings
from paribus.training.trainer import train

CLASSES = Labelled("classes")
RATES = (2e-2, 5e-3, 1e-3)


def alike(members_result, single, *, atol):
    """Same losses, counts and weights up to rounding."""
    for row, other in zip(members_result.history, single.history, strict=True):
        assert row == pytest.approx(other, abs=atol)
    for (name, one), other in zip(members_result.model.named_parameters(), single.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=atol, rtol=atol, msg=lambda text, name=name: f"{name}: {text}")
    for count in ("steps", "tokens", "targets", "flops", "stopped_at"):
        assert getattr(members_result, count) == getattr(single, count)


def both(build, sampler, objective, runs, **options):
    """The members' results and those of their single runs."""
    streams = [fresh(sampler, seed=member) for member in range(len(runs))]
    together = train_members(build, streams, objective, runs, **options)
    alone = [
        train(build(member), stream, objective, run, compute=FP32, **options)
        for member, (stream, run) in enumerate(zip(streams, runs, strict=True))
    ]
    return together, alone


@pytest.mark.parametrize("changes", [{}, {"weight_decay": 0.5, "warmup_steps": 4}, {"max_grad_norm": 0.02}])
@pytest.mark.parametrize("name", TASKS)
def test_a_member_s_run_is_its_single_run(name, changes):
    """Other weights, data and learning rate each; the gradient norms differ, so a clip of all together would show."""
    sampler, objective, shape = TASKS[name]
    runs = [settings(learning_rate=rate, **changes) for rate in RATES]
    together, alone = both(lambda member: toy(member, **shape), sampler, objective, runs)
    assert len({result.history[-1]["loss"] for result in alone}) == 3
    for one, other in zip(together, alone, strict=True):
        alike(one, other, atol=2e-5)


def sequence(seed, mixer, kernel="auto", dtype=torch.float64):
    torch.manual_seed(seed)
    shape = {"input_size": 4, "outputs": 1, "hidden_size": 12, "num_hidden_layers": 2, "initializer_range": 0.3}
    model = SequenceForPrediction(SequenceConfig(mixer=mixer, **shape)).to(dtype)
    model.set_kernel(kernel)
    return model


@pytest.mark.parametrize("mixer", ["attention", "lstm", "gru", "elman"])
def test_members_of_sequence_models_to_the_last_bits(mixer):
    """Recurrent nets step by step, the one form of theirs that torch can batch; their single runs by its kernels."""
    runs = [settings(learning_rate=rate, weight_decay=0.1, schedule="linear", steps=6) for rate in RATES]
    streams = [fresh(vectors_fp64, seed=member) for member in range(3)]
    together = train_members(lambda member: sequence(member, mixer, "steps"), streams, CLASSES, runs)
    for member, run in enumerate(runs):
        alone = train(sequence(member, mixer), streams[member], CLASSES, run, compute=FP32)
        alike(together[member], alone, atol=1e-10)


def test_frozen_weights_stay_and_the_others_learn():
    runs = [settings(freeze=("body.*",)), settings(freeze=("body.*",), learning_rate=1e-3)]
    together, alone = both(toy, vectors, CLASSES, runs)
    for member, (one, other) in enumerate(zip(together, alone, strict=True)):
        alike(one, other, atol=2e-5)
        assert one.model.body.weight.equal(toy(member).body.weight)
        assert not one.model.head.weight.equal(toy(member).head.weight)
        assert all(parameter.requires_grad for parameter in one.model.parameters())


class Tied(type(toy())):
    """Input vectors of tokens and weights of the head in one tensor."""

    def __init__(self, config):
        super().__init__(config)
        self.head.weight = self.embed.weight


def test_tied_weights_stay_tied():
    def build(member):
        return toy(member, kind=Tied, vocab_size=9, outputs=9)

    together, alone = both(build, tokens, CLASSES, [settings(learning_rate=rate) for rate in RATES])
    for one, other in zip(together, alone, strict=True):
        assert one.model.head.weight is one.model.embed.weight
        alike(one, other, atol=2e-5)


def test_a_member_that_has_learned_stops_and_the_others_go_on():
    """Three times the same run at other rates, so that they reach the mark at different steps or not at all."""
    runs = [settings(steps=60, batch_size=16, learning_rate=rate) for rate in (3e-2, 1e-2, 1e-5)]
    rule = Reached(at=0.9, metric="accuracy", window=3)
    streams = [fresh(vectors, seed=5, batch_size=16)] * 3
    told = []
    together = train_members(
        lambda member: toy(), streams, CLASSES, runs, stop=rule, on_step=lambda *step: told.append(step)
    )
    stops = [result.stopped_at for result in together]
    assert stops[2] is None
    assert 3 <= stops[0] < stops[1] < 60
    for member, one in enumerate(together):
        alone = train(toy(), streams[member], CLASSES, runs[member], compute=FP32, stop=rule)
        alike(one, alone, atol=5e-4)
        assert [report.step for place, report in told if place == member] == list(range(1, one.steps + 1))


def test_all_members_may_stop():
    together = train_members(toy, [fresh(vectors)] * 2, CLASSES, [settings()] * 2, stop=lambda report: report.step == 4)
    assert [result.stopped_at for result in together] == [4, 4]


def test_one_member_is_a_run_too():
    together, alone = both(toy, vectors, CLASSES, [settings()])
    alike(together[0], alone[0], atol=2e-5)


def test_models_are_left_as_they_were_found():
    models = [toy(member) for member in range(2)]
    attention = models[0].config._attn_implementation
    result = train_members(models.__getitem__, [fresh(vectors)] * 2, CLASSES, [settings(steps=2)] * 2)
    assert [one.model for one in result] == models
    assert not any(model.training for model in models)
    assert models[0].config._attn_implementation == attention
    assert "2 members" in result[0].compute.reason
    again = train_members(toy, [fresh(vectors)] * 2, CLASSES, [settings(steps=2)] * 2)
    assert weights(again[1].model) == weights(models[1])


def test_bf16_rounds_and_learns():
    path = ComputePath(dtype="bfloat16")
    runs = [settings(steps=5), settings(steps=5, learning_rate=1e-3)]
    low = train_members(toy, [fresh(vectors)] * 2, CLASSES, runs, compute=path)
    high = train_members(toy, [fresh(vectors)] * 2, CLASSES, runs)
    for one, other in zip(low, high, strict=True):
        assert one.compute.dtype == "bfloat16"
        losses = [[row["loss"] for row in result.history] for result in (one, other)]
        assert losses[0] != losses[1]
        assert losses[0] == pytest.approx(losses[1], abs=0.03)


def test_seconds_of_members_add_up_to_those_of_the_run(monkeypatch):
    """A clock that ticks once at each look: two looks a step, so a second a step."""
    clock = iter(range(10**6))
    monkeypatch.setattr(members.time, "perf_counter", lambda: float(next(clock)))
    runs = [settings(steps=6)] * 2
    stopped = iter([False, False, False, True])  # member 1 after step 2
    result = train_members(toy, [fresh(vectors)] * 2, CLASSES, runs, stop=lambda report: next(stopped, False))
    assert [one.stopped_at for one in result] == [None, 2]
    assert [one.seconds for one in result] == [2 * 0.5 + 4, 2 * 0.5]


def masked(count, generator):
    return tokens(count, generator) | {"labels": torch.full((count, 5), -100)}


def infinite(member):
    model = toy(member)
    if member == 1:
        nn.init.constant_(model.head.bias, torch.inf)
    return model


TOKENS = {"vocab_size": 9, "outputs": 3}
REFUSED = {
    "There are 2 settings and 1 streams": (toy, [fresh(vectors)], [settings()] * 2),
    "There are 0 settings and 0 streams": (toy, [], []),
    r"batch sizes \[4, 8\]": (toy, [fresh(vectors), fresh(vectors, batch_size=4)], [settings()] * 2),
    "Member 1 differs from member 0 in steps, weight_decay; members may differ in learning_rate and seed only": (
        toy,
        [fresh(vectors)] * 2,
        [settings(), settings(steps=3, weight_decay=1.0)],
    ),
    "Member 1 has weights of other shapes than member 0": (
        lambda member: toy(vocab_size=9, outputs=3 + member),
        [fresh(tokens)] * 2,
        [settings()] * 2,
    ),
    "ToyLSTM cannot be trained as one of several members: torch cannot batch it .*lstm.*; train one by one": (
        lambda member: toy(member, kind=ToyLSTM),
        [fresh(vectors)] * 2,
        [settings()] * 2,
    ),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_cannot_be_members_is_refused(sentence):
    build, streams, runs = REFUSED[sentence]
    with pytest.raises(ConfigError, match=sentence):
        train_members(build, streams, CLASSES, runs)


IMPOSSIBLE = {
    "optimizer='muon'": {"optimizer": "muon"},
    "gradient_accumulation=2": {"gradient_accumulation": 2},
    "activation_checkpointing=True": {"activation_checkpointing": True},
    "lora=": {"lora": LoraSettings()},
    "checkpoint_every=3": {"checkpoint_every": 3},
}


@pytest.mark.parametrize("sentence", IMPOSSIBLE)
def test_settings_that_members_cannot_have_are_refused(sentence):
    with pytest.raises(ConfigError, match=f"cannot be trained together with {sentence}.*; train them one by one"):
        train_members(toy, [fresh(vectors)], CLASSES, [settings(**IMPOSSIBLE[sentence])])


def test_an_infinite_loss_names_its_member():
    with pytest.raises(Divergence, match=r"loss of member 1 is nan at step 1 of 12; lower its learning_rate=0\.01"):
        train_members(infinite, [fresh(vectors)] * 2, CLASSES, [settings()] * 2)


def test_a_step_without_labels_names_its_member():
    streams = [fresh(tokens), fresh(masked)]
    with pytest.raises(DataError, match="Step 1 of member 1 has no position to learn: every label of its 8 rows"):
        train_members(lambda member: toy(**TOKENS), streams, CLASSES, [settings()] * 2)


def test_other_errors_of_a_model_come_through():
    class Broken(type(toy())):
        def mix(self, x):
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        train_members(lambda member: toy(kind=Broken), [fresh(vectors)] * 2, CLASSES, [settings()] * 2)


def test_a_group_without_gradient_is_passed_over():
    """Vectors go past the embedding, which is all that its optimizer group has left to learn."""
    runs = [settings(steps=3, freeze=("norm.*", "head.*"), learning_rate=rate) for rate in RATES]
    together, alone = both(lambda member: toy(member, vocab_size=9), vectors, CLASSES, runs)
    for member, (one, other) in enumerate(zip(together, alone, strict=True)):
        alike(one, other, atol=2e-5)
        assert one.model.embed.weight.equal(toy(member, vocab_size=9).embed.weight)


@pytest.mark.parametrize("times, batched", [((3.0, 4.0), True), ((3.0, 6.0), False)])
def test_members_pay_compares_minima(monkeypatch, times, batched):
    """Two members in 4 s against 3 s each pay, in 6 s they do not; first and disturbed turns are no minima."""
    seconds = iter([99.0, 99.0, times[0], times[1] + 5, times[0] + 7, times[1], *times])
    monkeypatch.setattr(members, "_seconds", lambda step: step() or next(seconds))
    pay = members_pay(toy, fresh(vectors), CLASSES, settings(), 2)
    assert pay.gain == pytest.approx(2 * times[0] / times[1])
    assert pay.batched == batched
    assert pay.reason.startswith(f"2 members ran {pay.gain:.2f}x as fast together as one by one on cpu")


def test_members_pay_times_real_training_steps():
    """Both kinds of step move their models as a run's first step would."""
    batch, run = fresh(bits).batch(0), settings(schedule="constant")
    shape = TASKS["bits"][2]
    alone, single = toy(**shape), toy(**shape)
    members.single_step(alone, batch, Labelled("bits"), run, FP32)()
    optimizer = build_optimizer(single.train(), run)
    Labelled("bits").loss(single, batch).value.backward()
    nn.utils.clip_grad_norm_(single.parameters(), 1.0)
    optimizer.step()
    assert weights(alone) == weights(single)


def test_members_that_cannot_be_batched_do_not_pay():
    pay = members_pay(lambda member: toy(kind=ToyLSTM), fresh(vectors), CLASSES, settings(), 3)
    assert (pay.gain, pay.batched) == (0, False)
    assert "torch cannot batch it" in pay.reason
    assert not members_pay(toy, fresh(vectors), CLASSES, settings(optimizer="muon"), 3).batched
    assert MembersPay(2, 1.1, "").batched


def test_streams_of_unequal_lengths_are_refused():
    def longer(count, generator):
        return {name: values.repeat(1, 2) for name, values in tokens(count, generator).items()}

    streams = [fresh(tokens), SampledStream(longer, 8, 0, "longer")]
    with pytest.raises(DataError, match=r"input_ids of the members have the shapes \[\(8, 5\), \(8, 10\)\]"):
        train_members(lambda member: toy(**TOKENS), streams, CLASSES, [settings()] * 2)
