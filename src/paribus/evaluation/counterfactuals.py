"""Does a reward model read the critique? One claim is turned around, and the reward should move the right way.

papers/reward-critiques.md section 5 (interpretability). ``feedback.critiques`` makes the edited critiques; here is the
test of what the scores do.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.evaluation.items import ALL
from paribus.statistics import Interval, cluster_codes, clustered_bootstrap, holm, wilson
from paribus.statistics.arrays import Rng


@dataclass(frozen=True)
class Flip:
    """One edit: a claim of kind ``kind`` turned around in a critique.

    ``direction`` is +1 where the edited critique speaks better of the answer, -1 where worse; ``before`` and ``after``
    are the rewards with the critique as it was and as edited. ``cluster`` is the question.
    """

    kind: str
    cluster: str
    language: str
    direction: int
    before: float
    after: float

    @property
    def change(self) -> float:
        """Change of reward towards the direction of the edit: positive is right."""
        return (self.after - self.before) * self.direction


@dataclass(frozen=True)
class Sensitivity:
    """How rewards follow the edits of one kind of claim (or ``"all"``).

    Attributes:
        right: share of edits after which the reward moved the right way (one that did not move counts against).
        change: mean change towards the direction of the edit, in the scorer's unit.
        p_value: exact two-sided sign test, one vote a cluster: the sign that most of its edits moved to. Clusters
            without a majority have no vote. ``adjusted``: Holm's correction over the kinds.
        flips, unmoved, votes: edits, edits that left the reward as it was, and clusters that voted.
    """

    kind: str
    right: Interval
    change: Interval
    p_value: float
    adjusted: float
    flips: int
    unmoved: int
    votes: int


def sensitivity(
    flips: Sequence[Flip], *, resamples: int = 2_000, level: float = 0.95, rng: Rng = 0
) -> list[Sensitivity]:
    """Sensitivity to each kind of claim, and first over all of them. Raises ``DataError`` for no or a broken flip.

    The row ``"all"`` is no further hypothesis and has its p-value unadjusted.
    """
    _check(flips)
    kinds = sorted({flip.kind for flip in flips})
    found = []
    for kind in [ALL, *kinds]:
        own = [flip for flip in flips if kind in (ALL, flip.kind)]
        found.append(_measured(kind, own, resamples, level, rng))
    adjusted = [found[0].p_value, *holm([row.p_value for row in found[1:]])]
    return [replace(row, adjusted=float(p)) for row, p in zip(found, adjusted, strict=True)]


def _check(flips: Sequence[Flip]) -> None:
    if not flips:
        raise DataError("There is no edit to measure; turn at least one claim of one critique around.")
    for flip in flips:
        if flip.direction not in (-1, 1) or not np.isfinite([flip.before, flip.after]).all():
            raise DataError(
                f"The edit of {flip.kind!r} on {flip.cluster!r} has the direction {flip.direction} and rewards "
                f"{flip.before}, {flip.after}; directions are +1 or -1, rewards finite."
            )


def _measured(kind: str, flips: Sequence[Flip], resamples: int, level: float, rng: Rng) -> Sensitivity:
    change, clusters = np.array([flip.change for flip in flips]), [flip.cluster for flip in flips]
    p_value, votes = _sign_test(change, clusters)
    return Sensitivity(
        kind=kind,
        right=_share((change > 0).astype(np.float64), clusters, resamples, level, rng),
        change=clustered_bootstrap(change, clusters, resamples=resamples, level=level, rng=rng),
        p_value=p_value,
        adjusted=p_value,
        flips=len(flips),
        unmoved=int(np.count_nonzero(change == 0.0)),
        votes=votes,
    )


def _sign_test(change: NDArray[np.float64], clusters: Sequence[str]) -> tuple[float, int]:
    """Exact p-value and number of votes. Edits of one question are not independent, so each question votes once."""
    from scipy.stats import binomtest

    codes, k = cluster_codes(clusters)
    balance = np.sign(np.bincount(codes, np.sign(change), minlength=k))
    votes, ups = int(np.count_nonzero(balance)), int(np.count_nonzero(balance > 0))
    return (float(binomtest(ups, votes).pvalue), votes) if votes else (1.0, 0)


def _share(right: NDArray[np.float64], clusters: Sequence[str], resamples: int, level: float, rng: Rng) -> Interval:
    if right.all() or not right.any():
        n = len(set(clusters))
        return wilson(n if right.all() else 0, n, level=level)
    return clustered_bootstrap(right, clusters, resamples=resamples, level=level, rng=rng)


def by_language(flips: Sequence[Flip], **options: Any) -> dict[str, list[Sensitivity]]:
    """``sensitivity`` in each language; ``options`` go there."""
    own: dict[str, list[Flip]] = defaultdict(list)
    for flip in flips:
        own[flip.language].append(flip)
    return {language: sensitivity(rows, **options) for language, rows in sorted(own.items())}
