"""Bounded Dyck by exact recurrent nets: all short strings, all states and so all lengths, in all precisions."""

from collections.abc import Callable

import pytest
import torch

from paribus.errors import ConfigError
from paribus.testbeds.formal.constructions.construction import Construction, certify
from paribus.testbeds.formal.constructions.dyck import dyck_compact, dyck_one_hot, one_hot_units
from paribus.testbeds.formal.constructions.inputs import every_input
from paribus.testbeds.formal.constructions.lookup import index_lookup
from paribus.testbeds.formal.constructions.reachable import walk_states
from paribus.testbeds.formal.constructions.verifying import verify
from paribus.testbeds.formal.dyck import BoundedDyck
from paribus.testbeds.formal.index_lookup import IndexLookup

Build = Callable[[BoundedDyck], Construction]
BUILDS = [dyck_one_hot, dyck_compact]
each_build = pytest.mark.parametrize("build", BUILDS, ids=["one-hot", "compact"])
each_readout = pytest.mark.parametrize("readout", ["next", "membership"])


@each_build
@each_readout
@pytest.mark.parametrize(
    ("pairs", "depth", "length"), [(1, 1, 8), (1, 2, 12), (2, 1, 6), (2, 2, 6), (2, 3, 6), (3, 2, 4)]
)
def test_every_string_is_answered_right(build: Build, readout: str, pairs: int, depth: int, length: int) -> None:
    built = build(BoundedDyck(pairs=pairs, depth=depth, length=length, readout=readout))
    found = verify(built)
    assert found.exhaustive and found.passed
    assert found.checked == (2 * pairs) ** length
    assert found.margin == built.margin  # integers and halves: exact


@pytest.mark.slow
@each_build
@each_readout
@pytest.mark.parametrize(("pairs", "depth", "length"), [(2, 2, 8), (2, 3, 8), (3, 2, 6)])
def test_every_string_is_answered_right_at_the_sizes_first_verified(
    build: Build, readout: str, pairs: int, depth: int, length: int
) -> None:
    found = verify(build(BoundedDyck(pairs=pairs, depth=depth, length=length, readout=readout)))
    assert found.exhaustive and found.passed


@each_build
@each_readout
@pytest.mark.parametrize(("pairs", "depth"), [(1, 1), (1, 4), (2, 1), (2, 2), (2, 4), (3, 3), (5, 2)])
def test_every_state_with_every_token_is_right_and_so_every_length(
    build: Build, readout: str, pairs: int, depth: int
) -> None:
    built = build(BoundedDyck(pairs=pairs, depth=depth, readout=readout))
    reach = walk_states(built)
    assert reach.proves
    assert reach.margin == 1
    assert reach.steps > 2 * pairs


@each_readout
def test_one_hot_states_are_the_states_of_the_language(readout: str) -> None:
    """(2, 3) has 15 stacks. Units are (stack before, token): without lost strings 2 openers and a closer each."""
    reach = walk_states(dyck_one_hot(BoundedDyck(pairs=2, depth=3, readout=readout)))
    assert reach.largest == 1
    stacks = 1 + 2 + 4 + 8
    assert reach.states == (2 * (stacks - 1) if readout == "next" else (stacks + 1) * 4)


@pytest.mark.parametrize(("pairs", "depth", "units"), [(1, 2, 8), (2, 2, 32), (2, 3, 64), (3, 2, 84)])
def test_widths_of_the_one_hot_net(pairs: int, depth: int, units: int) -> None:
    short, long = (BoundedDyck(pairs=pairs, depth=depth, length=length) for length in (8, 800))
    assert dyck_one_hot(short).width == dyck_one_hot(long).width == one_hot_units(short) == units


@pytest.mark.parametrize(("pairs", "depth", "units"), [(1, 1, 8), (2, 2, 12), (2, 10, 44), (4, 2, 17), (8, 10, 86)])
def test_widths_of_the_compact_net(pairs: int, depth: int, units: int) -> None:
    digits = max(1, (pairs - 1).bit_length())
    assert dyck_compact(BoundedDyck(pairs=pairs, depth=depth)).width == units
    assert units == (2 * depth - 1) * (1 + digits) + 2 * digits + 4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_units_stay_zero_or_one_over_long_strings_in_every_precision(dtype: torch.dtype) -> None:
    task = BoundedDyck(pairs=2, depth=4, length=300)
    batch = task.sample(3, torch.Generator().manual_seed(0))
    for build in BUILDS:
        built = build(task, dtype=dtype)
        units_BTU = built.model.model(batch["input_ids"]).last_hidden_state
        assert ((units_BTU == 0) | (units_BTU == 1)).all()
        found = verify(built, samples=3)
        assert found.passed and found.margin == 1


def test_exactly_one_unit_of_the_one_hot_net_is_on_even_when_lost() -> None:
    built = dyck_one_hot(BoundedDyck(pairs=2, depth=2, length=6, readout="membership"))
    for batch in every_input(built.task):
        units_BTU = built.model.model(batch["input_ids"]).last_hidden_state
        assert (units_BTU.sum(dim=2) == 1).all()


@each_build
def test_steps_carry_the_same_state_as_the_parallel_form(build: Build) -> None:
    task = BoundedDyck(pairs=2, depth=3, length=20)
    built = build(task)
    input_ids = task.sample(4, torch.Generator().manual_seed(0))["input_ids"]
    state, logits = built.model.initial_state(4), []
    for token_B in input_ids.unbind(1):
        logits_BO, state = built.model.step(token_B, state)
        logits.append(logits_BO)
    assert torch.equal(torch.stack(logits, dim=1), built.model(input_ids).logits)
    assert state.numbers == built.width


@each_build
@each_readout
def test_a_spoilt_weight_is_found_by_both_checks(build: Build, readout: str) -> None:
    """Fault injection: units that should hear of the past hear nothing of it."""
    built = build(BoundedDyck(pairs=2, depth=2, length=6, readout=readout))
    with torch.no_grad():
        built.model.model.layers[0].mixer.net.weight_hh_l0.zero_()
    assert not walk_states(built).proves
    assert not verify(built).passed


def test_walking_refuses_what_it_cannot_follow() -> None:
    with pytest.raises(ConfigError, match="no Elman net for bounded Dyck"):
        walk_states(index_lookup(IndexLookup(length=4)))
    built = dyck_compact(BoundedDyck(pairs=2, depth=2))
    with torch.no_grad():
        built.model.model.embed_tokens.weight.mul_(1.25)
    with pytest.raises(ConfigError, match="no integer"):
        walk_states(built)


def test_the_one_hot_net_of_a_deep_language_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"8192 one-hot units, above 2048; use dyck_compact"):
        dyck_one_hot(BoundedDyck(pairs=2, depth=10))


def test_recurrent_nets_have_no_certificate_of_attention() -> None:
    assert certify(dyck_compact(BoundedDyck())) is None
