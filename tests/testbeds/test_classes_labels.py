"""Labels against an independent reading of each class, point by point."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.testbeds.incontext.classes import CLASSES, parse_class
from paribus.testbeds.incontext.classes_neighbour import NearestNeighbour
from paribus.testbeds.incontext.listing import all_points

N = 7
SIZES = {"sparse_disjunction": {"size": 3}, "nearest_neighbour": {"start": 4}}
WITHOUT_ORDER = [name for name in CLASSES if name != "nearest_neighbour"]


def small(name, **settings):
    return parse_class(name, **{"dimensions": N, **SIZES.get(name, {}), **settings})


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def holds(literal, bit):
    """Whether a literal (+1: the variable, -1: its negation) is true of a bit."""
    return bit == 1 if literal == 1 else bit == -1


def truth(name, function, x):
    """The label of one point from the definition of the class, in plain Python."""
    if name == "conjunction":
        return all(holds(w, bit) for w, bit in zip(function["literals"], x, strict=True) if w)
    if name in ("disjunction", "sparse_disjunction"):
        return any(holds(w, bit) for w, bit in zip(function["literals"], x, strict=True) if w)
    if name == "dnf":
        return any(truth("conjunction", {"literals": term}, x) for term in function["terms"])
    if name == "cnf":
        return all(truth("disjunction", {"literals": clause}, x) for clause in function["terms"])
    if name == "majority":
        votes = [bit for used, bit in zip(function["weights"], x, strict=True) if used]
        return votes.count(1) > votes.count(-1)
    if name == "threshold":
        return sum(w * bit for w, bit in zip(function["weights"], x, strict=True)) > function["bias"]
    if name == "halfspace":
        return sum(w * bit for w, bit in zip(function["weights"], x, strict=True)) >= 1
    true = [bit == 1 for used, bit in zip(function["subset"], x, strict=True) if used]
    odd = False
    for one in true:
        odd ^= one
    return odd


@pytest.mark.parametrize("name", WITHOUT_ORDER)
def test_labels_of_all_points_follow_the_definition(name):
    cls, points = small(name), all_points(N)
    functions = cls.draw(25, generator())
    labels = cls.evaluate(functions, points)
    assert labels.shape == (25, 2**N) and labels.dtype == torch.int8
    for row in range(25):
        function = {key: tensor[row].tolist() for key, tensor in functions.items()}
        expected = [1 if truth(name, function, x) else -1 for x in points.tolist()]
        assert labels[row].tolist() == expected


@pytest.mark.parametrize("name", WITHOUT_ORDER)
def test_points_of_their_own_are_labelled_as_shared_ones(name):
    cls, points = small(name), all_points(N)
    functions = cls.draw(5, generator())
    own = points.expand(5, -1, -1)
    assert torch.equal(cls.evaluate(functions, own), cls.evaluate(functions, points))


@pytest.mark.parametrize(("name", "dual"), [("conjunction", "disjunction"), ("dnf", "cnf")])
def test_de_morgan(name, dual):
    functions, points = small(name).draw(40, generator()), all_points(N)
    assert torch.equal(small(dual).evaluate(functions, points), -small(name).evaluate(functions, -points))


@pytest.mark.parametrize("name", ["conjunction", "disjunction"])
def test_a_term_without_literals_is_constant(name):
    labels = small(name).evaluate({"literals": torch.zeros(1, N, dtype=torch.int8)}, all_points(N))
    assert labels.unique().tolist() == [1 if name == "conjunction" else -1]


@pytest.mark.parametrize("name", WITHOUT_ORDER)
@given(seed=st.integers(0, 2**20))
@settings(max_examples=10, deadline=None)
def test_renaming_variables_changes_no_label(name, seed):
    cls = small(name, points=12)
    prompts = cls.sample(4, generator(seed))
    order = torch.randperm(N, generator=generator(seed))
    renamed = {
        key: tensor[..., order] if tensor.shape[-1] == N and tensor.dim() > 1 else tensor
        for key, tensor in prompts.functions.items()
    }
    assert torch.equal(cls.evaluate(renamed, prompts.x[..., order]), prompts.y)


@given(seed=st.integers(0, 2**20), dimensions=st.integers(1, 6), start=st.integers(1, 12), points=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_nearest_neighbour_labels_are_copied_one_after_the_other(seed, dimensions, start, points):
    cls = NearestNeighbour(dimensions=dimensions, start=start, points=points)
    prompts = cls.sample(3, generator(seed))
    for x, y, fresh in zip(prompts.x.tolist(), prompts.y.tolist(), prompts.functions["labels"].tolist(), strict=True):
        seen = []
        for place, point in enumerate(x):
            similar = [sum(a * b for a, b in zip(point, other, strict=True)) for other in x[:place]]
            copies = place and (place >= start or max(similar) == dimensions)
            seen.append(seen[similar.index(max(similar))] if copies else fresh[place])
        assert seen == y
