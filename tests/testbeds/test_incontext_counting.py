"""Closed forms of how many functions a class lists, against the lists; and of who has a best learner, against those."""

import subprocess
import sys

import pytest

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import CLASSES, parse_class
from paribus.testbeds.incontext.counting import MOST_FUNCTIONS, functions_listed, optimal_is_computed
from paribus.testbeds.incontext.learners import optimal_for

EDGES = {
    "conjunction": 11, "disjunction": 11, "sparse_disjunction": 51, "dnf": 3, "cnf": 3, "majority": 17, "threshold": 9,
    "halfspace": 6, "parity": 17,
}  # fmt: skip
"""The most dimensions at which all functions of a class still vote."""


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "nearest_neighbour"])
def test_as_many_functions_are_counted_as_are_listed(name: str) -> None:
    sizes = range(4, 8) if name.startswith("sparse") else range(1, 4) if name in ("dnf", "cnf") else range(1, 6)
    for dimensions in sizes:
        (listed, *_) = parse_class(name, dimensions=dimensions).every().values()
        assert functions_listed(name, dimensions) == len(listed)


@pytest.mark.parametrize("name", ["sparse_disjunction", "sparse_parity"])
def test_sizes_of_sparse_functions_count(name: str) -> None:
    for size in (1, 3, 6):
        (listed, *_) = parse_class(name, dimensions=6, size=size).every().values()
        assert functions_listed(name, 6, size=size) == len(listed)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("name", CLASSES)
def test_a_best_learner_is_computed_where_there_is_one(name: str, noise: float) -> None:
    """On both sides of the edge, and at the paper's size."""
    edge = EDGES.get(name, 10)
    for dimensions in (max(1, edge // 2), edge, edge + 1, parse_class(name).dimensions):
        if name == "sparse_disjunction" and dimensions < 4:
            continue
        found = optimal_for(parse_class(name, dimensions=dimensions), label_noise=noise)
        assert optimal_is_computed(name, dimensions, label_noise=noise > 0) == (found is not None), dimensions


@pytest.mark.parametrize(("name", "edge"), EDGES.items())
def test_edges_are_where_a_vote_grows_too_long(name: str, edge: int) -> None:
    assert functions_listed(name, edge) <= MOST_FUNCTIONS < functions_listed(name, edge + 1)


def test_the_size_of_a_sparse_parity_decides() -> None:
    for dimensions, computed in ((33, True), (34, False)):
        assert optimal_is_computed("sparse_parity", dimensions, size=5) is computed
        assert (optimal_for(parse_class("sparse_parity", dimensions=dimensions, size=5)) is not None) is computed


def test_what_has_no_list_is_not_counted() -> None:
    for name in ("nearest_neighbour", "conjunctions"):
        with pytest.raises(ConfigError, match=f"'{name}' has no list of its functions; take one of conjunction, "):
            functions_listed(name, 4)


def test_counting_needs_neither_torch_nor_numpy() -> None:
    code = "import sys; import paribus.testbeds.incontext.counting, paribus.testbeds.seeds; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "numpy"}.isdisjoint(found.stdout.split())
