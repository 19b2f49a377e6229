"""Which learners a class gets, that the best one is best, and that no learner looks ahead."""

import pytest
import torch

from paribus.testbeds.incontext.classes import CLASSES, parse_class
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.learner import Learner, correct
from paribus.testbeds.incontext.learners import commoner_label, learners_for, optimal_for, score_learners
from paribus.testbeds.incontext.learners_bayes import Bayes
from paribus.testbeds.incontext.learners_exact import ParityElimination
from paribus.testbeds.incontext.learners_networks import TrainedNetwork
from paribus.testbeds.incontext.prompts import Prompts

SMALL = {
    "dnf": {"dimensions": 2},
    "cnf": {"dimensions": 2},
    "nearest_neighbour": {"dimensions": 5, "start": 6},
    "sparse_disjunction": {"dimensions": 8},
    "halfspace": {"dimensions": 4},
}
POINTS = 16


def small(name: str) -> FunctionClass:
    """The class at a size that can be listed."""
    return parse_class(name, points=POINTS, **{"dimensions": 5, **SMALL.get(name, {})})


def drawn(function_class: FunctionClass, count: int, seed: int = 0) -> Prompts:
    """Prompts of the class from a seed."""
    return function_class.sample(count, torch.Generator().manual_seed(seed))


def quick(learner: Learner) -> Learner:
    """A trained network with few steps; every other learner as it is."""
    return TrainedNetwork(width=8, steps=4, every=5) if isinstance(learner, TrainedNetwork) else learner


@pytest.mark.parametrize("name", CLASSES)
def test_no_learner_sees_a_label_or_a_point_too_early(name):
    """Whatever changes from label i and point i + 1 on, the scores up to i stay as they were."""
    function_class = small(name)
    prompts, others = drawn(function_class, 6), drawn(function_class, 6, seed=1)
    learners = [quick(learner) for learner in learners_for(function_class, costly=True, label_noise=0.1)]
    before = {learner.name: learner.predict(prompts) for learner in learners}
    for i in (0, 5, 10):
        x = torch.cat([prompts.x[:, : i + 1], others.x[:, i + 1 :]], 1)
        y = torch.cat([prompts.y[:, :i], -prompts.y[:, i : i + 1], others.y[:, i + 1 :]], 1)
        changed = Prompts(x, y, prompts.functions, prompts.forced, prompts.taught)
        for learner in learners:
            after = learner.predict(changed)[:, : i + 1]
            torch.testing.assert_close(after, before[learner.name][:, : i + 1], equal_nan=True, atol=5e-7, rtol=1e-5)


@pytest.mark.parametrize("name", CLASSES)
def test_the_optimal_learner_is_not_beaten(name):
    function_class = small(name)
    prompts = drawn(function_class, 400)
    best = optimal_for(function_class)
    assert best is not None
    outcomes = score_learners(learners_for(function_class), prompts)
    top = outcomes[best.name][:, 1:].mean(1)
    for other, right in outcomes.items():
        ahead = right[:, 1:].mean(1) - top
        assert ahead.mean() <= 3 * ahead.std() / 400**0.5 + 1e-6, other


@pytest.mark.parametrize("name", CLASSES)
def test_the_null_learner_says_the_commoner_label(name):
    function_class = parse_class(name)
    share = (drawn(function_class, 1000).y == commoner_label(function_class)).float().mean().item()
    assert share > 0.48
    if name in ("conjunction", "disjunction", "sparse_disjunction", "cnf"):
        assert share > 0.55


def test_large_classes_have_no_bayes_vote_and_parities_need_none():
    assert optimal_for(parse_class("conjunction")) is None
    assert optimal_for(parse_class("conjunction", dimensions=10), most=1000) is None
    assert optimal_for(parse_class("parity", dimensions=40)) == ParityElimination()
    assert optimal_for(parse_class("parity", dimensions=6), label_noise=0.1) == Bayes(
        parse_class("parity", dimensions=6), label_noise=0.1
    )
    assert optimal_for(parse_class("nearest_neighbour"), label_noise=0.1) is None


@pytest.mark.parametrize("name", CLASSES)
def test_the_costly_ones_come_on_request_and_every_name_occurs_once(name):
    function_class = small(name)
    cheap = [learner.name for learner in learners_for(function_class)]
    whole = [learner.name for learner in learners_for(function_class, costly=True)]
    assert len(set(whole)) == len(whole)
    assert set(whole) - set(cheap) == {"Lasso", "greedy tree", "boosted trees", "FFN-GD"}


@pytest.mark.parametrize("name", ["conjunction", "majority", "parity"])
def test_a_single_prompt_of_a_single_point_is_answered(name):
    function_class = parse_class(name, dimensions=4, points=1)
    prompts = drawn(function_class, 1)
    for learner in map(quick, learners_for(function_class, costly=True)):
        scores = learner.predict(prompts)
        assert scores.shape == (1, 1) and scores.dtype == torch.float32
        assert correct(scores, prompts).isfinite().all()
