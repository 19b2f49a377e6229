"""Equality, disjointness and any predicate on pairs of bits: exhaustive, exact silence, and controls that must fail."""

import itertools
from typing import Any

import pytest
import torch

from paribus.errors import ConfigError
from paribus.testbeds.formal.constructions.construction import Construction, certify
from paribus.testbeds.formal.constructions.inputs import every_input
from paribus.testbeds.formal.constructions.pairwise import (
    BOTH,
    UNEQUAL,
    disjointness,
    equality,
    least_signal,
    no_violation,
)
from paribus.testbeds.formal.constructions.verifying import verify
from paribus.testbeds.formal.pairwise import Disjointness, Equality


def both(bits: int, **choices: Any) -> list[Construction]:
    return [equality(Equality(bits=bits), **choices), disjointness(Disjointness(bits=bits), **choices)]


@pytest.mark.parametrize("code", ["sign", "binary"])
@pytest.mark.parametrize("gather", ["mean", "sharp"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 3, 5])
def test_every_input_is_answered_right(code: str, gather: str, causal: bool, bits: int) -> None:
    for built in both(bits, code=code, gather=gather, causal=causal):
        found = verify(built)
        assert found.exhaustive and found.passed and found.checked == 4**bits
        assert found.margin >= built.margin - 1e-5
        certificate = certify(built)
        assert certificate is not None and certificate.holds


@pytest.mark.slow
@pytest.mark.parametrize("gather", ["mean", "sharp"])
@pytest.mark.parametrize("causal", [True, False])
def test_every_input_of_eight_bits_is_answered_right(gather: str, causal: bool) -> None:
    for built in both(8, code="binary", gather=gather, causal=causal):
        found = verify(built)
        assert found.exhaustive and found.passed and found.checked == 65536


def signals(built: Construction) -> tuple[torch.Tensor, torch.Tensor]:
    """What layer 2 brought to the last token, and whether the answer is yes, over every input."""
    caught, yes = [], []
    for batch in every_input(built.task):
        logits_BO = built.model(batch["input_ids"]).logits[:, -1]
        caught.append(logits_BO[:, 0] - built.model.head.bias[0])  # the head's row of "no" reads the violation
        yes.append(batch["labels"][:, -1] == 1)
    return torch.cat(caught), torch.cat(yes)


@pytest.mark.parametrize("gather", ["mean", "sharp"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_silence_is_exact_and_violations_are_loud(gather: str, dtype: torch.dtype) -> None:
    for built in both(5, gather=gather, dtype=dtype):
        caught_B, yes_B = signals(built)
        # (violation + bias) - bias is exact at 0, so silence is the bit pattern of 0.
        assert not caught_B[yes_B].any()
        assert caught_B[~yes_B].min() >= least_signal(11, gather, 0.05) - 1e-6
        if gather == "sharp":
            assert caught_B[~yes_B].min() >= 0.3


@pytest.mark.parametrize("tokens", [3, 101, 20001])
def test_the_sharp_signal_stays_up_where_the_mean_fades(tokens: int) -> None:
    assert least_signal(tokens, "mean", 0.01) == pytest.approx(0.97 / tokens)
    assert least_signal(tokens, "sharp", 0.01) > 0.65


@pytest.mark.parametrize("missing", ["attend", "compare"])
@pytest.mark.parametrize("gather", ["mean", "sharp"])
def test_without_layer_1_or_its_feed_forward_net_it_fails(missing: str, gather: str) -> None:
    for built in both(4, gather=gather, **{missing: False}):
        found = verify(built)
        assert found.errors > 0.1 * found.checked
        assert found.margin < 0
    certificate = certify(both(4, attend=False)[0])
    assert certificate is not None and not certificate.holds


PREDICATES = [
    frozenset(pairs)
    for size in (1, 2, 3, 4)
    for pairs in itertools.combinations(itertools.product((0, 1), repeat=2), size)
]


@pytest.mark.parametrize("violating", PREDICATES, ids=lambda pairs: str(sorted(pairs)))
def test_any_predicate_on_two_bits(violating: frozenset[tuple[int, int]]) -> None:
    bits = 3
    built = no_violation(Equality(bits=bits), violating, code="binary")
    strings = torch.tensor(list(itertools.product((0, 1), repeat=2 * bits)))
    input_ids = torch.cat((strings, torch.full((len(strings), 1), 2)), dim=1)
    answers = built.model(input_ids).logits[:, -1].argmax(dim=1)
    for row, answer in zip(strings.tolist(), answers.tolist(), strict=True):
        assert answer == (not any(pair in violating for pair in zip(row[:bits], row[bits:], strict=True)))


def test_large_sizes_are_certified_where_nobody_can_count() -> None:
    built = equality(Equality(bits=300), code="binary")
    certificate = certify(built)
    assert certificate is not None and certificate.holds and certificate.positions == 300
    assert built.width == 5 + 9
    found = verify(built, samples=50)
    assert found.passed and not found.exhaustive and found.total is None


def test_width_grows_with_the_logarithm() -> None:
    assert [equality(Equality(bits=bits), code="binary").width for bits in (9, 16, 512)] == [9, 9, 14]
    assert equality(Equality(bits=9)).width == 5 + 32


def test_wrong_requests_say_what_to_do() -> None:
    task = Equality(bits=3)
    with pytest.raises(ConfigError, match="must name pairs of bits"):
        no_violation(task, frozenset())
    with pytest.raises(ConfigError, match=r"\(0, 2\)"):
        no_violation(task, frozenset({(0, 2)}))
    with pytest.raises(ConfigError, match="Unknown gathering 'max'; choose mean or sharp"):
        equality(task, gather="max")
    with pytest.raises(ConfigError, match=r"slack 0.2 is not between 0 and 0.1"):
        equality(task, slack=0.2)
    with pytest.raises(ConfigError, match="'quadratic' is unknown or does not fit here; choose one of sign, binary"):
        equality(task, code="quadratic")
    assert UNEQUAL.isdisjoint(BOTH)
