"""How long does a whole audit of feedback take, and how much do resampled sums save over refitting?

Ratings of the size of part 2 of "Human Feedback is not Gold Standard": 300 inputs with five outputs each, every output
rated about four times in each of three passes (19,500 ratings), 300 expert labels; drawn by chance. Two jobs: 1,000
resamples of whole inputs for the Lasso of quality on seven errors (with the same weights from scikit-learn, refitted on
each resample), and the audit with all its intervals. Each figure is the median of five turns in rotation; scikit-learn
makes 50 resamples, scaled up linearly.

Run: ``OMP_NUM_THREADS=1 python benchmarks/bench_audit.py`` (about 20 seconds).
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from paribus.feedback.annotation.aggregation import Outputs, aggregate
from paribus.feedback.annotation.audit import Audit, audit
from paribus.feedback.annotation.columns import tables_of
from paribus.feedback.annotation.regression import regress
from paribus.feedback.annotation.schema import PREAMBLES, SCORES_OF, SEVEN, Pass
from paribus.records import Rating

INPUTS, MODELS, RATERS, RESAMPLES, REFITS, TURNS = 300, 5, 22, 1_000, 50, 5
COSTS = np.array([0.0, 0.2, 0.3, 0.6, 0.8, 1.2, 0.5])

Ways = dict[str, tuple[Callable[[], object], float]]


def ratings() -> tuple[list[Rating], list[Rating]]:
    """The crowd's ratings of all passes, and experts' labels of every fifth output."""
    rng = np.random.default_rng(0)
    crowd, experts = [], []
    for source in range(INPUTS):
        for model in range(MODELS):
            flags = rng.random(len(SEVEN)) < 0.08
            place = {"dataset": "d", "input": str(source), "model": f"m{model}", "preamble": PREAMBLES[source % 5]}
            place |= {"asked": list(SEVEN), "words": int(rng.integers(10, 300))}
            for number in range(RATERS):
                name: Pass = ("errors", "quality", "style")[number % 3] if number < 21 else "errors"
                if number < 12 or source % 10 == 0:
                    crowd.append(_rating(rng, place, name, f"{name}{number}", flags))
            if model == source % 5:
                experts.append(_rating(rng, place, "errors", "expert", flags))
    return crowd, experts


def _rating(rng: np.random.Generator, place: dict[str, object], name: Pass, rater: str, flags: np.ndarray) -> Rating:
    seen = flags & (rng.random(len(SEVEN)) < 0.7) if rater != "expert" else flags
    errors = [error for error, there in zip(SEVEN, seen, strict=True) if there] if name == "errors" else []
    level = 4.2 - float(flags @ COSTS)
    scores = {scale: int(np.clip(round(level + rng.normal(0, 0.7)), 1, 5)) for scale in SCORES_OF[name]}
    row = {"item": "/".join(map(str, list(place.values())[:4])), "rater": rater, "pass": name, "errors": errors}
    return Rating.model_validate(row | {"scores": scores, "meta": place})


def refits(outputs: Outputs) -> np.ndarray:
    """Lasso weights on resampled inputs, one scikit-learn fit for each resample: shape ``(resamples, errors)``."""
    from sklearn.linear_model import Lasso

    x = -np.column_stack(list(outputs.errors.values()))
    y, clusters = outputs.column("quality"), np.array(outputs.clusters)
    rows = [np.flatnonzero(clusters == name) for name in dict.fromkeys(clusters.tolist())]
    rng = np.random.default_rng(1)
    drawn = (np.concatenate([rows[k] for k in rng.integers(0, len(rows), len(rows))]) for _ in range(REFITS))
    return np.stack([Lasso(alpha=0.01).fit(x[picked], y[picked]).coef_ for picked in drawn])


def medians(ways: Ways) -> dict[str, float]:
    """Median seconds of each way, taken in rotation, after one turn that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        for name, (way, scale) in ways.items():
            start = time.perf_counter()
            way()
            taken[name] += [(time.perf_counter() - start) * scale] if turn else []
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> dict[str, dict[str, float]]:
    """Print the table and return its seconds by job and way."""
    crowd, experts = ratings()
    outputs = aggregate(tables_of(crowd).values())

    def whole() -> Audit:
        return audit(crowd, experts)

    jobs: dict[str, Ways] = {
        "Lasso and least squares, 1,000 resamples": {
            "paribus": (lambda: regress(outputs, resamples=RESAMPLES, path=()), 1.0),
            "scikit-learn, Lasso alone": (lambda: refits(outputs), RESAMPLES / REFITS),
        },
        "the whole audit, 1,000 resamples": {"paribus": (whole, 1.0)},
    }
    print(f"{len(crowd):,} ratings of {len(outputs):,} outputs of {INPUTS} inputs, one thread\n")
    print("| job | way | seconds | times paribus |\n| --- | --- | ---: | ---: |")
    found = {job: medians(ways) for job, ways in jobs.items()}
    for job, middle in found.items():
        for name, seconds in middle.items():
            print(f"| {job} | {name} | {seconds:.2f} | {seconds / middle['paribus']:.1f} |")
    return found


if __name__ == "__main__":
    main()
