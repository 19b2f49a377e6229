"""Which models of a ranking are told apart by the data, and which are not: letters beside their names.

Models that share a letter are not separated (a compact letter display, Piepho 2004, "An algorithm for a letter-based
representation of all-pairwise comparisons"). Two models are separated where the test of their difference, corrected for
all pairs of the table by Holm, is at most ``alpha``. Differences are read off joint bootstrap draws, so that models
scored on the same questions are compared on the same questions.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.errors import ConfigError, DataError
from paribus.evaluation.bradley_terry import BradleyTerry
from paribus.evaluation.winrate import Definition, joint_draws
from paribus.records import Verdict
from paribus.statistics import holm

Pair = tuple[str, str]


@dataclass(frozen=True)
class Groups:
    """Models, the best first, and the sets of models that are not told apart.

    Attributes:
        models: ordered by their score, the best first.
        groups: maximal sets of models no two of which are separated, ordered by their best member.
        letters: the groups of each model as letters (``"a"``, ``"ab"``); two models share one exactly where they are
            not separated.
        p_values: Holm-adjusted, by pair of models (the better one first).
        alpha: chance of any false separation in the table. n: independent units (questions) behind it.
    """

    models: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    letters: dict[str, str]
    p_values: dict[Pair, float] = field(repr=False)
    alpha: float
    n: int

    def separated(self, first: str, second: str) -> bool:
        """Whether the data tell the two models apart; ``DataError`` for a pair that is not in the table."""
        for pair in ((first, second), (second, first)):
            if pair in self.p_values:
                return self.p_values[pair] <= self.alpha
        raise DataError(f"The groups hold no pair of {first!r} and {second!r}; they are of {', '.join(self.models)}.")

    @property
    def separability(self) -> float:
        """Share of the pairs that are separated; NaN for a single model."""
        return float(np.mean([p <= self.alpha for p in self.p_values.values()])) if self.p_values else float("nan")


def rating_groups(rating: BradleyTerry, *, alpha: float = 0.05) -> Groups:
    """Groups of models by their fitted ratings. A model that won or lost everything stands at the limit of the ratings;
    the floor on p-values (see ``draw_groups``) keeps a few such wins from passing for certainty.
    """
    scores = {name: rating.ratings[name].estimate for name in rating.models}
    n = max(interval.n for interval in rating.ratings.values())
    return draw_groups(scores, rating.draws, n=n, alpha=alpha)


def win_rate_groups(
    verdicts: Sequence[Verdict],
    models: Sequence[str],
    definition: Definition = "ties_apart",
    *,
    alpha: float = 0.05,
    **counting: Any,
) -> Groups:
    """Groups of models by their win rates against one baseline; ``counting`` goes to ``winrate.joint_draws``."""
    joint = joint_draws(verdicts, models, definition, **counting)
    return draw_groups(joint.scores, joint.draws, n=joint.n, alpha=alpha)


def draw_groups(scores: Mapping[str, float], draws: ArrayLike, *, n: int, alpha: float = 0.05) -> Groups:
    """Groups from joint bootstrap draws of the scores.

    The difference of two models is taken as Student's t with ``n - 1`` degrees of freedom, its standard error the
    spread of the difference in the draws (times sqrt(n / (n - 1)), the bootstrap's own shortfall). No p-value is below
    ``2 ** (1 - n)``, the least that a sign test on ``n`` questions could give.

    Args:
        scores: estimate by model, higher is better, in the order of the columns of ``draws``.
        draws: shape ``(resamples, models)``, every row one resample shared by all models; NaN where a model drew no
            game.
        n: independent units that were resampled.
        alpha: chance of any false separation that is accepted.

    Raises:
        DataError: draws that do not fit the scores, no model, or a pair of models that never share a resample.
        ConfigError: an ``alpha`` outside (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        raise ConfigError(f"alpha is {alpha}; give a share between 0 and 1, such as 0.05.")
    table, names = np.asarray(draws, dtype=np.float64), list(scores)
    if not names or table.ndim != 2 or table.shape[1] != len(names):
        raise DataError(f"draws has shape {table.shape} and there are {len(names)} models; give (resamples, models).")
    column = {name: table[:, i] for i, name in enumerate(names)}
    ordered = sorted(names, key=lambda name: -scores[name])
    pairs = list(combinations(ordered, 2))
    raw = [_p_value(scores[a] - scores[b], column[a] - column[b], n, (a, b)) for a, b in pairs]
    adjusted = dict(zip(pairs, holm(raw).tolist() if raw else [], strict=True))
    return _grouped(ordered, adjusted, alpha, n)


def _p_value(gap: float, draws: NDArray[np.float64], n: int, pair: Pair) -> float:
    from scipy.stats import t

    kept = draws[np.isfinite(draws)]
    if not kept.size:
        raise DataError(f"{pair[0]!r} and {pair[1]!r} share no resample; give more resamples or drop one of them.")
    spread = float(kept.std())
    if n < 2 or gap == 0.0:
        return 1.0
    if spread == 0.0:
        return min(1.0, 2.0 ** (1 - n))
    ratio = abs(gap) / (spread * float(np.sqrt(n / (n - 1.0))))
    return float(max(2.0 * t.sf(ratio, n - 1), 2.0 ** (1 - n)))


def _grouped(ordered: Sequence[str], adjusted: Mapping[Pair, float], alpha: float, n: int) -> Groups:
    groups = letter_groups(ordered, [pair for pair, p in adjusted.items() if p <= alpha])
    symbols = _symbols(len(groups))
    joint = "" if len(groups) <= len(string.ascii_letters) else " "
    letters = {
        name: joint.join(symbol for symbol, group in zip(symbols, groups, strict=True) if name in group)
        for name in ordered
    }
    return Groups(tuple(ordered), groups, letters, dict(adjusted), alpha, n)


def letter_groups(ordered: Sequence[str], separated: Sequence[Pair]) -> tuple[tuple[str, ...], ...]:
    """The maximal sets of names no two of which are ``separated``: two names share a set exactly where they are not.

    Insert and absorb (Piepho 2004): begin with one set of all names; a separated pair splits every set that holds both;
    a set within another one goes. Sets and their members keep the order of ``ordered``.
    """
    sets = [frozenset(ordered)]
    for first, second in separated:
        holding = [group for group in sets if first in group and second in group]
        kept = [group for group in sets if group not in holding]
        halves = [group - {name} for group in holding for name in (first, second)]
        # Only a new half can lie within another set: what was there before is maximal already.
        new = [half for half in dict.fromkeys(halves) if not any(half < other for other in halves)]
        sets = kept + [half for half in new if not any(half <= other for other in kept)]
    place = {name: i for i, name in enumerate(ordered)}
    return tuple(
        sorted((tuple(sorted(group, key=place.__getitem__)) for group in sets), key=lambda g: [place[m] for m in g])
    )


def _symbols(count: int) -> list[str]:
    """a, b, .. z, A, .. Z; numbers where the alphabet does not suffice."""
    return (
        list(string.ascii_letters[:count]) if count <= len(string.ascii_letters) else [str(i + 1) for i in range(count)]
    )
