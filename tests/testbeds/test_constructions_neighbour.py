"""Nearest neighbour and associative recall by hand-written weights, against every small input and against oracles."""

import pytest
import torch

from paribus.errors import ConfigError
from paribus.testbeds.formal.constructions.codes import digits
from paribus.testbeds.formal.constructions.construction import certify
from paribus.testbeds.formal.constructions.neighbour import associative_recall, nearest_neighbour
from paribus.testbeds.formal.constructions.verifying import verify
from paribus.testbeds.formal.neighbour import NearestNeighbour
from paribus.testbeds.formal.recall import AssociativeRecall

# (d, M): inputs that are left when ambiguous ones are taken out; 28 496 in all
UNAMBIGUOUS = {(2, 2): 208, (2, 3): 1472, (3, 2): 1728, (3, 3): 25088}


@pytest.mark.parametrize("code", ["sign", "binary"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("size", UNAMBIGUOUS, ids=str)
def test_every_unambiguous_prompt_is_answered_right(code: str, causal: bool, size: tuple[int, int]) -> None:
    task = NearestNeighbour(dimension=size[0], points=size[1])
    built = nearest_neighbour(task, code=code, causal=causal)
    found = verify(built)
    assert found.exhaustive and found.passed
    assert found.checked == UNAMBIGUOUS[size]
    assert found.margin >= built.margin


@pytest.mark.parametrize(("dimension", "points"), [(1, 1), (1, 3), (2, 2), (2, 3), (3, 2)])
def test_the_earliest_of_the_nearest_wins(dimension: int, points: int) -> None:
    task = NearestNeighbour(dimension=dimension, points=points, ties="earliest")
    found = verify(nearest_neighbour(task))
    assert found.exhaustive and found.passed
    assert found.checked == 2 ** (dimension * (points + 1) + points)


def test_the_tie_rule_is_what_decides() -> None:
    """Planted truth: three equal points with labels no, yes, yes. By the earliest no, by the majority yes."""
    inputs = torch.zeros(1, 7, 3)
    inputs[0, 0::2, :2] = 2**-0.5
    inputs[0, 1::2, 2] = torch.tensor([-1.0, 1.0, 1.0])
    by_rule = nearest_neighbour(NearestNeighbour(dimension=2, points=3, ties="earliest")).model
    by_vote = nearest_neighbour(NearestNeighbour(dimension=2, points=3)).model
    assert by_rule(inputs_embeds=inputs).logits[0, -1].argmax() == 0
    assert by_vote(inputs_embeds=inputs).logits[0, -1].argmax() == 1


@pytest.mark.parametrize("ties", ["redrawn", "earliest"])
def test_large_random_prompts_against_brute_force(ties: str) -> None:
    task = NearestNeighbour(dimension=10, points=100, ties=ties)
    built = nearest_neighbour(task)
    batch = task.sample(60, torch.Generator().manual_seed(3))
    points_BMd, query_B1d = batch["inputs_embeds"][:, 0:-1:2, :-1], batch["inputs_embeds"][:, -1:, :-1]
    agreement_BM = (points_BMd.sign() == query_B1d.sign()).sum(dim=2)
    # argmax of whole numbers, made unique by the place: the earliest of the largest
    nearest_B = (agreement_BM * 1000 - torch.arange(100)).argmax(dim=1)
    labels_B = batch["inputs_embeds"][torch.arange(60), 2 * nearest_B + 1, -1] > 0
    answers_B = built.model(inputs_embeds=batch["inputs_embeds"]).logits[:, -1].argmax(dim=1)
    assert torch.equal(answers_B == 1, labels_B)


def test_points_on_the_sphere_with_a_margin() -> None:
    built = nearest_neighbour(NearestNeighbour(dimension=6, points=10, space="sphere", margin=0.1), code="binary")
    found, certificate = verify(built, samples=400), certify(built)
    assert found.passed and found.margin >= built.margin and found.total is None
    assert certificate is not None and certificate.holds


def test_points_on_the_sphere_without_a_margin_are_refused() -> None:
    for task in (
        NearestNeighbour(dimension=6, points=10, space="sphere"),
        NearestNeighbour(dimension=6, points=10, space="sphere", ties="earliest"),
    ):
        with pytest.raises(ConfigError, match="arbitrarily close to a tie"):
            nearest_neighbour(task)


@pytest.mark.parametrize("filler", ["zero", "random"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("length", "pairs", "vocabulary"), [(4, 1, 4), (6, 1, 6), (8, 2, 6)])
def test_every_recall_is_right(filler: str, causal: bool, length: int, pairs: int, vocabulary: int) -> None:
    task = AssociativeRecall(length=length, pairs=pairs, vocabulary=vocabulary, filler=filler)
    built = associative_recall(task, causal=causal)
    found = verify(built)
    assert found.exhaustive and found.passed and found.checked > 1
    assert found.margin >= built.margin - 1e-5


@pytest.mark.parametrize("code", ["sign", "binary"])
def test_recall_agrees_with_a_dictionary(code: str) -> None:
    task = AssociativeRecall(length=64, pairs=8, vocabulary=512)
    built = associative_recall(task, code=code)
    batch = task.sample(40, torch.Generator().manual_seed(1))
    answers_BT = built.model(batch["input_ids"]).logits.argmax(dim=2)
    asked = 0
    for tokens, labels, answers in zip(batch["input_ids"], batch["labels"], answers_BT, strict=True):
        context = dict(zip(tokens[0:16:2].tolist(), tokens[1:16:2].tolist(), strict=True))
        for place in (labels != -100).nonzero()[:, 0].tolist():
            assert answers[place] == context[int(tokens[place])]
            asked += 1
    assert asked == 40 * 8


def test_recall_answers_keys_that_filler_repeats_too() -> None:
    """Every key after the context is answered, whether the generator scores it or not."""
    task = AssociativeRecall(length=40, pairs=2, vocabulary=8)
    batch = task.sample(50, torch.Generator().manual_seed(2))
    answers_BT = associative_recall(task).model(batch["input_ids"]).logits.argmax(dim=2)
    unscored = 0
    for tokens, labels, answers in zip(batch["input_ids"], batch["labels"], answers_BT, strict=True):
        context = {int(tokens[0]): int(tokens[1]), int(tokens[2]): int(tokens[3])}
        for place in range(4, 40):
            if int(tokens[place]) in context:
                assert int(answers[place]) == context[int(tokens[place])]
                unscored += int(labels[place] == -100)
    assert unscored > 100


def test_recall_answers_shorter_sequences_with_the_same_weights() -> None:
    task = AssociativeRecall(length=64, pairs=4, vocabulary=64)
    built = associative_recall(task)
    for length in (16, 32):
        assert verify(built, task=task.at(length), samples=200).passed


def test_recall_at_the_published_vocabulary_is_logarithmically_wide() -> None:
    task = AssociativeRecall(length=64, pairs=4, vocabulary=8192)
    built = associative_recall(task, code="binary")
    assert built.width == 2 * digits(4095) + digits(4096) + 3 + digits(4) == 41
    found = verify(built, samples=16)
    assert found.passed and found.margin >= built.margin - 1e-4


def test_half_a_margin_of_copying_errors_would_not_be_tolerated() -> None:
    """Fault injection: a weakened first layer is noticed by the certificate before any sample is drawn."""
    built = nearest_neighbour(NearestNeighbour(dimension=8, points=32))
    certificate = certify(built)
    assert certificate is not None and certificate.holds
    mixer = built.model.model.layers[0].mixer
    with torch.no_grad():
        mixer.qkv_proj.weight[: mixer.head_dim] *= 0.3
    weakened = certify(built)
    assert weakened is not None and not weakened.holds
    assert weakened.tolerated == certificate.tolerated == pytest.approx(2 / 8 / 16)
