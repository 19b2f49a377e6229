"""Costs add up, except for parameters; misses are relative to the larger amount."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from paribus.errors import ConfigError
from paribus.lab.budget import CURRENCIES, Cost, miss, total

amounts = st.builds(Cost, **{name: st.integers(0, 10**9).map(float) for name in CURRENCIES})


@given(st.lists(amounts, max_size=5))
def test_a_total_sums_every_currency_but_parameters(costs: list[Cost]) -> None:
    whole = total(costs)
    for name in CURRENCIES:
        values = [cost.get(name) for cost in costs]
        assert whole.get(name) == (max(values, default=0.0) if name == "parameters" else sum(values))


@given(amounts, amounts)
def test_addition_is_total_of_two(one: Cost, other: Cost) -> None:
    assert one + other == total([one, other]) == other + one


def test_a_miss_is_symmetric_and_relative() -> None:
    assert miss(99, 100) == miss(100, 99) == pytest.approx(0.01)
    assert miss(0, 0) == 0 and miss(0, 5) == 1


def test_negative_and_unknown_amounts_are_refused() -> None:
    with pytest.raises(ValidationError):
        Cost(tokens=-1)
    with pytest.raises(ConfigError, match="no currency 'money'"):
        Cost().get("money")
