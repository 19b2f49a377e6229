"""How many functions a class lists, in closed form, and so whether its best learner is computed.

Plans ask this before anything runs, so nothing is listed here and torch is not imported.
"""

from math import comb

from paribus.errors import ConfigError

MOST_LISTED = 2**20
"""Most rows that are listed."""
MOST_FUNCTIONS = 250_000
"""Most functions that a Bayes vote goes through: 64 prompts then take some seconds of one core."""


def functions_listed(name: str, dimensions: int, *, size: int = 0) -> int:
    """How many functions a class lists (``FunctionClass.every``) at the paper's settings.

    A function that is written in several ways is counted as often: all ordered choices of 3 terms of a DNF or CNF, all
    pairs of weights and one of 6 biases of a threshold, all weights of a halfspace.

    Args:
        name: of the class. dimensions: n, coordinates of a point.
        size: variables of a sparse disjunction or parity (0: the paper's 4 or 2).

    Raises:
        ConfigError: a class without a list, or an unknown one.
    """
    literals = 3**dimensions
    counts = {
        "conjunction": literals,
        "disjunction": literals,
        "sparse_disjunction": comb(dimensions, size or 4),
        "dnf": literals**3,
        "cnf": literals**3,
        "majority": 2**dimensions,
        "threshold": literals * 6,
        "halfspace": 7**dimensions,
        "parity": 2**dimensions,
        "sparse_parity": comb(dimensions, size or 2),
    }
    if name not in counts:
        raise ConfigError(f"The class {name!r} has no list of its functions; take one of {', '.join(counts)}.")
    return counts[name]


def optimal_is_computed(name: str, dimensions: int, *, size: int = 0, label_noise: bool = False) -> bool:
    """Whether ``learners.optimal_for`` has a learner of the class, at the paper's settings and ``dimensions``."""
    if name in ("parity", "nearest_neighbour") and not label_noise:
        return True
    return name != "nearest_neighbour" and functions_listed(name, dimensions, size=size) <= MOST_FUNCTIONS
