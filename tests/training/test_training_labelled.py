"""The loss of labelled positions, against sums written out and against transformers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from labelled_toys import TASKS, fresh, settings, tokens, toy, vectors
from torch.nn import functional as F
from training_toys import weights
from transformers import LlamaConfig, LlamaForTokenClassification

from paribus.errors import ConfigError, DataError
from paribus.training.objectives.causal import real_tokens
from paribus.training.objectives.labelled import Labelled, model_inputs
from paribus.training.trainer import train


class Fixed:
    """A model that gives these logits."""

    def __init__(self, logits):
        self.logits = logits

    def __call__(self, **inputs):
        return self


def drawn(name, count=16, seed=0):
    sampler, objective, shape = TASKS[name]
    return sampler(count, torch.Generator().manual_seed(seed)), objective, shape


def by_loops(kind, logits, batch):
    """Loss, accuracy, sequence accuracy and scored positions, one position after the other."""
    losses, hits, rows = [], [], []
    for row in range(len(logits)):
        marks = []
        for place in range(logits.shape[1]):
            z, label = logits[row, place].tolist(), batch["labels"][row, place]
            if (kind == "classes" and label == -100) or (kind == "bits" and not batch["label_mask"][row, place]):
                continue
            if kind == "classes" and len(z) > 1:
                losses.append(math.log(sum(map(math.exp, z))) - z[label])
                marks.append(z.index(max(z)) == label)
            else:
                wanted = [float(bit) for bit in label.view(-1)]
                pairs = list(zip(z, wanted, strict=True))
                losses.append(sum(math.log1p(math.exp(-v if w else v)) for v, w in pairs) / len(pairs))
                marks.append(all((v > 0) == bool(w) for v, w in pairs))
        hits += marks
        rows += [all(marks)] if marks else []
    count = len(losses)
    return sum(losses) / count, sum(hits) / count, sum(rows) / len(rows), count


@pytest.mark.parametrize("name", TASKS)
def test_loss_and_metrics_are_those_of_loops(name):
    batch, objective, shape = drawn(name)
    logits = toy(**shape)(**model_inputs(batch)).logits
    loss = objective.loss(Fixed(logits), batch)
    value, accuracy, whole, count = by_loops(objective.kind, logits, batch)
    assert loss.value.item() == pytest.approx(value, rel=1e-5)
    assert float(loss.metrics["accuracy"]) == pytest.approx(accuracy)
    assert float(loss.metrics["sequence_accuracy"]) == pytest.approx(whole)
    assert loss.targets == objective.weight(batch) == count


def test_classes_are_transformers_token_classification():
    torch.manual_seed(0)
    shape = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForTokenClassification(LlamaConfig(vocab_size=9, num_labels=3, **shape)).eval()
    batch = tokens(16, torch.Generator().manual_seed(0))
    ours = Labelled("classes").loss(model, batch).value
    torch.testing.assert_close(ours, model(**batch).loss)


@pytest.mark.parametrize("name", TASKS)
def test_perfect_and_inverted_logits(name):
    batch, objective, shape = drawn(name)
    labels = batch["labels"].clamp(min=0)
    if objective.kind == "classes" and shape.get("outputs", 1) > 1:
        right = 20 * F.one_hot(labels, shape["outputs"]).float()
    else:
        right = 40.0 * labels.view(*labels.shape[:2], -1) - 20
    good, bad = (objective.loss(Fixed(logits), batch) for logits in (right, -right))
    assert good.value < 1e-6
    assert good.metrics == {"accuracy": 1, "sequence_accuracy": 1}
    assert bad.value > 10
    assert bad.metrics == {"accuracy": 0, "sequence_accuracy": 0}


@pytest.mark.parametrize("name", TASKS)
def test_what_is_not_scored_has_no_gradient(name):
    batch, objective, shape = drawn(name)
    logits = toy(**shape)(**model_inputs(batch)).logits.detach().requires_grad_()
    objective.loss(Fixed(logits), batch).value.backward()
    assert logits.grad.any(-1).equal(objective.scored(batch))


@given(outputs=st.integers(1, 4), seed=st.integers(0, 99), kind=st.sampled_from(["classes", "bits"]))
@budget(max_examples=30, deadline=None)
def test_the_mean_of_parts_by_weight_is_the_mean_of_the_whole(outputs, seed, kind):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(8, 5, outputs, generator=generator, dtype=torch.float64)
    mask = torch.rand(8, 5, generator=generator) < 0.5
    mask[0, 0] = True
    if kind == "bits":
        batch = {"labels": torch.randint(2, (8, 5, outputs), generator=generator).float(), "label_mask": mask}
    else:
        labels = torch.randint(max(2, outputs), (8, 5), generator=generator)
        batch = {"labels": labels.masked_fill(~mask, -100)}
    objective = Labelled(kind)
    whole = objective.loss(Fixed(logits), batch)
    parts = [
        (objective.weight(part), objective.loss(Fixed(logits[rows]), part))
        for rows in torch.arange(8).split(3)
        for part in [{name: values[rows] for name, values in batch.items()}]
    ]
    total = sum(weight for weight, _ in parts)
    assert sum(w * loss.value.item() for w, loss in parts) / total == pytest.approx(whole.value.item(), rel=1e-6)
    accuracy = sum(w * float(loss.metrics["accuracy"]) for w, loss in parts) / total
    assert accuracy == pytest.approx(float(whole.metrics["accuracy"]))


def test_rows_with_nothing_scored_count_nowhere():
    labels = torch.tensor([[1, -100], [-100, -100]])
    logits = torch.tensor([[[3.0], [0.0]], [[-3.0], [0.0]]])
    loss = Labelled("classes").loss(Fixed(logits), {"labels": labels})
    assert (loss.targets, float(loss.metrics["sequence_accuracy"])) == (1, 1.0)
    nothing = Labelled("classes").loss(Fixed(logits), {"labels": torch.full((2, 2), -100)})
    assert (nothing.value.item(), nothing.targets, float(nothing.metrics["accuracy"])) == (0, 0, 0)


def test_an_undecided_single_logit_says_0():
    marks = [
        float(Labelled("classes").loss(Fixed(torch.zeros(1, 1, 1)), {"labels": torch.tensor([[label]])}).metrics[name])
        for label in (0, 1)
        for name in ("accuracy",)
    ]
    assert marks == [1, 0]


MISFITS = {
    "Labels of shape (2, 3) do not fit logits of shape (2, 4, 5): kind='classes' wants (2, 4)": (
        "classes",
        {"labels": torch.zeros(2, 3).long()},
    ),
    "Labels of shape (2, 4, 1) do not fit logits of shape (2, 4, 5): kind='bits' wants (2, 4, 5)": (
        "bits",
        {"labels": torch.zeros(2, 4, 1), "label_mask": torch.ones(2, 4).bool()},
    ),
}


@pytest.mark.parametrize("sentence", MISFITS)
def test_labels_that_do_not_fit_are_refused(sentence):
    kind, batch = MISFITS[sentence]
    with pytest.raises(DataError) as caught:
        Labelled(kind).loss(Fixed(torch.zeros(2, 4, 5)), batch)
    assert sentence in str(caught.value)


def test_another_kind_is_refused():
    with pytest.raises(ConfigError, match="kind='classs' cannot be used"):
        Labelled("classs")


@pytest.mark.parametrize("name", TASKS)
def test_a_run_with_micro_batches_is_the_run_without(name):
    """Rows have unequal numbers of scored positions, so a mean of means would be another loss."""
    sampler, objective, shape = TASKS[name]
    whole = train(toy(**shape), fresh(sampler), objective, settings(steps=5))
    split = train(toy(**shape), fresh(sampler), objective, settings(steps=5, gradient_accumulation=4))
    for column in ("loss", "accuracy"):
        assert [row[column] for row in split.history] == pytest.approx([row[column] for row in whole.history], abs=1e-5)
    for (title, one), other in zip(whole.model.named_parameters(), split.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4, msg=lambda text, title=title: f"{title}: {text}")
    assert (split.tokens, split.targets) == (whole.tokens, whole.targets)
    assert whole.tokens == 5 * 8 * fresh(sampler).batch(0)["labels"].shape[1]


@pytest.mark.parametrize("name", TASKS)
def test_training_learns(name):
    sampler, objective, shape = TASKS[name]
    result = train(toy(**shape), fresh(sampler, batch_size=32), objective, settings(steps=150, batch_size=32))
    first, last = (sum(row["accuracy"] for row in part) / 10 for part in (result.history[:10], result.history[-10:]))
    assert last > max(0.9, first + 0.2)


def test_vectors_without_a_mask_are_all_tokens():
    batch = vectors(3, torch.Generator())
    assert real_tokens(batch).equal(torch.ones(3, 6, dtype=torch.bool))
    masked = batch | {"attention_mask": torch.tensor([[1, 1, 0, 0, 0, 0]] * 3)}
    assert real_tokens(masked).sum() == 6


def test_a_model_without_a_cache_setting_is_left_without_one():
    model = toy()
    train(model, fresh(vectors), Labelled("classes"), settings(steps=1))
    assert not hasattr(model.config, "use_cache")
    assert not model.training


def test_equal_streams_give_equal_runs():
    runs = [train(toy(), fresh(vectors, seed=seed), Labelled("classes"), settings(steps=3)) for seed in (0, 0, 1)]
    assert weights(runs[0].model) == weights(runs[1].model) != weights(runs[2].model)
