"""Each sampler against a slow oracle of its task, and its distribution against the stated one."""

import random
from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from paribus.errors import ConfigError
from paribus.testbeds.formal.distinct import distinct
from paribus.testbeds.formal.tasks import AssociativeRecall, Disjointness, Equality, IndexLookup, NearestNeighbour

SURE = 1e-5  # a right sampler fails a chi-square check this rarely; the seeds are fixed, so it never does


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_spread(counts: "list[int]", shares: "list[float] | None" = None) -> None:
    """The counts are those of independent draws with these shares (None = equal)."""
    expected = None if shares is None else np.array(shares) * sum(counts) / sum(shares)
    assert chisquare(counts, expected).pvalue > SURE, counts


# --- index lookup ---


def test_lookup_symbols_and_indices_are_uniform_and_independent() -> None:
    tokens = IndexLookup(length=3, symbols=2).sample(8000, generator())["input_ids"]
    counts = Counter(map(tuple, tokens.tolist()))
    assert_spread([counts[(*symbols, 2 + place)] for symbols in product((0, 1), repeat=3) for place in range(3)])


# --- equality and disjointness ---


def halves(tokens: list[int]) -> tuple[list[int], list[int]]:
    bits = (len(tokens) - 1) // 2
    return tokens[:bits], tokens[bits:-1]


@pytest.mark.parametrize("bits", [1, 2, 7])
def test_equality_labels_are_right_and_negatives_differ_in_one_place(bits: int) -> None:
    batch = Equality(bits=bits).sample(4000, generator(bits))
    places: Counter[int] = Counter()
    for tokens, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
        x, y = halves(tokens)
        assert tokens[-1] == 2 and set(x + y) <= {0, 1} and labels[:-1] == [-100] * (2 * bits)
        differ = [place for place in range(bits) if x[place] != y[place]]
        assert labels[-1] == int(not differ) and len(differ) <= 1
        places.update(differ)
    assert_spread([places[place] for place in range(bits)] if bits > 1 else [1, 1])
    assert_spread([int((batch["labels"][:, -1] == label).sum()) for label in (0, 1)])


def test_equality_strings_are_uniform() -> None:
    tokens = Equality(bits=3).sample(8000, generator(1))["input_ids"]
    for half in (tokens[:, :3], tokens[:, 3:6]):
        counts = Counter(map(tuple, half.tolist()))
        assert_spread([counts[string] for string in product((0, 1), repeat=3)])


@pytest.mark.parametrize("bits", [1, 2, 7])
def test_disjointness_labels_are_right_and_negatives_share_one_place(bits: int) -> None:
    batch = Disjointness(bits=bits).sample(4000, generator(bits))
    places: Counter[int] = Counter()
    for tokens, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
        x, y = halves(tokens)
        shared = [place for place in range(bits) if x[place] == y[place] == 1]
        assert tokens[-1] == 2 and labels[-1] == int(not shared) and len(shared) <= 1
        places.update(shared)
    assert_spread([int((batch["labels"][:, -1] == label).sum()) for label in (0, 1)])
    assert_spread([places[place] for place in range(bits)] if bits > 1 else [1, 1])


def test_disjoint_pairs_are_uniform_over_the_three_states_of_each_place() -> None:
    batch = Disjointness(bits=2).sample(9000, generator(2))
    rows = batch["input_ids"][batch["labels"][:, -1] == 1]
    counts = Counter(map(tuple, rows[:, :4].tolist()))
    states = [(0, 0), (0, 1), (1, 0)]
    assert sum(counts.values()) == sum(counts[(a, b, c, d)] for (a, c), (b, d) in product(states, repeat=2))
    assert_spread([counts[(a, b, c, d)] for (a, c), (b, d) in product(states, repeat=2)])


# --- nearest neighbour ---


def read_prompt(vectors: torch.Tensor) -> tuple[list[list[float]], list[int], list[float]]:
    """Points, labels and query of a prompt, checked for the layout."""
    points, labels = vectors[0:-1:2], vectors[1::2]
    assert (points[:, -1] == 0).all() and vectors[-1, -1] == 0 and (labels[:, :-1] == 0).all()
    assert set(labels[:, -1].tolist()) <= {-1.0, 1.0}
    return points[:, :-1].tolist(), [int(label > 0) for label in labels[:, -1]], vectors[-1, :-1].tolist()


def products_of(points: list[list[float]], query: list[float]) -> list[float]:
    return [round(sum(a * b for a, b in zip(point, query, strict=True)), 5) for point in points]


@pytest.mark.parametrize("space", ["cube", "sphere"])
@pytest.mark.parametrize("ties", ["earliest", "redrawn"])
def test_the_label_is_that_of_the_nearest_point(space: str, ties: str) -> None:
    task = NearestNeighbour(points=6, dimension=3, space=space, ties=ties)
    batch = task.sample(300, generator(4))
    ambiguous = 0
    for vectors, labels in zip(batch["inputs_embeds"], batch["labels"].tolist(), strict=True):
        points, marks, query = read_prompt(vectors)
        products = products_of(points, query)
        nearest = [mark for mark, product in zip(marks, products, strict=True) if product == max(products)]
        ambiguous += len(set(nearest)) > 1
        assert labels == [-100] * 12 + [nearest[0]]
        assert sum(a * a for a in query) == pytest.approx(1.0, abs=1e-5)
        if space == "cube":
            assert {round(abs(a), 5) for point in [*points, query] for a in point} == {round(3**-0.5, 5)}
    assert (ambiguous > 50) == (space == "cube" and ties == "earliest")
    assert ambiguous == 0 or ties == "earliest"


@pytest.mark.parametrize(("space", "margin"), [("cube", 0.5), ("sphere", 0.3)])
def test_a_margin_keeps_points_of_the_other_label_away(space: str, margin: float) -> None:
    batch = NearestNeighbour(points=5, dimension=4, space=space, margin=margin).sample(300, generator(5))
    gaps = []
    for vectors in batch["inputs_embeds"]:
        points, marks, query = read_prompt(vectors)
        best = [
            max((p for p, m in zip(products_of(points, query), marks, strict=True) if m == mark), default=-np.inf)
            for mark in (0, 1)
        ]
        gaps.append(abs(best[0] - best[1]))
    assert min(gaps) >= margin - 1e-4
    if space == "cube":  # inner products are multiples of 2 / dimension, and the least one that is allowed occurs
        assert min(gaps) == pytest.approx(margin)


def test_redrawn_prompts_have_the_law_of_prompts_that_happen_to_be_clear() -> None:
    """With one dimension and two points the clear prompts can be listed: equal labels, or points on both sides."""
    batch = NearestNeighbour(points=2, dimension=1).sample(8000, generator(6))
    counts = Counter(tuple(map(int, row)) for row in batch["inputs_embeds"].sum(dim=2).tolist())
    clear = [row for row in product((-1, 1), repeat=5) if row[1] == row[3] or row[0] != row[2]]
    assert sum(counts[row] for row in clear) == 8000
    assert_spread([counts[row] for row in clear])


def test_prompts_that_are_hardly_ever_clear_are_refused() -> None:
    with pytest.raises(ConfigError, match="still ambiguous after 1000 redraws; take fewer points"):
        NearestNeighbour(points=300, dimension=1).sample(2, generator())


# --- recall ---


@pytest.mark.parametrize(
    "task",
    [
        AssociativeRecall(length=24, pairs=4, vocabulary=64),
        AssociativeRecall(length=4, pairs=1, vocabulary=4),
        AssociativeRecall(length=16, pairs=4, vocabulary=10, filler="zero"),
        AssociativeRecall(length=64, pairs=4, vocabulary=8192, power=1.0),
    ],
    ids=lambda task: task.name,
)
def test_recall_agrees_with_a_dictionary(task: AssociativeRecall) -> None:
    batch = task.sample(200, generator(7))
    for tokens, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
        context = tokens[: 2 * task.pairs]
        memory = dict(zip(context[::2], context[1::2], strict=True))
        assert len(memory) == len(set(memory.values())) == task.pairs
        assert all(1 <= key < task.vocabulary // 2 <= value < task.vocabulary for key, value in memory.items())
        scored = [place for place, label in enumerate(labels) if label != -100]
        assert sorted(tokens[place] for place in scored) == sorted(memory)
        assert all(
            place >= 2 * task.pairs and place % 2 == 0 and labels[place] == memory[tokens[place]] for place in scored
        )
        if task.filler == "zero":
            assert all(tokens[place] == 0 for place in range(2 * task.pairs, task.length) if place not in scored)


def successive_draws(weights: list[float], picks: int, source: random.Random) -> tuple[int, ...]:
    """The slots of the keys, one after another: the definition, with the standard library."""
    left, drawn = dict(enumerate(weights)), []
    for _ in range(picks):
        slot = source.choices(list(left), list(left.values()))[0]
        drawn.append(slot)
        del left[slot]
    return tuple(drawn)


@pytest.mark.parametrize("power", [0.01, 0.5, 1.0])
def test_query_slots_follow_the_power_law_without_replacement(power: float) -> None:
    task, count = AssociativeRecall(length=12, pairs=2, vocabulary=64, power=power), 20_000
    drawn = Counter(map(tuple, task._slots(count, generator(9)).tolist()))
    weights = [slot ** (power - 1) for slot in range(1, task.slots + 1)]
    exact = {
        (a, b): weights[a] / sum(weights) * weights[b] / (sum(weights) - weights[a])
        for a in range(task.slots) for b in range(task.slots) if a != b
    }  # fmt: skip
    assert_spread([drawn[pair] for pair in exact], list(exact.values()))
    source = random.Random(3)
    loop = Counter(successive_draws(weights, 2, source) for _ in range(4000))
    assert_spread([loop[pair] for pair in exact], list(exact.values()))  # the oracle itself is the stated law


def test_filler_covers_the_whole_vocabulary_evenly() -> None:
    task = AssociativeRecall(length=40, pairs=1, vocabulary=8, power=1.0)
    tokens = task.sample(500, generator(2))["input_ids"][:, 3::2]  # odd positions after the context are never queries
    assert_spread(tokens.flatten().bincount(minlength=8).tolist())


# --- distinct choices ---


@pytest.mark.parametrize(("picks", "choices"), [(2, 4), (3, 4), (2, 17), (1, 5), (4, 4)])
def test_distinct_rows_are_all_equally_likely(picks: int, choices: int) -> None:
    rows = Counter(map(tuple, distinct(9000, picks, choices, generator(11)).tolist()))
    every = [row for row in product(range(choices), repeat=picks) if len(set(row)) == picks]
    assert sum(rows[row] for row in every) == 9000
    assert_spread([rows[row] for row in every])


@settings(max_examples=40, deadline=None)
@given(picks=st.integers(1, 40), factor=st.floats(1.0, 30.0), count=st.integers(1, 20), seed=st.integers(0, 999))
def test_distinct_rows_never_repeat_an_entry(picks: int, factor: float, count: int, seed: int) -> None:
    choices = int(picks * factor)
    rows = distinct(count, picks, choices, generator(seed)).sort(dim=1).values.tolist()
    assert all(row[0] >= 0 and row[-1] < choices and all(a < b for a, b in pairwise(row)) for row in rows)
