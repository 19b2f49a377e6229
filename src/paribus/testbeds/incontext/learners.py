"""Which learners to hold a model of a function class against, and which of them is the best that there can be."""

from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.incontext.counting import MOST_FUNCTIONS
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.learner import Learner, Null, correct
from paribus.testbeds.incontext.learners_bayes import Bayes, listed
from paribus.testbeds.incontext.learners_exact import Elimination, ParityElimination, Target
from paribus.testbeds.incontext.learners_fitted import Lasso, MaxMargin
from paribus.testbeds.incontext.learners_linear import Averaging, LeastSquares
from paribus.testbeds.incontext.learners_neighbours import NearestNeighbours
from paribus.testbeds.incontext.learners_networks import TrainedNetwork
from paribus.testbeds.incontext.learners_online import Perceptron, Winnow
from paribus.testbeds.incontext.learners_trees import BoostedTrees, GreedyTree
from paribus.testbeds.incontext.prompts import Prompts

__all__ = ["Learner", "commoner_label", "correct", "learners_for", "optimal_for", "score_learners"]

_TERMS: dict[str, Target] = {
    "conjunction": "conjunction",
    "disjunction": "disjunction",
    "sparse_disjunction": "disjunction",
}
_LINEAR = ("majority", "threshold", "halfspace")
_MOSTLY_TRUE = ("disjunction", "sparse_disjunction", "cnf")


def learners_for(
    function_class: FunctionClass, *, costly: bool = False, label_noise: float = 0.0
) -> tuple[Learner, ...]:
    """The learners that belong on a chart of this class, by rising ambition; names differ.

    Args:
        function_class: what the prompts are drawn from.
        costly: also Lasso, a greedy tree, boosted trees and the trained network (the paper has them; the last two
            answer every fifth position and take seconds to minutes for 64 prompts).
        label_noise: chance that a shown label is flipped, for the Bayes vote.
    """
    general: tuple[Learner, ...] = (
        Null(commoner_label(function_class)),
        NearestNeighbours(1),
        NearestNeighbours(3),
        Averaging(),
        LeastSquares(),
    )
    fitted: tuple[Learner, ...] = (Lasso(), GreedyTree(), BoostedTrees(every=5), TrainedNetwork(every=5))
    best = optimal_for(function_class, label_noise=label_noise)
    learners = [*general, *(fitted if costly else ()), *_specific(function_class), *([best] if best else [])]
    return tuple({learner.name: learner for learner in learners}.values())


def optimal_for(
    function_class: FunctionClass, *, label_noise: float = 0.0, most: int = MOST_FUNCTIONS
) -> Learner | None:
    """The learner that no other beats in expectation on fresh prompts of the class; None where none can be computed.

    Gaussian elimination for parities and the rule itself for the nearest-neighbour class at any size; a Bayes vote
    where the class lists at most ``most`` functions, exact with label noise, too. ``counting.optimal_is_computed``
    tells ahead whether there is one, without listing any.
    """
    if function_class.name == "parity" and not label_noise:
        return ParityElimination()
    if function_class.name == "nearest_neighbour":
        return None if label_noise else NearestNeighbours(1, ties="earliest")
    try:
        functions = len(listed(function_class)[1])
    except ConfigError:
        # The class says that it has no list of its functions, or too long a one.
        return None
    return Bayes(function_class, label_noise=label_noise) if functions <= most else None


def commoner_label(function_class: FunctionClass) -> int:
    """The label that most points of the class have under the paper's densities, +1 or -1: what ``Null`` should say.

    +1 for disjunctions and CNFs, -1 otherwise; at other densities look at the labels.
    """
    return 1 if function_class.name in _MOSTLY_TRUE else -1


def score_learners(learners: tuple[Learner, ...], prompts: Prompts) -> dict[str, Tensor]:
    """Outcomes ``(B, m)`` of every learner on the same prompts, by name; see ``curves.curve``."""
    return {learner.name: correct(learner.predict(prompts), prompts) for learner in learners}


def _specific(function_class: FunctionClass) -> tuple[Learner, ...]:
    name = function_class.name
    if name in _TERMS:
        monotone = name == "sparse_disjunction" or bool(getattr(function_class, "monotone", False))
        return (Elimination(_TERMS[name], monotone), Winnow(_TERMS[name], monotone))
    if name in _LINEAR:
        return (Perceptron(), MaxMargin())
    return (ParityElimination(),) if name in ("parity", "sparse_parity") else ()
