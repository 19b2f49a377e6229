"""The streaming selection against a sort."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.weights.selection import kth_largest


def wanted(values, k):
    magnitudes = np.sort(np.abs(values))[::-1]
    value = magnitudes[k - 1]
    return float(value), int(k - (magnitudes > value).sum())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=200), st.data())
def test_exact_for_any_floats(values, data):
    array = np.array(values, dtype=np.float32)
    k = data.draw(st.integers(1, len(array)))
    pieces = torch.from_numpy(array).split(7)
    found = kth_largest(lambda: iter(pieces), k)
    assert (found.value, found.at) == wanted(array, k)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_exact_on_many_coarse_values(share):
    array = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    array = torch.from_numpy(array).bfloat16().float().numpy()  # thousands of equal magnitudes
    k = int(share * len(array))
    found = kth_largest(lambda: torch.from_numpy(array).split(4096), k)
    assert (found.value, found.at) == wanted(array, k)
