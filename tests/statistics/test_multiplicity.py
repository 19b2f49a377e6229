"""Holm's correction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import DataError
from paribus.statistics import holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_by_hand() -> None:
    # Sorted: .01*4, .02*3, .03*2 (raised to .06), .04*1 (raised to .06).
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def _rejections_step_by_step(p: list[float], alpha: float) -> list[bool]:
    """Holm as the paper words it: test the smallest at alpha/m, then alpha/(m-1), stop at the first failure."""
    rejected = [False] * len(p)
    for step, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[i] * (len(p) - step) > alpha:
            break
        rejected[i] = True
    return rejected


@given(P_VALUES, st.sampled_from([0.01, 0.05, 0.2]))
def test_rejections_are_those_of_the_step_down_rule(p: list[float], alpha: float) -> None:
    assert (holm(p) <= alpha).tolist() == _rejections_step_by_step(p, alpha)


@given(P_VALUES, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_ranks_are_kept(p: list[float], random: object) -> None:
    order = list(range(len(p)))
    random.shuffle(order)
    adjusted = holm(p)
    assert holm([p[i] for i in order]) == pytest.approx(adjusted[order])
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
    assert (adjusted >= np.asarray(p)).all()
    assert (adjusted <= np.minimum(1, np.asarray(p) * len(p)) + 1e-12).all()


@given(P_VALUES, st.data())
def test_raising_a_p_value_never_lowers_any(p: list[float], data: st.DataObject) -> None:
    i = data.draw(st.integers(0, len(p) - 1))
    raised = [*p[:i], data.draw(st.floats(p[i], 1)), *p[i + 1 :]]
    assert (holm(raised) >= holm(p) - 1e-12).all()


def test_family_of_true_nulls_rejects_any_at_most_at_alpha() -> None:
    rng = np.random.default_rng(0)
    families = rng.random((4_000, 8))
    any_rejected = np.mean([holm(p).min() <= 0.05 for p in families])
    assert any_rejected == pytest.approx(1 - (1 - 0.05 / 8) ** 8, abs=3 * np.sqrt(0.05 * 0.95 / 4_000))


def test_bad_values_are_named() -> None:
    with pytest.raises(DataError, match=r"position 1 is 1\.2"):
        holm([0.1, 1.2])
    with pytest.raises(DataError, match="empty"):
        holm([])
