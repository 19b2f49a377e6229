"""How long do Bradley-Terry ratings of 100 models with 1,000 bootstrap refits take on 100,000 games?

The peer is the published way (Arena-Hard v0.1): a scikit-learn ``LogisticRegression`` on one row per game with a column
for each model, ties as one win and one loss, refitted on every resample. Both run in this process on the same games, in
CPU seconds; the peer makes ``FITS`` refits, scaled up linearly to 1,000. Goal: 50 times faster, for resampled questions
and for resampled rows. A third and a fourth job are of the size people have: 20 models, 20,000 games.

Run: ``OMP_NUM_THREADS=1 python benchmarks/bench_bradley_terry.py`` (about a minute).
"""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paribus.evaluation.bradley_terry import POINTS_PER_NAT, Resample, bradley_terry
from paribus.records import Verdict

RESAMPLES, FITS = 1_000, 3


@dataclass(frozen=True)
class Games:
    """Games as arrays, ``(n,)`` each: the two models, the first one's score, the question."""

    models: int
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    score: NDArray[np.float64]
    question: NDArray[np.int64]

    def verdicts(self) -> list[Verdict]:
        """The same as records."""
        label = {1.0: "A>B", 0.5: "A=B", 0.0: "B>A"}
        columns = (self.first.tolist(), self.second.tolist(), self.score.tolist(), self.question.tolist())
        return [
            Verdict(
                prompt_id=f"q{asked}",
                language="en",
                a=f"m{a:03d}",
                b=f"m{b:03d}",
                judge="j",
                order="ab",
                label=label[won],
            )
            for a, b, won, asked in zip(*columns, strict=True)
        ]


def draw(models: int, games: int, questions: int) -> Games:
    """Planted ratings with a standard deviation of one nat (174 points), 15% ties."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1, models)
    first = rng.integers(0, models, games)
    second = (first + rng.integers(1, models, games)) % models
    won = rng.random(games) < 1 / (1 + np.exp(truth[second] - truth[first]))
    score = np.where(rng.random(games) < 0.15, 0.5, won)
    return Games(models, first, second, score, rng.integers(0, questions, games))


def scikit_fit(games: Games, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Ratings in points, ``(models,)``, model 0 at zero, by the published way on the given rows."""
    from sklearn.linear_model import LogisticRegression

    n = len(rows)
    columns = np.zeros((2 * n, games.models))
    place = np.arange(2 * n)
    columns[place, np.tile(games.first[rows], 2)] = 1.0
    columns[place, np.tile(games.second[rows], 2)] = -1.0
    score = games.score[rows]
    outcome = np.concatenate([np.ceil(score), np.floor(score)])
    fit = LogisticRegression(fit_intercept=False, C=np.inf, tol=1e-8, max_iter=1_000).fit(columns, outcome)
    return np.asarray((fit.coef_[0] - fit.coef_[0][0]) * POINTS_PER_NAT)


def scikit_loop(games: Games, resample: Resample) -> float:
    """CPU seconds for ``RESAMPLES`` refits, from ``FITS`` of them."""
    rng, start = np.random.default_rng(1), time.process_time()
    by_question = np.split(np.argsort(games.question, kind="stable"), np.cumsum(np.bincount(games.question))[:-1])
    for _ in range(FITS):
        if resample == "row":
            rows = rng.integers(0, len(games.score), len(games.score))
        else:
            rows = np.concatenate([by_question[i] for i in rng.integers(0, len(by_question), len(by_question))])
        scikit_fit(games, rows)
    return (time.process_time() - start) * RESAMPLES / FITS


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds and result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def measure(models: int, games: int, questions: int) -> list[dict[str, Any]]:
    """Rows: job, seconds of both, ratio, largest difference of a rating in points."""
    drawn = draw(models, games, questions)
    verdicts = drawn.verdicts()
    rows = []
    for resample in ("question", "row"):
        fit = partial(bradley_terry, verdicts, "m000", resamples=RESAMPLES, resample=resample, anchor=0.0)
        ours, result = timed(fit)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
        theirs = scikit_loop(drawn, resample)
        expected = scikit_fit(drawn, np.arange(games))
        gap = max(abs(result.ratings[name].estimate - expected[int(name[1:])]) for name in result.models)
        rows.append(
            {
                "job": f"{models} models, {games:,} games, {resample}s resampled",
                "ours": ours,
                "theirs": theirs,
                "ratio": theirs / ours,
                "gap": gap,
                "peak": peak,
            }
        )
    return rows


def main() -> list[dict[str, Any]]:
    """Print the table and return its rows."""
    # The big job first: memory is the peak of the process so far, and the peer's would hide ours.
    rows = [*measure(100, 100_000, 500), *measure(20, 20_000, 500)]
    print(f"{RESAMPLES:,} bootstrap refits from verdict records; the loop is {FITS} fits scaled up\n")
    print("| job | paribus CPU s | scikit-learn loop CPU s | ratio | largest difference, points | peak MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for i, row in enumerate(rows):
        peak = f"{row['peak']:.0f}" if i == 0 else "–"
        seconds = f"{row['ours']:.1f} | {row['theirs']:,.0f} | {row['ratio']:.0f}"
        print(f"| {row['job']} | {seconds} | {row['gap']:.1e} | {peak} |")
    return rows


if __name__ == "__main__":
    main()
