"""Cluster codes, totals and resampling weights."""

import numpy as np
import pytest

from paribus.errors import DataError
from paribus.statistics import cluster_codes, cluster_totals, cluster_weights


def test_codes_follow_first_appearance_and_mix_types() -> None:
    codes, k = cluster_codes(["b", 3, "b", ("x", 1), 3])
    assert codes.tolist() == [0, 1, 0, 2, 1]
    assert k == 3


def test_codes_of_arrays_equal_codes_of_lists() -> None:
    ids = np.array([4, 4, 9, 1])
    assert cluster_codes(ids)[0].tolist() == cluster_codes(ids.tolist())[0].tolist()


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_missing_cluster_id_is_refused_with_its_position(missing: object) -> None:
    with pytest.raises(DataError, match="position 1"):
        cluster_codes(["q1", missing])


def test_totals_by_hand() -> None:
    totals = cluster_totals([1.0, 2.0, 4.0], ["q1", "q2", "q1"])
    assert totals.sums.tolist() == [5.0, 2.0]
    assert totals.counts.tolist() == [2.0, 1.0]
    assert totals.mean == pytest.approx(7 / 3)


@pytest.mark.parametrize(
    ("values", "clusters", "words"),
    [
        ([], None, "empty"),
        ([1.0, float("nan"), 2.0], None, "position 1"),
        ([1.0, float("inf")], None, "not finite"),
        ([1.0, 2.0], ["q1"], "values has 2 entries and clusters has 1"),
        ([[1.0], [2.0]], None, "shape"),
        (["a"], None, "numbers"),
    ],
)
def test_bad_input_is_named(values: list[object], clusters: list[str] | None, words: str) -> None:
    with pytest.raises(DataError, match=words):
        cluster_totals(values, clusters)


def test_weights_are_multinomial_counts_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paribus.statistics.clusters.CHUNK_CELLS", 70)
    chunks = list(cluster_weights(7, 4_003, np.random.default_rng(0)))
    weights = np.concatenate(chunks)
    assert max(len(chunk) for chunk in chunks) == 10
    assert weights.shape == (4_003, 7)
    assert (weights.sum(axis=1) == 7).all()
    # Multinomial moments: mean 1, variance 1 - 1/k per cell.
    assert weights.mean(axis=0) == pytest.approx(np.ones(7), abs=0.06)
    assert weights.var(axis=0) == pytest.approx(np.full(7, 6 / 7), abs=0.1)
