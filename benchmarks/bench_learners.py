"""How fast do the learners of the in-context test-bed answer, against a loop and against the release's figures?

One batch as ICL-Discrete evaluates it: 64 prompts of 70 points in 28 dimensions. The other side fits scikit-learn or
PyTorch anew for one prompt and position after another, as such baselines are usually written; the slow ones run on a
few prompts and positions and are scaled up (their cost is a sum over prompts and positions). Figures of the released
code were measured elsewhere on two contended cores; they are printed as they were written down, not run here. Times are
CPU seconds of this process, the best of several turns, so that a busy machine slows no side down.

Run: ``OMP_NUM_THREADS=1 python benchmarks/bench_learners.py`` (about a minute).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.learner import Learner
from paribus.testbeds.incontext.learners_bayes import Bayes
from paribus.testbeds.incontext.learners_exact import Elimination
from paribus.testbeds.incontext.learners_fitted import Lasso, MaxMargin
from paribus.testbeds.incontext.learners_linear import Averaging, LeastSquares
from paribus.testbeds.incontext.learners_neighbours import NearestNeighbours
from paribus.testbeds.incontext.learners_networks import TrainedNetwork
from paribus.testbeds.incontext.learners_trees import BoostedTrees, GreedyTree
from paribus.testbeds.incontext.prompts import Prompts

COUNT, POINTS, DIMENSIONS, TURNS = 64, 70, 28, 3
EVERY = 5

# Predicts the label of ``query`` from the points before it.
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Job:
    """A learner, the same for one prefix, the share of positions the learner answers, and the release's seconds."""

    learner: Learner
    fit: Fit
    prompts: int
    every: int = 1
    released: float | None = None


def neighbour(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> float:
    """The label of the nearest point."""
    return y[((x - query) ** 2).sum(1).argmin()]


def three_neighbours(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> float:
    """The vote of the three nearest."""
    return y[((x - query) ** 2).sum(1).argsort()[:3]].sum()


def averaging(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> float:
    """The mean labelled point times the query."""
    return (x * y[:, None]).mean(0) @ query


def least_squares(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> float:
    """The solution of least norm."""
    return np.linalg.lstsq(x, y, rcond=None)[0] @ query


def elimination(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> float:
    """The literals that all positive points satisfy."""
    literals = {(k, sign) for k in range(x.shape[1]) for sign in (-1, 1)}
    for point, label in zip(x, y, strict=True):
        if label > 0:
            literals = {(k, sign) for k, sign in literals if point[k] == sign}
    return 1.0 if all(query[k] == sign for k, sign in literals) else -1.0


def lasso(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> float:
    """scikit-learn's."""
    from sklearn.linear_model import Lasso as Oracle

    return float(Oracle(0.03, fit_intercept=False, max_iter=2_000).fit(x, y).predict(query[None])[0])


def margin(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> float:
    """scikit-learn's linear support vector machine."""
    from sklearn.svm import LinearSVC

    if len(set(y.tolist())) < 2:
        return float(y[0])
    return float(LinearSVC(C=100.0, loss="hinge", max_iter=20_000).fit(x, y).decision_function(query[None])[0])


def tree(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> float:
    """scikit-learn's."""
    from sklearn.tree import DecisionTreeRegressor

    return float(DecisionTreeRegressor().fit(x, y).predict(query[None])[0])


def boosted(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> float:
    """scikit-learn's, with as many trees of the same depth."""
    from sklearn.ensemble import GradientBoostingRegressor

    if len(x) < 2:
        return float(y[0])
    return float(GradientBoostingRegressor(learning_rate=0.3).fit(x, y).predict(query[None])[0])


def network(steps: int) -> Fit:
    """One PyTorch network trained on its own."""

    def fit(x: np.ndarray, y: np.ndarray, query: np.ndarray) -> float:
        points, labels = torch.tensor(x).float(), (torch.tensor(y).float() + 1) / 2
        linear = torch.nn.Linear
        net = torch.nn.Sequential(
            linear(x.shape[1], 100), torch.nn.ReLU(), linear(100, 100), torch.nn.ReLU(), linear(100, 1)
        )
        optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
        for _ in range(steps):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(net(points)[:, 0], labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(net(torch.tensor(query).float()[None]).detach())

    return fit


JOBS = (
    Job(NearestNeighbours(ties="earliest"), neighbour, COUNT, released=0.067),
    Job(NearestNeighbours(), neighbour, COUNT, released=0.067),
    Job(NearestNeighbours(3), three_neighbours, COUNT, released=0.069),
    Job(Averaging(), averaging, COUNT, released=0.004),
    Job(LeastSquares(), least_squares, 16),
    Job(Elimination(), elimination, 8),
    Job(Lasso(), lasso, 4),
    Job(MaxMargin(), margin, 4),
    Job(GreedyTree(), tree, 4),
    Job(BoostedTrees(every=EVERY), boosted, 1, every=EVERY),
    Job(TrainedNetwork(steps=20, every=EVERY), network(20), 1, every=EVERY, released=1.39 * COUNT / 16 * 13),
)


def seconds(call: Callable[[], object], turns: int = TURNS) -> float:
    """CPU seconds of a call, the best of ``turns``."""
    taken = []
    for _ in range(turns):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return min(taken)


def loop_seconds(job: Job, prompts: Prompts) -> float:
    """CPU seconds of the loop for the whole batch, scaled up from the prompts it ran on."""
    x, y = prompts.x.numpy().astype(np.float64), prompts.y.numpy().astype(np.float64)

    def loop() -> list[float]:
        places = range(job.every, POINTS, job.every)
        return [job.fit(x[b, :i], y[b, :i], x[b, i]) for b in range(job.prompts) for i in places]

    return seconds(loop, 1 if job.prompts < COUNT else TURNS) * COUNT / job.prompts


def measure() -> list[dict[str, object]]:
    """Rows: learner, its milliseconds, those of the loop and of the release, and how many times ours fits into them."""
    prompts = parse_class("conjunction").sample(COUNT, torch.Generator().manual_seed(0))
    rows = []
    for job in JOBS:
        job.learner.predict(prompts)
        ours, loop = seconds(lambda job=job: job.learner.predict(prompts)), loop_seconds(job, prompts)
        rows.append({"learner": job.learner.name, "ours": ours, "loop": loop, "released": job.released})
    return rows


def bayes_rows() -> list[tuple[str, int, float]]:
    """Seconds of the Bayes vote for 64 prompts of 40 points: class, functions, seconds."""
    rows = []
    for name, settings in (
        ("conjunction", {"dimensions": 10}),
        ("sparse_parity", {}),
        ("majority", {"dimensions": 15}),
    ):
        function_class = parse_class(name, points=40, **settings)
        prompts = function_class.sample(COUNT, torch.Generator().manual_seed(0))
        learner = Bayes(function_class)
        learner.predict(prompts)
        functions = len(next(iter(function_class.every().values())))
        taken = seconds(lambda learner=learner, prompts=prompts: learner.predict(prompts), 2)
        rows.append((f"{name}, n = {function_class.dimensions}", functions, taken))
    return rows


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    print(f"{COUNT} prompts x {POINTS} points x {DIMENSIONS} dimensions, one thread, CPU milliseconds\n")
    print("| learner | paribus | one prompt and position at a time | times | released code | times |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for row in measure():
        ours, loop, released = row["ours"], row["loop"], row["released"]
        theirs = f"{1e3 * released:,.0f} | {released / ours:.0f}" if released else "- | -"
        print(f"| {row['learner']} | {1e3 * ours:,.1f} | {1e3 * loop:,.0f} | {loop / ours:.0f} | {theirs} |")
    print("\n| Bayes vote, 64 prompts of 40 points | functions | CPU seconds |\n| --- | ---: | ---: |")
    for name, functions, taken in bayes_rows():
        print(f"| {name} | {functions:,} | {taken:.2f} |")


if __name__ == "__main__":
    main()
