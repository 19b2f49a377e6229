"""How long do 10,000 question-clustered resamples of multilingual verdicts take?

11,500 verdicts: 500 questions x 23 languages, the size of m-ArenaHard. Two jobs: one win rate over everything, and the
23 win rates per language with the overall one. Peers run in the same process on the same data; each figure is the
median of five turns taken in rotation (the plain Python loop makes 50 resamples, scaled up linearly).

Run: ``OMP_NUM_THREADS=1 python benchmarks/bench_bootstrap.py`` (about a minute).
"""

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paribus.statistics import clustered_bootstrap, resampled_means

QUESTIONS, LANGUAGES, RESAMPLES, PLAIN_RESAMPLES, TURNS = 500, 23, 10_000, 50, 5
TAILS = [0.025, 0.975]

Scores = NDArray[np.float64]
Ends = tuple[float, float]


def data() -> Scores:
    """Verdict scores (1, 0.5, 0) with a question effect, shape ``(questions, languages)``."""
    rng = np.random.default_rng(0)
    chance = rng.beta(4, 3, size=(QUESTIONS, 1))
    draws = rng.random((QUESTIONS, LANGUAGES))
    return np.where(draws < chance - 0.05, 1.0, np.where(draws < chance + 0.05, 0.5, 0.0))


def _columns(scores: Scores) -> tuple[Scores, Scores]:
    """Per-question sums and counts of 24 columns: everything, then each language."""
    ones = np.ones_like(scores)
    return tuple(np.concatenate([part.sum(1, keepdims=True), part], axis=1) for part in (scores, ones))


def paribus_one(scores: Scores) -> Ends:
    """From raw rows and their question ids to the interval."""
    questions = np.repeat(np.arange(QUESTIONS), LANGUAGES)
    interval = clustered_bootstrap(scores.ravel(), questions, resamples=RESAMPLES, rng=1, method="percentile")
    return interval.low, interval.high


def scipy_one(scores: Scores) -> Ends:
    """``scipy.stats.bootstrap``, paired and vectorised, on the per-question sums and counts."""
    from scipy.stats import bootstrap

    totals = (scores.sum(1), np.full(QUESTIONS, float(LANGUAGES)))
    ends = bootstrap(totals, _ratio, paired=True, n_resamples=RESAMPLES, method="percentile", rng=1).confidence_interval
    return float(ends.low), float(ends.high)


def loop_one(scores: Scores) -> Ends:
    """A numpy loop over the per-question totals, one resample at a time."""
    sums, counts, rng = scores.sum(1), np.full(QUESTIONS, float(LANGUAGES)), np.random.default_rng(1)
    means = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, QUESTIONS, QUESTIONS)
        means.append(sums[drawn].sum() / counts[drawn].sum())
    low, high = np.quantile(means, TAILS)
    return float(low), float(high)


def plain_one(scores: Scores) -> Ends:
    """Plain Python: draw questions, add up all their verdicts."""
    questions, rng, means = scores.tolist(), random.Random(1), []
    for _ in range(PLAIN_RESAMPLES):
        rows = [value for question in rng.choices(questions, k=QUESTIONS) for value in question]
        means.append(sum(rows) / len(rows))
    ends = statistics.quantiles(means, n=40)
    return ends[0], ends[-1]


def paribus_table(scores: Scores) -> Ends:
    """All 24 columns share their resamples: one matrix product."""
    return _overall(np.quantile(resampled_means(*_columns(scores), resamples=RESAMPLES, rng=1), TAILS, axis=0))


def scipy_table(scores: Scores) -> Ends:
    """``scipy.stats.bootstrap`` along the questions of all 24 columns, in batches of 200 to stay within memory."""
    from scipy.stats import bootstrap

    result = bootstrap(
        _columns(scores), _ratio, paired=True, axis=0, n_resamples=RESAMPLES, batch=200, method="percentile", rng=1
    )
    return _overall(np.array(result.confidence_interval))


def loop_table(scores: Scores) -> Ends:
    """A numpy loop over the 24 columns, one resample at a time."""
    sums, counts = _columns(scores)
    rng, means = np.random.default_rng(1), []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, QUESTIONS, QUESTIONS)
        means.append(sums[drawn].sum(0) / counts[drawn].sum(0))
    return _overall(np.quantile(means, TAILS, axis=0))


def _ratio(sums: Scores, counts: Scores, axis: int = -1) -> Scores:
    return sums.sum(axis=axis) / counts.sum(axis=axis)


def _overall(ends: Scores) -> Ends:
    return float(ends[0][0]), float(ends[1][0])


Way = Callable[[Scores], Ends]
JOBS: dict[str, dict[str, tuple[Way, float]]] = {
    "one win rate": {
        "paribus": (paribus_one, 1.0),
        "scipy.stats.bootstrap": (scipy_one, 1.0),
        "numpy loop": (loop_one, 1.0),
        "plain Python loop": (plain_one, RESAMPLES / PLAIN_RESAMPLES),
    },
    "24 win rates": {
        "paribus": (paribus_table, 1.0),
        "scipy.stats.bootstrap": (scipy_table, 1.0),
        "numpy loop": (loop_table, 1.0),
    },
}


def measure(job: str) -> list[dict[str, Any]]:
    """Rows: job, way, seconds for 10,000 resamples, ratio to paribus, ends of the overall 95% interval."""
    scores, ways = data(), JOBS[job]
    ends = {name: way(scores) for name, (way, _) in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, (way, scale) in ways.items():
            start = time.perf_counter()
            way(scores)
            seconds[name].append((time.perf_counter() - start) * scale)
    middle = {name: statistics.median(taken) for name, taken in seconds.items()}
    return [
        {"job": job, "way": name, "seconds": taken, "ratio": taken / middle["paribus"], "ends": ends[name]}
        for name, taken in middle.items()
    ]


def main() -> list[dict[str, Any]]:
    """Print the table and return its rows."""
    rows = [row for job in JOBS for row in measure(job)]
    print(f"{RESAMPLES:,} question-clustered resamples of {QUESTIONS * LANGUAGES:,} verdicts, one thread\n")
    print("| job | way | seconds | times paribus | 95% interval, all languages |")
    print("| --- | --- | ---: | ---: | --- |")
    for row in rows:
        low, high = row["ends"]
        print(f"| {row['job']} | {row['way']} | {row['seconds']:.3f} | {row['ratio']:.1f} | [{low:.4f}, {high:.4f}] |")
    return rows


if __name__ == "__main__":
    main()
