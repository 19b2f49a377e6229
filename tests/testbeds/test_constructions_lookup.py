"""Index lookup by hand-written weights: exhaustive, at every length, in a model that saves and trains like any."""

from pathlib import Path

import pytest
import torch

from paribus.errors import ConfigError
from paribus.models.sequence import SequenceForPrediction
from paribus.testbeds.formal.constructions.codes import digits
from paribus.testbeds.formal.constructions.construction import certify
from paribus.testbeds.formal.constructions.inputs import every_input
from paribus.testbeds.formal.constructions.lookup import index_lookup
from paribus.testbeds.formal.constructions.verifying import gaps, verify
from paribus.testbeds.formal.index_lookup import IndexLookup

CODES = ("sign", "binary", "quadratic")


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("letters", ["onehot", "binary"])
@pytest.mark.parametrize(("length", "symbols"), [(1, 2), (2, 3), (6, 2), (8, 2), (5, 3), (5, 4)])
def test_every_input_is_answered_right(code: str, letters: str, length: int, symbols: int) -> None:
    built = index_lookup(IndexLookup(length=length, symbols=symbols), code=code, letters=letters)
    found = verify(built)
    assert found.exhaustive and found.passed
    assert found.checked == symbols**length * length
    assert found.margin >= built.margin - 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("code", ["sign", "binary"])
@pytest.mark.parametrize(("length", "symbols"), [(12, 2), (6, 4)])
def test_every_input_is_answered_right_at_the_sizes_first_verified(code: str, length: int, symbols: int) -> None:
    found = verify(index_lookup(IndexLookup(length=length, symbols=symbols), code=code))
    assert found.exhaustive and found.passed


@pytest.mark.parametrize("code", CODES)
def test_the_same_weights_answer_at_every_shorter_length(code: str) -> None:
    task = IndexLookup(length=8, symbols=2)
    built = index_lookup(task, code=code)
    for length in range(1, 9):
        found = verify(built, task=task.at(length))
        assert found.exhaustive and found.passed


@pytest.mark.parametrize("causal", [True, False])
def test_both_directions_of_attention_work(causal: bool) -> None:
    built = index_lookup(IndexLookup(length=6, symbols=3), code="binary", causal=causal)
    assert built.model.config.causal is causal
    assert verify(built).passed


def test_width_is_logarithmic() -> None:
    for length in (16, 256, 1024):
        task = IndexLookup(length=length, symbols=16)
        assert index_lookup(task).width == 16 + 2 * 8 * digits(length)
        assert index_lookup(task, code="binary", letters="binary").width == 4 + 2 * digits(length)
        assert index_lookup(task, code="quadratic").width == 16 + 4
    assert built_row(IndexLookup(length=12, symbols=2))["width"] == 10


def built_row(task: IndexLookup) -> dict[str, object]:
    return index_lookup(task, code="binary").row()


def test_the_rounding_of_onehot_letters_leaves_exact_zeros() -> None:
    built = index_lookup(IndexLookup(length=6, symbols=3), leak=0.4)
    for batch in every_input(built.task):
        logits_BO = built.model(input_ids=batch["input_ids"]).logits[:, -1]
        right_B1 = batch["labels"][:, -1:]
        assert (logits_BO.gather(1, right_B1) > 0).all()
        assert not logits_BO.scatter(1, right_B1, 0.0).any()


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("length", [1, 2, 3, 50, 300])
def test_the_certificate_holds_and_is_what_attention_does(code: str, length: int) -> None:
    """The certificate is computed from the weights; here the same mass is read off the attention of a run."""
    built = index_lookup(IndexLookup(length=length, symbols=2), code=code, dtype=torch.float64)
    certificate = certify(built)
    assert certificate is not None and certificate.holds
    assert certificate.mass <= 0.01 * (1 + 1e-9)
    places = torch.arange(0, length, max(1, length // 7))
    input_ids = torch.zeros(len(places), length + 1, dtype=torch.long)
    input_ids[:, -1] = 2 + places
    weights_BT = built.model(input_ids=input_ids, output_attentions=True).attentions[0][:, 0, -1]
    stray_B = 1 - weights_BT[torch.arange(len(places)), places]
    assert stray_B.max().item() <= certificate.mass + 1e-12
    if length <= 7:
        assert stray_B.max().item() == pytest.approx(certificate.mass, abs=1e-9)


def test_the_certificate_bounds_the_worst_input() -> None:
    """The right letter weighs at least 1 - mass, whatever the content: exhaustively, and reached by some input."""
    built = index_lookup(IndexLookup(length=5, symbols=2), leak=0.2, dtype=torch.float64)
    certificate = certify(built)
    least = min(
        gaps(built.model(batch["input_ids"]).logits, batch, built.task).min() for batch in every_input(built.task)
    )
    assert certificate is not None
    assert least >= 1 - 2 * certificate.mass - 1e-9


def test_a_spoilt_weight_is_found() -> None:
    """Fault injection: with half the temperature the leak grows, with none nothing is found."""
    built = index_lookup(IndexLookup(length=6, symbols=2))
    with torch.no_grad():
        built.model.model.layers[0].mixer.qkv_proj.weight[: built.model.config.head_dim] *= 0.0
    certificate = certify(built)
    assert certificate is not None and not certificate.holds
    assert certificate.mass == pytest.approx(6 / 7)
    found = verify(built)
    assert not found.passed and found.margin <= 0


def test_the_model_is_saved_loaded_and_trained_like_any_other(tmp_path: Path) -> None:
    built = index_lookup(IndexLookup(length=5, symbols=2), code="binary")
    assert type(built.model) is SequenceForPrediction
    assert built.parameters == sum(weight.numel() for weight in built.model.parameters())
    built.model.save_pretrained(tmp_path)
    loaded = SequenceForPrediction.from_pretrained(tmp_path)
    batch = next(every_input(built.task))
    assert torch.allclose(loaded(batch["input_ids"]).logits, built.model(batch["input_ids"]).logits, atol=1e-6)
    loss = torch.nn.functional.cross_entropy(loaded(batch["input_ids"]).logits[:, -1], batch["labels"][:, -1])
    loss.backward()
    assert loaded.model.layers[0].mixer.qkv_proj.weight.grad.abs().sum() > 0


def test_wrong_requests_say_what_to_do() -> None:
    task = IndexLookup(length=4)
    with pytest.raises(ConfigError, match="Unknown letters 'hex'; choose one of onehot, binary"):
        index_lookup(task, letters="hex")
    with pytest.raises(ConfigError, match=r"leak 0.3 is above 0.24, what binary letters tolerate"):
        index_lookup(task, letters="binary", leak=0.3)
    with pytest.raises(ConfigError, match="choose one of sign, binary, quadratic"):
        index_lookup(task, code="jl")
