"""What is taken out of ratings before they are counted, and which raters cannot be trusted.

Two kinds of checks (arXiv 2309.16349, section 2 and its data release): attention checks, extra questions whose answer
the rater is told, and distractors, answers to another prompt that should not win. Failed attention and duplicates are
taken out here, with counts; distractors are measured here and left out by whoever aggregates.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal, NamedTuple

from paribus.errors import ConfigError, DataError
from paribus.feedback.annotation.schema import DISTRACTOR, EXPERT, Pass, the_pass
from paribus.records import Rating
from paribus.statistics.interval import Interval
from paribus.statistics.multiplicity import holm
from paribus.statistics.proportion import wilson

POOL_SCORES: dict[Pass, str] = {"errors": "overall", "quality": "quality"}
"""The score that a distractor must not win on. Style has none: a stray answer can be as assertive as any."""


@dataclass(frozen=True)
class Cleaned:
    """Ratings that count, in their order, and how many were taken out for which reason (reasons with 0 included)."""

    kept: tuple[Rating, ...]
    dropped: dict[str, int]


class DistractorPair(NamedTuple):
    """One rater's two scores of a form with a distractor."""

    rater: str
    pass_: Pass
    genuine: float
    distractor: float


@dataclass(frozen=True)
class PassRate:
    """How often one pool of raters did not put a distractor above the genuine answer.

    pass_: the pool. pairs: forms counted. not_above: share of them that pass, as published, with Wilson's interval.
    below: share where the distractor is strictly below; ties, with which a straight-lining rater passes, do not count.
    unpaired: distractor ratings whose partner is missing, which are in neither share.
    """

    pass_: Pass
    pairs: int
    not_above: Interval
    below: Interval
    unpaired: int


@dataclass(frozen=True)
class RaterCheck:
    """What speaks against one rater of one pass.

    ratings: how many they gave. attention_failed: of these, on forms whose attention checks failed.
    distractors: forms with a distractor; not_below: those where it was not strictly below the genuine answer.
    same: share of the ratings that are alike in every score and error.
    p_value: how likely ``not_below`` or more is for a careful rater, adjusted (Holm) for all raters looked at.
    reasons: why not to trust them: some of ``distractors``, ``attention``, ``straight line``; empty for most.
    """

    rater: str
    pass_: Pass
    ratings: int
    attention_failed: int
    distractors: int
    not_below: int
    same: float
    p_value: float
    reasons: tuple[str, ...]


def attention_result(instructed: Sequence[str], given: Sequence[str]) -> Literal["passed", "failed"] | None:
    """What replies to attention checks come to; None where there were none.

    As in the released code a form fails only if every check is wrong: one slip is human. Raises ``DataError`` for
    another number of replies than checks.
    """
    if len(instructed) != len(given):
        raise DataError(f"There are {len(given)} replies to {len(instructed)} attention checks; give one for each.")
    if not instructed:
        return None
    wrong = [told != said for told, said in zip(instructed, given, strict=True)]
    return "failed" if all(wrong) else "passed"


def clean(ratings: Iterable[Rating], *, untrusted: Collection[str] = ()) -> Cleaned:
    """Take out what must not count.

    ``rater``: of raters named in ``untrusted`` (see ``rater_checks``); ``unread``: a machine's reply that could not be
    read (``meta["error"]``); ``attention``: of forms whose attention checks failed; ``duplicate``: a second rating of
    the same output on the same form by the same rater, of which the first stays. Each rating is counted under the
    first reason that applies. Distractors stay.
    """
    dropped = {"rater": 0, "unread": 0, "attention": 0, "duplicate": 0}
    kept, seen = list[Rating](), set[Hashable]()
    for rating in ratings:
        reason = _reason(rating, untrusted, seen)
        if reason:
            dropped[reason] += 1
        else:
            kept.append(rating)
            seen.add(_identity(rating))
    return Cleaned(tuple(kept), dropped)


def distractor_rates(ratings: Iterable[Rating]) -> tuple[PassRate, ...]:
    """The pass rate of each pool that has distractors, ``errors`` first."""
    pairs, unpaired = distractor_pairs(ratings)
    rates = []
    for pass_ in POOL_SCORES:
        own = [pair for pair in pairs if pair.pass_ == pass_]
        if own:
            above = sum(pair.distractor > pair.genuine for pair in own)
            below = sum(pair.distractor < pair.genuine for pair in own)
            passing, strict = (wilson(count, len(own), covers=("forms",)) for count in (len(own) - above, below))
            rates.append(PassRate(pass_, len(own), passing, strict, unpaired[pass_]))
    return tuple(rates)


def distractor_pairs(ratings: Iterable[Rating]) -> tuple[list[DistractorPair], Counter[Pass]]:
    """The two scores of every form with a distractor, and how many ratings of each pass have no partner.

    Two ratings are of one form if they share rater, pass and ``form``, or dataset and input where no form is named.
    """
    forms = defaultdict[tuple[str, Pass, tuple[str, ...]], tuple[list[float], list[float]]](lambda: ([], []))
    for rating in ratings:
        score = rating.scores.get(POOL_SCORES.get(the_pass(rating.pass_), ""))
        if rating.meta.get("distractor") and score is not None:
            key = (rating.rater, the_pass(rating.pass_), _form_of(rating))
            forms[key][rating.meta.get("model") == DISTRACTOR].append(score)
    pairs, unpaired = list[DistractorPair](), Counter[Pass]()
    for (rater, pass_, _), (genuine, distractor) in forms.items():
        pairs += [DistractorPair(rater, pass_, a, b) for a, b in zip(genuine, distractor, strict=False)]
        unpaired[pass_] += abs(len(genuine) - len(distractor))
    return pairs, unpaired


def rater_checks(
    ratings: Iterable[Rating], *, careful: float = 0.2, level: float = 0.05, enough: int = 10
) -> list[RaterCheck]:
    """What speaks against each rater, those to be distrusted first.

    Args:
        ratings: of all raters, before anything is taken out; experts are passed over.
        careful: how often a careful rater may fail to put a distractor strictly below (published pools: 0.1 to 0.2).
        level: chance of distrusting any careful rater at all for distractors.
        enough: ratings from which on more than 95% alike are a straight line, and half the attention checks failed
            are inattention.

    Raises ``ConfigError`` for a ``careful`` or ``level`` that is no probability.
    """
    for name, value in (("careful", careful), ("level", level)):
        if not 0 < value < 1:
            raise ConfigError(f"{name} is {value}; it is a probability between 0 and 1.")
    by_rater = defaultdict[tuple[str, Pass], list[Rating]](list)
    for rating in ratings:
        if rating.rater != EXPERT:
            by_rater[rating.rater, the_pass(rating.pass_)].append(rating)
    drafts = [_facts(rater, pass_, rows) for (rater, pass_), rows in by_rater.items()]
    tails = [binomial_tail(fact.not_below, fact.distractors, careful) for fact in drafts]
    adjusted = holm(tails) if tails else ()
    checks = [_judged(fact, float(p), level, enough) for fact, p in zip(drafts, adjusted, strict=True)]
    return sorted(checks, key=lambda check: (-len(check.reasons), check.p_value, check.rater))


def untrusted(checks: Iterable[RaterCheck]) -> frozenset[str]:
    """The raters with a reason against them, for ``clean``."""
    return frozenset(check.rater for check in checks if check.reasons)


def binomial_tail(successes: int, n: int, p: float) -> float:
    """The chance of ``successes`` or more in ``n`` independent trials of chance ``p``."""
    return min(1.0, sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(successes, n + 1)))


class _Facts(NamedTuple):
    rater: str
    pass_: Pass
    ratings: int
    attention_failed: int
    distractors: int
    not_below: int
    same: float


def _facts(rater: str, pass_: Pass, rows: Sequence[Rating]) -> _Facts:
    pairs = distractor_pairs(rows)[0]
    alike = Counter((tuple(sorted(row.scores.items())), frozenset(row.errors)) for row in rows)
    failed = sum(row.meta.get("attention") == "failed" for row in rows)
    not_below = sum(pair.distractor >= pair.genuine for pair in pairs)
    return _Facts(rater, pass_, len(rows), failed, len(pairs), not_below, max(alike.values()) / len(rows))


def _judged(fact: _Facts, p_value: float, level: float, enough: int) -> RaterCheck:
    many = fact.ratings >= enough
    reasons = {
        "distractors": p_value <= level,
        "attention": many and fact.attention_failed > fact.ratings / 2,
        "straight line": many and fact.same > 0.95,
    }
    return RaterCheck(*fact, p_value, tuple(name for name, holds in reasons.items() if holds))


def _reason(rating: Rating, untrusted: Collection[str], seen: Collection[Hashable]) -> str:
    if rating.rater in untrusted:
        return "rater"
    if rating.meta.get("error"):
        return "unread"
    if rating.meta.get("attention") == "failed":
        return "attention"
    return "duplicate" if _identity(rating) in seen else ""


def _identity(rating: Rating) -> Hashable:
    beside = rating.meta.get("form") or (rating.meta.get("other_model"), rating.meta.get("other_preamble"))
    return rating.pass_, rating.rater, rating.item, bool(rating.meta.get("distractor")), beside


def _form_of(rating: Rating) -> tuple[str, ...]:
    form = rating.meta.get("form")
    return (str(form),) if form else (str(rating.meta.get("dataset")), str(rating.meta.get("input")))
