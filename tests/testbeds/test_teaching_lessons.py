"""Teaching sequences: they single their function out, have the stated length and order, and fit the prompt."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.teaching import Lesson, corrupted, formula_lesson, with_lesson
from paribus.testbeds.incontext.teaching_dimension import rivals_left, truth_table

TAUGHT = [
    ("conjunction", {}), ("conjunction", {"monotone": True}), ("disjunction", {}), ("disjunction", {"monotone": True}),
    ("sparse_disjunction", {"size": 2}), ("dnf", {"monotone": True}), ("cnf", {"monotone": True}), ("parity", {}),
    ("sparse_parity", {}),
]  # fmt: skip


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def monotone_formulas(name, dimensions):
    """Truth table of all monotone formulas of at most three terms, the constants included."""
    tables = [truth_table(parse_class(name, dimensions=dimensions, terms=terms, monotone=True)) for terms in (1, 2, 3)]
    constants = torch.tensor([[False], [True]]).expand(2, 2**dimensions)
    return torch.cat([*tables, constants]).unique(dim=0)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("monotone", [False, True])
@pytest.mark.parametrize("name", ["conjunction", "disjunction"])
def test_terms_are_singled_out_of_their_whole_class(name, monotone, dimensions):
    cls = parse_class(name, dimensions=dimensions, monotone=monotone)
    every = cls.every()
    assert rivals_left(cls, every, cls.lesson(every), truth_table(cls)).unique().tolist() == [1]


@pytest.mark.parametrize("name", ["dnf", "cnf"])
@pytest.mark.parametrize(("dimensions", "targets"), [(4, 64), (5, 1090)])
def test_monotone_formulas_are_singled_out_among_those_of_at_most_three_terms(name, dimensions, targets):
    cls = parse_class(name, dimensions=dimensions, monotone=True)
    every = cls.every()
    rivals = monotone_formulas(name, dimensions)
    assert len(truth_table(cls)) == targets
    assert rivals_left(cls, every, cls.lesson(every), rivals).unique().tolist() == [1]


@pytest.mark.parametrize(("name", "settings"), [
    ("parity", {"dimensions": 4}), ("sparse_parity", {"dimensions": 6}),
    ("sparse_parity", {"dimensions": 7, "size": 3}), ("sparse_disjunction", {"dimensions": 6, "size": 3}),
])  # fmt: skip
def test_parities_and_sparse_disjunctions_are_singled_out(name, settings):
    cls = parse_class(name, **settings)
    every = cls.every()
    assert rivals_left(cls, every, cls.lesson(every), truth_table(cls)).unique().tolist() == [1]


@pytest.mark.parametrize(("name", "settings"), [case for case in TAUGHT if case[0] not in ("dnf", "cnf")])
def test_a_lesson_without_its_last_point_leaves_more_than_one_function(name, settings):
    cls = parse_class(name, **{"dimensions": 4, **settings})
    every = cls.every()
    lesson = cls.lesson(every)
    shorter = rivals_left(cls, every, Lesson(lesson.x, lesson.length - 1), truth_table(cls))
    assert (shorter > 1).all()


def test_terms_that_contain_each_other_cannot_be_taught_so():
    """x0, or x0 x1, or x0 x2 is but x0, and nothing shown speaks against x0 or x1 x2."""
    cls = parse_class("dnf", dimensions=3, monotone=True)
    terms = {"terms": torch.tensor([[[1, 0, 0], [1, 1, 0], [1, 0, 1]]], dtype=torch.int8)}
    left = rivals_left(cls, terms, formula_lesson(terms["terms"]), monotone_formulas("dnf", 3))
    assert left.item() > 1


def test_the_lesson_of_a_conjunction_by_hand():
    literals = torch.tensor([[1, 0, -1], [1, -1, 1], [0, 0, 0]], dtype=torch.int8)
    lesson = parse_class("conjunction", dimensions=3).lesson({"literals": literals})
    rows = [x[:size].tolist() for x, size in zip(lesson.x, lesson.length.tolist(), strict=True)]
    assert rows == [
        [[1, -1, -1], [1, 1, -1], [-1, -1, -1], [1, -1, 1]],
        [[1, -1, 1], [-1, -1, 1], [1, 1, 1], [1, -1, -1]],
        [[-1, -1, -1], [1, 1, 1]],
    ]


def test_the_lesson_of_a_monotone_dnf_by_hand():
    terms = torch.tensor([[[1, 1, 0], [0, 0, 1]], [[0, 1, 0], [1, 0, 1]]], dtype=torch.int8)
    cls = parse_class("dnf", dimensions=3, terms=2, monotone=True)
    lesson = cls.lesson({"terms": terms})
    assert lesson.length.tolist() == [5, 5]
    assert lesson.x.tolist() == [
        [[1, 1, -1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1], [-1, -1, -1]],
        [[-1, 1, -1], [-1, -1, -1], [1, -1, 1], [-1, -1, 1], [1, -1, -1]],
    ]
    assert cls.evaluate({"terms": terms}, lesson.x).tolist() == [[1, -1, -1, 1, -1], [1, -1, 1, -1, -1]]


@pytest.mark.parametrize(("name", "dual"), [("conjunction", "disjunction"), ("dnf", "cnf")])
def test_dual_classes_have_mirrored_lessons(name, dual):
    primal, mirrored = (parse_class(one, dimensions=6, monotone=True) for one in (name, dual))
    functions = primal.draw(20, generator())
    assert torch.equal(mirrored.lesson(functions).x, -primal.lesson(functions).x)
    assert torch.equal(mirrored.lesson(functions).length, primal.lesson(functions).length)


def test_lengths_at_the_paper_s_sizes():
    conjunctions = parse_class("conjunction").sample(4000, generator(), teaching=1)
    used = (conjunctions.functions["literals"] != 0).sum(1)
    assert torch.equal(conjunctions.taught, used + 2)
    assert abs(float(conjunctions.taught.float().mean()) - 10.4) < 0.15
    formulas = parse_class("dnf", points=90, monotone=True).sample(200, generator(), teaching=1)
    assert torch.equal(formulas.taught, (formulas.functions["terms"] != 0).sum((1, 2)) + 3)


def test_every_taught_monotone_dnf_shows_a_positive_then_its_negatives():
    prompts = parse_class("dnf", points=90, monotone=True).sample(500, generator(), teaching=1)
    for y, taught, terms in zip(prompts.y.tolist(), prompts.taught.tolist(), prompts.functions["terms"], strict=True):
        assert y[:taught] == [label for size in terms.sum(1).tolist() for label in [1] + [-1] * size]


@pytest.mark.parametrize(("name", "settings"), TAUGHT)
def test_a_taught_prompt_begins_with_the_lesson_and_goes_on_at_random(name, settings):
    cls = parse_class(name, **{"dimensions": 6, "points": 40, **settings})
    prompts = cls.sample(60, generator(), teaching=1)
    lesson = cls.lesson(prompts.functions)
    assert torch.equal(prompts.taught, lesson.length) and lesson.length.max() <= cls.longest_lesson
    for row, taught in enumerate(prompts.taught.tolist()):
        assert torch.equal(prompts.x[row, :taught], lesson.x[row, :taught])
        assert not prompts.forced[row, :taught].any()
        assert len(prompts.x[row, taught:].unique(dim=0)) > 1
    assert torch.equal(prompts.y, cls.evaluate(prompts.functions, prompts.x))


def test_the_longest_lesson_is_reached():
    for name, options in TAUGHT:
        cls = parse_class(name, **{"dimensions": 4, **options})
        assert cls.lesson(cls.every()).length.max() == cls.longest_lesson
    single = parse_class("dnf", dimensions=4, terms=1, monotone=True)
    assert single.lesson(single.every()).length.max() == single.longest_lesson == 5


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_prompts_is_taught(share):
    prompts = parse_class("conjunction", dimensions=8).sample(2000, generator(), teaching=share)
    taught = float((prompts.taught > 0).float().mean())
    assert taught == share if share in (0, 1) else abs(taught - share) < 0.05


def test_the_same_seed_keeps_functions_and_the_points_behind_the_lesson():
    cls = parse_class("conjunction", dimensions=8)
    taught, plain = cls.sample(50, generator(), teaching=1), cls.sample(50, generator())
    assert torch.equal(taught.functions["literals"], plain.functions["literals"])
    behind = torch.arange(cls.points) >= taught.taught.unsqueeze(1)
    assert torch.equal(taught.x[behind], plain.x[behind])
    assert torch.equal(taught.forced[behind], plain.forced[behind])


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_other_orders_hold_the_same_points(order):
    cls = parse_class("conjunction", dimensions=8)
    prompts = cls.sample(80, generator(), teaching=1, order=order)
    lesson = cls.lesson(prompts.functions)
    moved = 0
    for row, taught in enumerate(prompts.taught.tolist()):
        shown, built = prompts.x[row, :taught].tolist(), lesson.x[row, :taught].tolist()
        assert sorted(shown) == sorted(built)
        assert order != "reversed" or shown == built[::-1]
        moved += shown != built
    assert moved > 70


@pytest.mark.parametrize(("kept", "expected"), [(0.0, [0, 0]), (0.5, [1, 2]), (0.99, [2, 4]), (1.0, [2, 4])])
def test_a_lesson_can_be_cut_short(kept, expected):
    lesson = Lesson(torch.ones(2, 4, 3, dtype=torch.int8), torch.tensor([2, 4]))
    x = -torch.ones(2, 6, 3, dtype=torch.int8)
    shown, taught = with_lesson(x, lesson, generator(), share=1.0, order="built", kept=kept)
    assert taught.tolist() == expected
    assert shown[:, :, 0].tolist() == [[1] * size + [-1] * (6 - size) for size in expected]
    assert x.unique().tolist() == [-1]


def test_corruption_stays_within_the_lesson():
    y, taught = torch.ones(400, 10, dtype=torch.int8), torch.full((400,), 4)
    flipped = corrupted(y, taught, generator(), 0.25) < 0
    assert not flipped[:, 4:].any() and abs(float(flipped[:, :4].float().mean()) - 0.25) < 0.05
    cls = parse_class("conjunction", dimensions=6)
    prompts = cls.sample(30, generator(), teaching=1, corruption=1.0)
    within = torch.arange(cls.points) < prompts.taught.unsqueeze(1)
    assert torch.equal(prompts.y, torch.where(within, -1, 1) * cls.evaluate(prompts.functions, prompts.x))


@given(seed=st.integers(0, 2**20), dimensions=st.integers(1, 9), monotone=st.booleans())
@settings(max_examples=40, deadline=None)
def test_each_literal_is_broken_exactly_once(seed, dimensions, monotone):
    cls = parse_class("conjunction", dimensions=dimensions, monotone=monotone, density=0.6)
    functions = cls.draw(4, generator(seed))
    lesson = cls.lesson(functions)
    labels = cls.evaluate(functions, lesson.x)
    for literals, x, y, size in zip(functions["literals"], lesson.x, labels, lesson.length.tolist(), strict=True):
        negatives = x[:size][y[:size] < 0]
        broken = ((negatives != literals) & (literals != 0)).int()
        assert torch.equal(broken.sum(0), (literals != 0).long())
        assert broken.sum(1).tolist() == [1] * len(negatives)


def test_prompts_too_short_for_a_lesson_are_refused():
    with pytest.raises(ConfigError, match=r"'conjunction' at dimensions=28 can take 29 points, .* points=12; raise"):
        parse_class("conjunction", points=12).sample(2, generator(), teaching=0.5)
    assert len(parse_class("conjunction", points=29).sample(2, generator(), teaching=1)) == 2


@pytest.mark.parametrize("name", ["majority", "threshold", "halfspace", "nearest_neighbour"])
def test_classes_without_lessons_say_so(name):
    with pytest.raises(ConfigError, match=f"class '{name}'; set teaching=0"):
        parse_class(name).sample(2, generator(), teaching=1)


def test_formulas_need_monotone_antichains():
    with pytest.raises(ConfigError, match="set monotone=True"):
        parse_class("dnf").sample(2, generator(), teaching=1)
    contained = torch.tensor([[[1, 0], [1, 1]]], dtype=torch.int8)
    with pytest.raises(ConfigError, match="none contains another"):
        parse_class("cnf", dimensions=2, terms=2, monotone=True).lesson({"terms": contained})
