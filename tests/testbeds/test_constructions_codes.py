"""Position codes and the certificate on their own: closed forms, the paper's widths, and where precision ends."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import ConfigError
from paribus.testbeds.formal.constructions.certificates import certify_code, off_target_mass
from paribus.testbeds.formal.constructions.codes import (
    CODES,
    binary_code,
    digits,
    make_code,
    quadratic_code,
    sign_code,
)

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10), (1025, 11)])
def test_digits_are_the_ceiling_of_the_logarithm(count: int, expected: int) -> None:
    assert digits(count) == expected


@pytest.mark.parametrize("count", [4, 5, 16, 100, 1024])
def test_binary_code_has_the_closed_form_coherence(count: int) -> None:
    code = binary_code(count)
    assert code.width == math.ceil(math.log2(count))
    assert code.coherence == pytest.approx(1 - 2 / code.width)
    assert code.margin == pytest.approx(2 / code.width)
    assert torch.allclose(code.keys_NK.norm(dim=1), torch.ones(count, dtype=torch.float64))


@pytest.mark.parametrize("count", [16, 64, 256, 1024, 4096])
def test_sign_code_of_the_default_width_keeps_positions_apart(count: int) -> None:
    code = sign_code(count)
    assert code.width == 8 * math.ceil(math.log2(count))
    assert 0.3 < code.coherence <= 0.6
    assert code.margin == pytest.approx(1 - code.coherence)


@pytest.mark.parametrize(
    ("count", "width", "coherence"), [(16, 20, 0.5), (64, 32, 0.5), (256, 56, 0.5), (16, 64, 0.25)]
)
def test_smallest_published_widths_reach_their_coherence(count: int, width: int, coherence: float) -> None:
    assert sign_code(count, width=width, coherence=coherence, attempts=400).coherence <= coherence


def test_sign_code_is_the_same_for_the_same_seed() -> None:
    assert torch.equal(sign_code(50, seed=3).keys_NK, sign_code(50, seed=3).keys_NK)
    assert not torch.equal(sign_code(50, seed=3).keys_NK, sign_code(50, seed=4).keys_NK)


@given(st.integers(1, 300))
@settings(max_examples=25, deadline=None)
def test_quadratic_code_peaks_at_the_own_position_with_margin_one(count: int) -> None:
    code = quadratic_code(count)
    place = torch.arange(1, count + 1).double()
    assert torch.equal(code.queries_NK @ code.keys_NK.T, place[:, None] ** 2 - (place[:, None] - place) ** 2)
    assert code.margin == 1


@given(st.sampled_from(sorted(CODES)), st.integers(1, 200), st.floats(1e-6, 0.4))
@settings(max_examples=40, deadline=None)
def test_temperature_keeps_its_promise(name: str, count: int, leak: float) -> None:
    assert certify_code(make_code(name, count), leak=leak).mass <= leak * (1 + 1e-9)


@pytest.mark.parametrize("name", ["sign", "binary"])
@pytest.mark.parametrize("count", [64, 256, 1024])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_unit_codes_hold_in_every_precision(name: str, count: int, dtype: torch.dtype) -> None:
    certificate = certify_code(make_code(name, count), dtype=dtype)
    assert certificate.holds
    assert certificate.mass < 0.011
    assert certificate.row()["holds"] is True


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sign", "binary"])
def test_unit_codes_hold_at_the_largest_size_in_every_precision(name: str) -> None:
    code = make_code(name, 8192)
    assert code.width <= 8 * 13
    for dtype in DTYPES:
        assert certify_code(code, dtype=dtype).mass < 0.1


@pytest.mark.parametrize(
    ("count", "dtype", "holds"),
    [
        (64, torch.float32, True),
        (1024, torch.float32, True),
        (64, torch.bfloat16, False),
        (64, torch.float16, False),
        (4096, torch.float32, False),
        (4096, torch.float64, True),
    ],
    ids=str,
)
def test_quadratic_code_breaks_where_its_squares_are_rounded(count: int, dtype: torch.dtype, holds: bool) -> None:
    certificate = certify_code(quadratic_code(count), dtype=dtype)
    assert certificate.holds is holds
    assert holds or certificate.mass > 0.5


def test_off_target_mass_is_one_minus_the_target_weight() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(700, 5, generator=generator), torch.randn(40, 5, generator=generator)
    targets = torch.randint(40, (700,), generator=generator)
    visible = torch.rand(700, 40, generator=generator) < 0.5
    visible[torch.arange(700), targets] = True
    scores = (queries.double() @ keys.double().T).masked_fill(~visible, -math.inf)
    weights = scores.softmax(dim=-1)
    expected = 1 - weights[torch.arange(700), targets]
    assert torch.allclose(off_target_mass(queries, keys, targets, visible_NS=visible), expected, atol=1e-12)


def test_off_target_mass_counts_an_overflow_as_lost() -> None:
    queries, keys = torch.tensor([[300.0]]), torch.tensor([[300.0], [299.0]])
    assert off_target_mass(queries, keys, dtype=torch.float16).item() == 1.0
    assert off_target_mass(queries, keys).item() < 1e-9


def test_wrong_requests_say_what_to_do() -> None:
    with pytest.raises(
        ConfigError, match=r"'jl' is unknown or does not fit here; choose one of sign, binary, quadratic"
    ):
        make_code("jl", 4)
    with pytest.raises(ConfigError, match=r"0 positions"):
        binary_code(0)
    with pytest.raises(ConfigError, match=r"width 4 reached coherence 0.1 in 3 draws; widen it"):
        sign_code(64, width=4, coherence=0.1, attempts=3)
    with pytest.raises(ConfigError, match=r"leak 1.5 is not between 0 and 1"):
        binary_code(4).temperature(1.5)
    with pytest.raises(ConfigError, match=r"2 queries need 2 targets"):
        off_target_mass(torch.zeros(2, 1), torch.zeros(2, 1), torch.zeros(3, dtype=torch.long))
