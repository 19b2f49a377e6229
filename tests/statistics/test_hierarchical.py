"""Seeds and items together."""

import numpy as np
import pytest

from paribus.errors import ConfigError, DataError
from paribus.statistics import clustered_bootstrap, hierarchical_bootstrap, t_test, two_way_error
from paribus.statistics.hierarchical import crossed_means

rng_data = np.random.default_rng(5)


def _runs(rng: np.random.Generator, seeds: int, seed_noise: float, effect: float = 0.0) -> np.ndarray:
    """(seeds, 120) values: 40 questions x 3 languages, question noise shared by all seeds."""
    questions = np.repeat(rng.normal(0, 0.3, (1, 40)), 3, axis=1)
    return effect + rng.normal(0, seed_noise, (seeds, 1)) + questions + rng.normal(0, 0.3, (seeds, 120))


CLUSTERS = np.repeat(np.arange(40), 3)


def test_crossed_draws_agree_with_a_plain_loop() -> None:
    table = _runs(np.random.default_rng(1), 3, 0.2)
    rng = np.random.default_rng(2)
    loop = []
    for _ in range(4_000):
        columns = np.concatenate([np.arange(3 * q, 3 * q + 3) for q in rng.integers(0, 40, 40)])
        loop.append(table[rng.integers(0, 3, 3)][:, columns].mean())
    draws = crossed_means(table, CLUSTERS, resamples=4_000, rng=3)
    assert draws.mean() == pytest.approx(np.mean(loop), abs=0.01)
    assert draws.std() == pytest.approx(np.std(loop), rel=0.06)


def test_one_seed_is_the_clustered_bootstrap_and_says_so() -> None:
    values = rng_data.normal(size=60)
    ours = hierarchical_bootstrap(values, method="percentile", covers=("post-training", "prompts"))
    plain = clustered_bootstrap(values, method="percentile")
    assert (ours.estimate, ours.n, ours.covers) == (plain.estimate, 60, ("prompts",))
    assert ours.width == pytest.approx(plain.width, rel=0.05)


def test_baseline_is_subtracted_pair_by_pair() -> None:
    a, b = rng_data.normal(size=(3, 30)), rng_data.normal(size=(3, 30))
    assert hierarchical_bootstrap(a, b, rng=1) == hierarchical_bootstrap(a - b, rng=1)


def test_identical_arms_have_no_width() -> None:
    a = rng_data.normal(size=(2, 20))
    interval = hierarchical_bootstrap(a, a)
    assert (interval.low, interval.estimate, interval.high) == (0.0, 0.0, 0.0)


def test_two_way_error_by_hand() -> None:
    table = np.array([[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]])
    error = two_way_error(table)
    by_seed = np.var([3.0, 5.0], ddof=1) / 2
    by_item = np.var([2.0, 3.0, 7.0], ddof=1) / 3
    assert error.mean == 4.0
    assert error.standard_error == pytest.approx(np.sqrt(by_seed + by_item))
    assert error.df == pytest.approx((by_seed + by_item) ** 2 / (by_seed**2 + by_item**2 / 2))
    assert (error.n, error.covers) == (3, ("seeds", "items"))


@pytest.mark.parametrize(("seeds", "floor"), [(2, 0.83), (4, 0.90)])
def test_small_numbers_of_seeds_are_covered_where_percentiles_are_not(seeds: int, floor: float) -> None:
    """Seed noise dominates; the docstring promises 88% or more with two seeds (less three binomial errors here)."""
    rng = np.random.default_rng(seeds)
    expanded = percentile = 0
    for _ in range(250):
        table = _runs(rng, seeds, 0.3, effect=0.1)
        shared = int(rng.integers(2**31))
        expanded += hierarchical_bootstrap(table, clusters=CLUSTERS, resamples=200, rng=shared).contains(0.1)
        percentile += hierarchical_bootstrap(
            table, clusters=CLUSTERS, resamples=200, rng=shared, method="percentile"
        ).contains(0.1)
    assert expanded / 250 > floor
    assert percentile < expanded - 10


def test_same_seeds_and_items_reject_at_the_nominal_rate() -> None:
    """A/A: two arms that differ in seed noise only, four seeds each."""
    rng = np.random.default_rng(0)
    rejected = sum(t_test(two_way_error(_runs(rng, 4, 0.1) - _runs(rng, 4, 0.1), CLUSTERS)) <= 0.05 for _ in range(400))
    assert rejected / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hierarchical_bootstrap([[1.0, 2.0], [1.0]]), "equally long"),
        (lambda: hierarchical_bootstrap(np.ones((2, 3)), np.ones((3, 3))), r"\(2, 3\) and baseline \(3, 3\)"),
        (lambda: hierarchical_bootstrap(np.ones((2, 3)), clusters=["q"]), "3 items per seed and clusters has 1"),
        (lambda: hierarchical_bootstrap(np.full((2, 3), np.nan)), "not finite"),
        (lambda: two_way_error(np.ones((2, 1))), "at least two clusters"),
    ],
)
def test_bad_tables_are_refused(call: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        call()


def test_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match="'nested'"):
        hierarchical_bootstrap(np.ones((2, 3)), method="nested")
