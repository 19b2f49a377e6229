"""Bounded Dyck strings against a stack machine written out, and their distributions against the stated walk."""

from collections import Counter
from functools import cache
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from paribus.testbeds.formal import dyck_strings
from paribus.testbeds.formal.tasks import BoundedDyck

SURE = 1e-5
String = tuple[int, ...]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stack_after(string: String, pairs: int, depth: int) -> list[int] | None:
    """The open brackets, None where the string left the language for good."""
    stack: list[int] = []
    for token in string:
        if token < pairs:
            stack.append(token)
        elif not stack or stack.pop() != token - pairs:
            return None
        if len(stack) > depth:
            return None
    return stack


def is_member(string: String, pairs: int, depth: int) -> bool:
    return stack_after(string, pairs, depth) == []


def walk_chance(string: String, pairs: int, depth: int) -> float:
    """Probability of a member under the stated walk."""
    chance, height = 1.0, 0
    for place, token in enumerate(string):
        free = 0 < height < min(depth, len(string) - place)
        chance *= (0.5 if free else 1.0) * (1 / pairs if token < pairs else 1.0)
        height += 1 if token < pairs else -1
    return chance


SHAPES = [(1, 1, 4), (1, 3, 8), (2, 1, 4), (2, 2, 6), (3, 2, 4), (2, 9, 6)]


@pytest.mark.parametrize(("pairs", "depth", "length"), SHAPES)
def test_membership_of_every_string(pairs: int, depth: int, length: int) -> None:
    strings = list(product(range(2 * pairs), repeat=length))
    told = dyck_strings.is_member(torch.tensor(strings), pairs, depth).tolist()
    assert told == [is_member(string, pairs, depth) for string in strings]
    assert any(told)


@pytest.mark.parametrize(("pairs", "depth", "length"), SHAPES)
def test_members_have_the_law_of_the_walk(pairs: int, depth: int, length: int) -> None:
    members = [s for s in product(range(2 * pairs), repeat=length) if is_member(s, pairs, depth)]
    chances = [walk_chance(member, pairs, depth) for member in members]
    assert sum(chances) == pytest.approx(1.0)
    drawn = Counter(map(tuple, dyck_strings.members(20_000, length, pairs, depth, generator(1)).tolist()))
    assert sum(drawn[member] for member in members) == 20_000
    if len(members) > 1:
        expected = [20_000 * chance for chance in chances]
        assert chisquare([drawn[member] for member in members], expected).pvalue > SURE


def can_follow(prefix: String, pairs: int, depth: int) -> list[float]:
    """The next characters by trying them: one that leaves a prefix that can still be completed, and the end."""
    tokens = [float(stack_after((*prefix, token), pairs, depth) is not None) for token in range(2 * pairs)]
    return [*tokens, float(stack_after(prefix, pairs, depth) == [])]


@settings(max_examples=30, deadline=None)
@given(
    half=st.integers(1, 12),
    pairs=st.integers(1, 4),
    depth=st.integers(1, 6),
    count=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_the_next_characters_are_those_that_keep_the_prefix_alive(
    half: int, pairs: int, depth: int, count: int, seed: int
) -> None:
    batch = BoundedDyck(length=2 * half, pairs=pairs, depth=depth).sample(count, generator(seed))
    assert batch["label_mask"].all()
    for string, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
        assert is_member(tuple(string), pairs, depth)
        assert labels == [can_follow(tuple(string[: t + 1]), pairs, depth) for t in range(len(string))]


@pytest.mark.parametrize(("pairs", "depth", "length"), [*SHAPES, (2, 3, 20), (1, 1, 2), (2, 10, 40)])
def test_membership_labels_are_right_and_balanced(pairs: int, depth: int, length: int) -> None:
    task = BoundedDyck(length=length, pairs=pairs, depth=depth, readout="membership")
    batch = task.sample(2000, generator(2))
    told = [is_member(tuple(string), pairs, depth) for string in batch["input_ids"].tolist()]
    assert batch["labels"][:, -1].tolist() == told and (batch["labels"][:, :-1] == -100).all()
    assert abs(sum(told) - 1000) < 120


def one_flip(string: String, pairs: int) -> set[String]:
    return {
        (*string[:t], (token % pairs + shift) % pairs + token // pairs * pairs, *string[t + 1 :])
        for t, token in enumerate(string) for shift in range(1, pairs)
    }  # fmt: skip


def one_move(string: String) -> set[String]:
    moved = set()
    for source in range(len(string)):
        rest = string[:source] + string[source + 1 :]
        moved |= {(*rest[:target], string[source], *rest[target:]) for target in range(len(string))}
    return moved


def exceeds_once(string: String, pairs: int, depth: int) -> bool:
    """Well nested, and above the depth by one at a single place."""
    heights = [
        len(stack) for t in range(len(string)) if (stack := stack_after(string[: t + 1], pairs, depth + 1)) is not None
    ]
    return is_member(string, pairs, depth + 1) and heights.count(depth + 1) == 1


@pytest.mark.parametrize(("pairs", "depth", "length"), [(2, 2, 8), (3, 1, 6), (1, 2, 10), (2, 5, 8)])
def test_negatives_are_near_misses_of_all_kinds(pairs: int, depth: int, length: int) -> None:
    members = dyck_strings.members(600, length, pairs, depth, generator(3))
    missing = dyck_strings.near_miss(members, pairs, depth, generator(4))
    kinds: Counter[str] = Counter()
    for member, miss in zip(map(tuple, members.tolist()), map(tuple, missing.tolist()), strict=True):
        assert not is_member(miss, pairs, depth)
        near = {
            "flip": miss in one_flip(member, pairs),
            "move": miss in one_move(member),
            "exceed": exceeds_once(miss, pairs, depth),
        }
        assert any(near.values()), (member, miss)
        kinds.update(kind for kind, fits in near.items() if fits)
    assert (kinds["flip"] > 150) == (pairs > 1)
    assert kinds["move"] > 150
    assert (kinds["exceed"] > 150) == (length >= 2 * (depth + 1))


def test_a_batch_without_negatives_and_one_without_positives_can_be_drawn() -> None:
    task = BoundedDyck(length=6, readout="membership")
    labels = [int(task.sample(1, generator(seed))["labels"][0, -1]) for seed in range(30)]
    assert set(labels) == {0, 1}


@pytest.mark.parametrize(("pairs", "depth", "length"), [(1, 1, 2), (2, 2, 8), (2, 4, 6), (3, 1, 4)])
def test_blind_accuracy_by_listing_all_members(pairs: int, depth: int, length: int) -> None:
    members = [s for s in product(range(2 * pairs), repeat=length) if is_member(s, pairs, depth)]
    shares = 0.0
    for place in range(length):
        answers: Counter[tuple[float, ...]] = Counter()
        for member in members:
            answers[tuple(can_follow(member[: place + 1], pairs, depth))] += walk_chance(member, pairs, depth)
        shares += max(answers.values())
    assert dyck_strings.blind_accuracy(length, pairs, depth) == pytest.approx(shares / length)


def test_heights_count_open_brackets() -> None:
    heights = dyck_strings.heights(torch.tensor([[0, 1, 3, 2, 2, 3]]), 2)
    assert heights.tolist() == [[1, 2, 1, 0, -1, -2]]


@cache
def catalan_bounded(half: int, depth: int) -> int:
    """Bracket shapes of a length within a depth, by splitting off the first pair: an independent count."""
    if half == 0:
        return 1
    if depth == 0:
        return 0
    return sum(catalan_bounded(inner, depth - 1) * catalan_bounded(half - 1 - inner, depth) for inner in range(half))


@pytest.mark.parametrize(("half", "depth"), [(3, 1), (4, 2), (5, 3), (4, 9)])
def test_the_sampler_reaches_every_shape(half: int, depth: int) -> None:
    strings = dyck_strings.members(6000, 2 * half, 1, depth, generator(5))
    assert len(strings.unique(dim=0)) == catalan_bounded(half, depth)


def test_near_misses_end_where_hardly_any_move_breaks_the_string() -> None:
    """Of a deep single nest of one type, only moves to an end of the string break it: a few in sixty."""
    nest = torch.tensor([[0] * 30 + [1] * 30]).expand(200, -1)
    missing = dyck_strings.near_miss(nest, 1, 30, generator(6))
    assert not dyck_strings.is_member(missing, 1, 30).any()
