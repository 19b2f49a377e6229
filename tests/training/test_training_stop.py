"""Runs that end early, and end at the same step wherever they are resumed."""

import pytest
import torch
from labelled_toys import fresh, settings, toy, vectors
from training_toys import Killed, killer, weights

from paribus.errors import ConfigError, ModelError
from paribus.training.objectives.labelled import Labelled
from paribus.training.results import Divergence, Reached, StepReport
from paribus.training.trainer import train

OBJECTIVE = Labelled("classes")


def go(run, *, stop=None, **options):
    return train(toy(), fresh(vectors), OBJECTIVE, run, stop=stop, **options)


def after(step):
    return lambda report: report.step >= step


def test_a_stopped_run_is_the_beginning_of_the_whole_one():
    whole, stopped = go(settings()), go(settings(), stop=after(7))
    assert stopped.history == whole.history[:7]
    assert (stopped.steps, stopped.stopped_at) == (7, 7)
    assert (whole.steps, whole.stopped_at) == (12, None)
    assert stopped.tokens == 7 * 8 * 6
    assert stopped.flops == pytest.approx(whole.flops * 7 / 12)
    seven = go(settings(schedule="constant"), stop=after(7))
    assert weights(seven.model) == weights(go(settings(steps=7, schedule="constant")).model)


def test_a_rule_that_is_never_true_changes_nothing():
    whole, watched = go(settings()), go(settings(), stop=lambda report: False)
    assert weights(whole.model) == weights(watched.model)
    assert watched.stopped_at is None


def test_stop_is_told_what_on_step_is_told():
    told, asked = [], []
    go(settings(steps=4), on_step=told.append, stop=lambda report: asked.append(len(report.history)))
    assert asked == [1, 2, 3, 4]
    for report in told:
        row = report.history[report.step - 1]
        assert (row["step"], row["loss"], row["accuracy"]) == (report.step, report.loss, report.metrics["accuracy"])


@pytest.mark.parametrize("at", [5, 6, 7])
def test_killed_and_resumed_stops_where_the_whole_run_stops(tmp_path, at):
    """The rule's window reaches back behind the checkpoint."""
    run, rule = settings(checkpoint_every=3), Reached(at=0.0, window=8)
    whole = go(run, stop=rule)
    assert whole.stopped_at == 8
    with pytest.raises(Killed):
        go(run, stop=rule, checkpoint_dir=tmp_path, on_step=killer(at))
    resumed = go(run, stop=rule, checkpoint_dir=tmp_path)
    assert resumed.resumed_at == at // 3 * 3 - 3 * (at % 3 == 0)
    assert (resumed.history, resumed.tokens, resumed.stopped_at) == (whole.history, whole.tokens, 8)
    assert weights(resumed.model) == weights(whole.model)


def test_a_stopped_run_is_loaded_and_not_trained_further(tmp_path):
    run = settings(checkpoint_every=5)
    stopped = go(run, stop=after(7), checkpoint_dir=tmp_path)
    steps = []
    again = go(run, stop=after(7), checkpoint_dir=tmp_path, on_step=steps.append)
    assert not steps
    assert weights(again.model) == weights(stopped.model)
    assert (again.history, again.steps, again.stopped_at) == (stopped.history, 7, 7)


def test_without_the_rule_a_stopped_run_goes_on_as_if_it_had_never_stopped(tmp_path):
    run = settings(checkpoint_every=5)
    whole = go(run)
    go(run, stop=after(7), checkpoint_dir=tmp_path)
    longer = go(run, checkpoint_dir=tmp_path)
    assert longer.resumed_at == 7
    assert weights(longer.model) == weights(whole.model)
    assert (longer.history, longer.steps, longer.stopped_at) == (whole.history, 12, None)


def report(*values, metric="sequence_accuracy"):
    history = [{"step": step, "loss": 1.0, metric: value} for step, value in enumerate(values, 1)]
    return StepReport(len(values), 99, 1.0, 0, {metric: values[-1]}, history)


def test_reached_is_a_mean_over_its_window():
    rule = Reached(at=0.9, window=3)
    assert not rule(report(1.0, 1.0))
    assert rule(report(1.0, 1.0, 0.7))
    assert not rule(report(1.0, 1.0, 0.6))
    assert rule(report(0.0, 0.9, 0.9, 0.9))
    assert Reached(at=0.5, metric="accuracy", window=1)(report(0.0, 0.5, metric="accuracy"))


def test_reached_refuses_what_it_cannot_decide():
    with pytest.raises(ConfigError, match=r"window=0 cannot be used"):
        Reached(at=1.0, window=0)
    with pytest.raises(ConfigError, match=r"metric='sequence_accuracy', which it does not measure; choose from bleu\."):
        Reached(at=1.0)(report(1.0, metric="bleu"))


def test_an_infinite_loss_is_a_divergence():
    model = toy()
    with torch.no_grad():
        model.head.bias.fill_(torch.inf)
    with pytest.raises(Divergence, match="at step 1 of 12; lower learning_rate"):
        train(model, fresh(vectors), OBJECTIVE, settings())
    assert issubclass(Divergence, ModelError)
