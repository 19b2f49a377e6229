"""How far raters agree beyond chance: Gwet's AC1, Krippendorff's alpha, Cohen's kappa, with clustered intervals.

AC1 is the one to read where an answer is rare. With 2% of "yes", kappa and alpha are near 0 although raters agree on
nearly all items (the prevalence paradox), since they take "no" by all raters for chance; AC1 does not.

All three take a table with one row an item and one column a rater; which rater stands in which column matters to kappa
only. Each is a function of sums over items, so intervals come from ``bootstrap_of_sums``.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.errors import ConfigError, DataError
from paribus.statistics.arrays import Rng
from paribus.statistics.bootstrap import Clusters
from paribus.statistics.interval import Interval
from paribus.statistics.sums import Floats, Statistic, bootstrap_of_sums

Level = Literal["nominal", "ordinal", "interval"]
Weighting = Literal["none", "linear", "quadratic"]


class Terms(NamedTuple):
    """An agreement statistic: what to add up, shape ``(items, m)``, and what to make of the sums."""

    terms: Floats
    statistic: Statistic


def gwet_ac1(ratings: ArrayLike, *, categories: Sequence[float] | None = None) -> float:
    """Gwet's AC1: ``(pa - pe) / (1 - pe)`` (Gwet 2008, Computing inter-rater reliability ..., section 3).

    ``pa`` is the mean over items with two or more ratings of the share of agreeing pairs of raters; ``pe`` is
    ``sum_k pi_k (1 - pi_k) / (K - 1)``, where ``pi_k`` is the mean share of category k over all rated items.

    Args:
        ratings: shape ``(items, raters)``, NaN where a rater gave none. Items may have any number of ratings.
        categories: the K answers that were possible; ``None`` takes those that occur.

    Returns:
        1 for full agreement, about 0 for raters that guess; NaN without an item rated twice.

    Raises:
        DataError: not a table of numbers, a rating that is no category, or fewer than two categories.
    """
    return _value(ac1_terms(ratings, categories))


def krippendorff_alpha(ratings: ArrayLike, *, level: Level = "nominal") -> float:
    """Krippendorff's alpha, ``1 - observed / expected disagreement`` (Krippendorff 2011, Computing ... reliability).

    Args:
        ratings: shape ``(items, raters)``, NaN where a rater gave none; items with one rating are left out.
        level: how far two answers are apart: 0 or 1 (``"nominal"``), by the ratings that lie between them
            (``"ordinal"``), or their squared difference (``"interval"``).

    Returns:
        1 for full agreement, 0 for chance, below 0 for raters that avoid each other. NaN when all ratings are equal:
        there is then no disagreement to expect.

    Raises:
        DataError: not a table of numbers. ConfigError: an unknown level.
    """
    return _value(alpha_terms(ratings, level))


def cohen_kappa(first: ArrayLike, second: ArrayLike, *, weighting: Weighting = "none") -> float:
    """Cohen's kappa of two raters on the same items (Cohen 1960; weighted: Cohen 1968).

    Args:
        first, second: shape ``(items,)`` each; items where either is NaN are left out.
        weighting: what a disagreement counts: all the same, by distance of the categories' ranks, or its square.

    Returns:
        1 for full agreement, 0 for chance; NaN when both gave one and the same answer throughout.
    """
    return _value(kappa_terms(first, second, weighting))


def agreement_interval(
    of: Terms,
    clusters: Clusters | None = None,
    *,
    resamples: int = 1_000,
    level: float = 0.95,
    rng: Rng = 0,
) -> Interval:
    """Interval of an agreement statistic: ``agreement_interval(ac1_terms(ratings), inputs)``.

    ``clusters`` are ids of the items (n of them, before items are left out). Errors as ``bootstrap_of_sums``.
    """
    return bootstrap_of_sums(of.terms, of.statistic, clusters, resamples=resamples, level=level, rng=rng)[0]


def ac1_terms(ratings: ArrayLike, categories: Sequence[float] | None = None) -> Terms:
    """AC1 as terms per item: agreeing share, whether it has pairs, shares of the categories, whether it is rated."""
    counts, values = category_counts(ratings, categories)
    k = len(values)
    if k < 2:
        raise DataError(f"AC1 needs two categories or more and only {values.tolist()} occurs; name all by categories=.")
    n = counts.sum(axis=1)
    paired, rated = n > 1, n > 0
    agreeing = (counts * (counts - 1)).sum(axis=1) / np.maximum(n * (n - 1), 1)
    shares = counts / np.maximum(n, 1)[:, None]
    return Terms(np.column_stack([agreeing, paired, shares, rated]), lambda sums: _ac1(sums, k))


def _ac1(sums: Floats, k: int) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = sums[..., 0] / sums[..., 1]
        shares = sums[..., 2 : 2 + k] / sums[..., -1:]
    expected = (shares * (1 - shares)).sum(axis=-1) / (k - 1)
    return ((observed - expected) / (1 - expected))[..., None]


def alpha_terms(ratings: ArrayLike, level: Level = "nominal") -> Terms:
    """Alpha as terms per item: its coincidence matrix, flat."""
    if level not in get_args(Level):
        raise ConfigError(f"The level is {level!r}; use one of {', '.join(get_args(Level))}.")
    counts, values = category_counts(ratings)
    others = np.maximum(counts.sum(axis=1) - 1, 1)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(values))
    pairs[counts.sum(axis=1) < 2] = 0.0
    terms = (pairs / others[:, None, None]).reshape(len(counts), -1)
    return Terms(terms, lambda sums: _alpha(sums, values, level))


def _alpha(sums: Floats, values: Floats, level: Level) -> Floats:
    k = len(values)
    coincidences = sums.reshape(*sums.shape[:-1], k, k)
    totals = coincidences.sum(axis=-1)
    n = totals.sum(axis=-1)
    apart = _DISTANCES[level](totals, values)
    observed = (coincidences * apart).sum(axis=(-1, -2))
    expected = (totals[..., :, None] * totals[..., None, :] * apart).sum(axis=(-1, -2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (1 - (n - 1) * observed / expected)[..., None]


def _nominal(totals: Floats, values: Floats) -> Floats:
    return 1.0 - np.eye(len(values))


def _interval(totals: Floats, values: Floats) -> Floats:
    return (values[:, None] - values[None, :]) ** 2


def _ordinal(totals: Floats, values: Floats) -> Floats:
    """Squared number of ratings from the middle of one category to the middle of the other."""
    middles = totals.cumsum(axis=-1) - totals / 2
    return (middles[..., :, None] - middles[..., None, :]) ** 2


_DISTANCES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "nominal": _nominal,
    "ordinal": _ordinal,
    "interval": _interval,
}


def kappa_terms(first: ArrayLike, second: ArrayLike, weighting: Weighting = "none") -> Terms:
    """Kappa as terms per item: which pair of answers it got, flat."""
    if weighting not in get_args(Weighting):
        raise ConfigError(f"The weighting is {weighting!r}; use one of {', '.join(get_args(Weighting))}.")
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise DataError(f"The raters have shapes {a.shape} and {b.shape}; give two lists over the same items.")
    both = np.isfinite(a) & np.isfinite(b)
    values = np.unique(np.concatenate([a[both], b[both]]))
    hits = [(column[:, None] == values[None, :]) & both[:, None] for column in (a, b)]
    terms = (hits[0][:, :, None] & hits[1][:, None, :]).reshape(len(a), -1).astype(np.float64)
    ranks = np.arange(len(values), dtype=np.float64)
    apart = np.abs(ranks[:, None] - ranks[None, :]) ** {"none": 0, "linear": 1, "quadratic": 2}[weighting]
    np.fill_diagonal(apart, 0.0)
    return Terms(terms, lambda sums: _kappa(sums, apart))


def _kappa(sums: Floats, apart: Floats) -> Floats:
    table = sums.reshape(*sums.shape[:-1], *apart.shape)
    expected = table.sum(axis=-1)[..., :, None] * table.sum(axis=-2)[..., None, :]
    n = table.sum(axis=(-1, -2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (1 - n * (table * apart).sum(axis=(-1, -2)) / (expected * apart).sum(axis=(-1, -2)))[..., None]


def category_counts(ratings: ArrayLike, categories: Sequence[float] | None = None) -> tuple[Floats, Floats]:
    """How many raters gave each answer: counts of shape ``(items, K)``, and the K answers in rising order.

    Raises ``DataError`` unless ``ratings`` is a table of numbers, of which ``categories`` (if given) holds all.
    """
    table = _table(ratings)
    present = table[np.isfinite(table)]
    if present.size == 0:
        raise DataError(f"The {len(table)} items have no rating at all; agreement needs ratings.")
    values = np.unique(present) if categories is None else np.unique(np.asarray(categories, dtype=np.float64))
    strange = present[~np.isin(present, values)]
    if strange.size:
        raise DataError(f"A rating is {strange[0]:g}, which is none of the categories {values.tolist()}.")
    return np.stack([(table == value).sum(axis=1) for value in values], axis=1).astype(np.float64), values


def _table(ratings: ArrayLike) -> NDArray[np.float64]:
    try:
        table = np.asarray(ratings, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"ratings cannot be read as a table of numbers ({error}); use NaN for missing ones.") from error
    if table.ndim != 2 or table.size == 0:
        raise DataError(f"ratings has shape {table.shape}; give a table of (items, raters).")
    return table


def _value(of: Terms) -> float:
    return float(of.statistic(of.terms.sum(axis=0))[0])
