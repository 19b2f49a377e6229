"""The Bayes vote: an enumeration by hand, calibration, nothing beats it, noise, what it refuses."""

import itertools

import numpy as np
import pytest
import torch

from paribus.errors import ConfigError, DataError
from paribus.testbeds.incontext import learners_bayes
from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.learner import correct
from paribus.testbeds.incontext.learners_bayes import Bayes
from paribus.testbeds.incontext.learners_exact import Elimination, ParityElimination
from paribus.testbeds.incontext.learners_neighbours import NearestNeighbours
from paribus.testbeds.incontext.prompts import Prompts

SMALL = [
    ("conjunction", {"dimensions": 4}),
    ("disjunction", {"dimensions": 4, "monotone": True}),
    ("sparse_disjunction", {"dimensions": 6, "size": 2}),
    ("dnf", {"dimensions": 2, "terms": 2}),
    ("cnf", {"dimensions": 2, "terms": 2, "forced_term": "point"}),
    ("majority", {"dimensions": 6}),
    ("threshold", {"dimensions": 3}),
    ("halfspace", {"dimensions": 3}),
    ("parity", {"dimensions": 5}),
    ("sparse_parity", {"dimensions": 6, "size": 2}),
]


def sampled(function_class: FunctionClass, count: int, seed: int = 0, **settings: float) -> Prompts:
    """Prompts of the class from a seed."""
    return function_class.sample(count, torch.Generator().manual_seed(seed), **settings)


def point_chances(
    terms: list[tuple[int, ...]], side: int, forcing: float, x: tuple[int, ...], per_point: bool
) -> list[float]:
    """Chance of a point for every term that may be forced, by walking through all fair points and both coins."""
    fair = list(itertools.product((-1, 1), repeat=len(x)))
    moved = [[tuple(side * w if w else b for w, b in zip(term, base, strict=True)) for base in fair] for term in terms]
    hit = [sum(point == x for point in points) / len(fair) for points in moved]
    chances = [(1 - forcing) / len(fair) + forcing * share for share in hit]
    return [float(np.mean(chances))] if per_point else chances


def by_hand(function_class: FunctionClass, prompts: Prompts, noise: float = 0.0) -> np.ndarray:
    """Posterior means from the generative story alone: function, forced term, forced points, labels."""
    functions = function_class.every()
    prior = function_class.log_prior(functions).exp().numpy()
    side = 1 if function_class.name in ("conjunction", "dnf") else -1
    means = np.zeros(prompts.y.shape)
    for b in range(len(prompts)):
        x = [tuple(point) for point in prompts.x[b].tolist()]
        values = function_class.evaluate(functions, prompts.x[b]).numpy()
        weights, votes = np.zeros(len(x)), np.zeros(len(x))
        for h in range(len(prior)):
            parts = functions["terms"][h].tolist() if "terms" in functions else [functions["literals"][h].tolist()]
            per_point = getattr(function_class, "forced_term", "prompt") == "point"
            chances = np.array([point_chances(parts, side, function_class.forcing, p, per_point) for p in x])
            labels = np.where(values[h] == prompts.y[b].numpy(), 1 - noise, noise)
            before = np.concatenate([[1.0], np.cumprod(labels)[:-1]])
            weight = prior[h] * before * np.cumprod(chances, 0).mean(1)
            weights += weight
            votes += weight * values[h]
        means[b] = votes / weights
    return means


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("conjunction", {"dimensions": 3}),
        ("disjunction", {"dimensions": 2, "density": 0.6}),
        ("conjunction", {"dimensions": 3, "monotone": True, "forcing": 0.5}),
        ("sparse_disjunction", {"dimensions": 4, "size": 2}),
        ("conjunction", {"dimensions": 3, "forcing": 1.0}),
        ("dnf", {"dimensions": 2, "terms": 2}),
        ("cnf", {"dimensions": 2, "terms": 2, "forced_term": "point"}),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_posterior_means_equal_an_enumeration_of_the_generative_story(name, settings, noise):
    function_class = parse_class(name, points=6, **settings)
    prompts = sampled(function_class, 4, label_noise=noise)
    scores = Bayes(function_class, label_noise=noise).predict(prompts)
    np.testing.assert_allclose(scores.numpy(), by_hand(function_class, prompts, noise), atol=2e-5)


@pytest.mark.parametrize(("name", "settings"), SMALL)
@pytest.mark.parametrize("noise", [0.0, 0.15])
def test_scores_are_calibrated(name, settings, noise):
    """A score s claims to be right with chance (1 + |s|) / 2, about the label without noise."""
    function_class = parse_class(name, points=12, **settings)
    prompts = sampled(function_class, 600, label_noise=noise)
    scores = Bayes(function_class, label_noise=noise).predict(prompts).double()
    truth = function_class.evaluate(prompts.functions, prompts.x).double()
    assert scores.abs().max() <= 1 + 1e-5
    for part in (scores.abs() < 0.5, scores.abs() >= 0.5):
        surplus = ((scores.sign() * truth - scores.abs()) * part).sum(1)
        error = surplus.std() / surplus.numel() ** 0.5
        assert abs(surplus.mean()) < 4 * error + 1e-3


@pytest.mark.parametrize(("name", "settings"), SMALL)
def test_nothing_beats_it(name, settings):
    function_class = parse_class(name, points=12, **settings)
    prompts = sampled(function_class, 600, seed=1)
    best = correct(Bayes(function_class).predict(prompts), prompts).mean(1)
    rivals = [NearestNeighbours(), NearestNeighbours(3), Elimination(), Elimination("disjunction"), ParityElimination()]
    for rival in (*rivals, Bayes(function_class, point_evidence=False)):
        ahead = correct(rival.predict(prompts), prompts).mean(1) - best
        assert ahead.mean() <= 3 * ahead.std() / 600**0.5 + 1e-6, rival


def test_the_points_alone_already_tell_something():
    function_class = parse_class("conjunction", dimensions=6, points=4, forcing=0.9)
    prompts = sampled(function_class, 800)
    right = [correct(Bayes(function_class, point_evidence=e).predict(prompts), prompts).mean() for e in (True, False)]
    assert right[0] > right[1] + 0.02


def test_sparse_parity_is_learned_as_fast_as_measured_before():
    """Accuracy after 4, 8, 12, 15 examples of parity-(10, 2), from an independent implementation."""
    function_class = parse_class("sparse_parity", points=16)
    prompts = sampled(function_class, 4000)
    right = correct(Bayes(function_class).predict(prompts), prompts).mean(0)
    assert [right[i].item() for i in (4, 8, 12, 15)] == pytest.approx([0.71, 0.96, 0.998, 1.0], abs=0.035)


def test_full_parities_are_decided_exactly_where_elimination_decides_them():
    function_class = parse_class("parity", dimensions=5, points=12)
    prompts = sampled(function_class, 50)
    known = ParityElimination(abstain=True).predict(prompts)
    scores = Bayes(function_class).predict(prompts)
    assert torch.equal(torch.where(scores.abs() < 0.5, 0.0, scores), known)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_how_prompts_are_grouped_changes_nothing(noise, monkeypatch):
    function_class = parse_class("conjunction", dimensions=5, points=17)
    prompts = sampled(function_class, 13)
    together = Bayes(function_class, label_noise=noise).predict(prompts)
    monkeypatch.setattr(learners_bayes, "CELLS", 1)
    torch.testing.assert_close(Bayes(function_class, label_noise=noise).predict(prompts), together, atol=1e-5, rtol=0)


@pytest.mark.parametrize("forcing", [0.3, 1.0])
def test_the_points_of_a_teaching_sequence_are_no_evidence(forcing):
    function_class = parse_class("conjunction", dimensions=4, points=8, forcing=forcing)
    prompts = sampled(function_class, 40, teaching=1.0)
    vote = Bayes(function_class, point_evidence=False).predict(prompts)
    scores = Bayes(function_class).predict(prompts)
    taught = torch.arange(8) < prompts.taught[:, None]
    torch.testing.assert_close(scores[taught], vote[taught])
    after = torch.arange(8) >= prompts.taught[:, None]
    assert correct(scores, prompts)[after].min() == 1


def test_labels_that_no_function_gives_need_label_noise():
    function_class = parse_class("conjunction", dimensions=4, points=30)
    prompts = sampled(function_class, 5, label_noise=0.3)
    with pytest.raises(DataError, match="label_noise"):
        Bayes(function_class).predict(prompts)
    assert Bayes(function_class, label_noise=0.3).predict(prompts).isfinite().all()


def test_what_cannot_be_computed_is_refused():
    with pytest.raises(ConfigError, match=r"label_noise is 0\.5"):
        Bayes(parse_class("conjunction"), label_noise=0.5)
    with pytest.raises(ConfigError, match="lower dimensions"):
        Bayes(parse_class("conjunction")).predict(sampled(parse_class("conjunction"), 2))
    with pytest.raises(ConfigError, match="have 5 dimensions and the class 'conjunction' 4"):
        Bayes(parse_class("conjunction", dimensions=4)).predict(sampled(parse_class("conjunction", dimensions=5), 2))
