"""Every input of a task: complete, without repetition, labelled as plain Python and the task's own sampler label it."""

import itertools
import math

import pytest
import torch

from paribus.errors import ConfigError
from paribus.testbeds.formal.constructions.inputs import every_input, input_count
from paribus.testbeds.formal.tasks import (
    AssociativeRecall,
    BoundedDyck,
    Disjointness,
    Equality,
    FormalTask,
    IndexLookup,
    NearestNeighbour,
)

SMALL: list[FormalTask] = [
    IndexLookup(length=4, symbols=3),
    IndexLookup(length=3, symbols=2, max_length=5),
    Equality(bits=3),
    Disjointness(bits=3),
    BoundedDyck(pairs=2, depth=2, length=4, readout="next"),
    BoundedDyck(pairs=2, depth=1, length=4, readout="membership"),
    NearestNeighbour(dimension=2, points=2, ties="redrawn"),
    NearestNeighbour(dimension=2, points=2, ties="redrawn", margin=2.0),
    NearestNeighbour(dimension=3, points=2, ties="earliest"),
    AssociativeRecall(length=8, pairs=2, vocabulary=8, filler="zero"),
    AssociativeRecall(length=6, pairs=1, vocabulary=4, filler="random"),
]


def rows(batch: dict[str, torch.Tensor]) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    """(input, labels) of every sequence; labels of unscored positions count as one thing."""
    inputs = batch.get("inputs_embeds", batch.get("input_ids"))
    labels = batch["labels"]
    if "label_mask" in batch:
        labels = labels.masked_fill(~batch["label_mask"][..., None], -100)
    return [(tuple(x.flatten().tolist()), tuple(y.flatten().tolist())) for x, y in zip(inputs, labels, strict=True)]


def all_rows(task: FormalTask, chunk: int = 100) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    return [row for batch in every_input(task, chunk=chunk) for row in rows(batch)]


@pytest.mark.parametrize("task", SMALL, ids=lambda task: task.name)
def test_every_sample_is_among_the_inputs_with_the_same_labels(task: FormalTask) -> None:
    # Input and labels together: filler may repeat a key, so the same tokens can be scored at different places.
    known = set(all_rows(task))
    assert set(rows(task.sample(300, torch.Generator().manual_seed(0)))) <= known


@pytest.mark.parametrize("task", SMALL, ids=lambda task: task.name)
def test_inputs_do_not_repeat_and_do_not_depend_on_the_chunk(task: FormalTask) -> None:
    found = all_rows(task)
    assert len(set(found)) == len(found) <= input_count(task)
    assert found == all_rows(task, chunk=7)


def test_counts_in_closed_form() -> None:
    counts = {task.name: len(all_rows(task)) for task in SMALL}
    assert counts[SMALL[0].name] == 3**4 * 4
    assert counts[SMALL[1].name] == 2**3 * 3
    assert counts[SMALL[2].name] == counts[SMALL[3].name] == 4**3
    assert counts[SMALL[4].name] == counts[SMALL[5].name] == 4**4
    assert counts[SMALL[8].name] == 2 ** (3 * 3 + 2)
    # ordered choices without repetition of keys, values and slots
    assert counts[SMALL[9].name] == math.perm(3, 2) * math.perm(4, 2) * math.perm(2, 2)
    # key 1, two values, two slots, three free fillers
    assert counts[SMALL[10].name] == 1 * 2 * 2 * 4**3


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_pairwise_labels_by_hand(bits: int) -> None:
    for inputs, labels in all_rows(Equality(bits=bits)):
        assert labels[-1] == (inputs[:bits] == inputs[bits:-1])
    for inputs, labels in all_rows(Disjointness(bits=bits)):
        assert labels[-1] == (not any(x and y for x, y in zip(inputs[:bits], inputs[bits:-1], strict=True)))


@pytest.mark.parametrize(("pairs", "depth"), [(1, 2), (2, 1), (2, 2)])
def test_dyck_membership_by_rewriting(pairs: int, depth: int) -> None:
    """A string is a member iff erasing innermost pairs again and again leaves nothing, and it never gets too deep."""

    def member(string: tuple[int, ...]) -> bool:
        heights = itertools.accumulate(1 if token < pairs else -1 for token in string)
        left = list(string)
        while True:
            places = [i for i in range(len(left) - 1) if left[i] < pairs and left[i + 1] == left[i] + pairs]
            if not places:
                return not left and max(heights) <= depth
            del left[places[0] : places[0] + 2]

    found = all_rows(BoundedDyck(pairs=pairs, depth=depth, length=6, readout="membership"))
    assert {labels[-1] for _, labels in found} == {0, 1}
    for inputs, labels in found:
        assert labels[-1] == member(tuple(int(token) for token in inputs))


def test_next_characters_are_those_that_keep_a_prefix_extendable() -> None:
    """Against the prefixes of all members: a token is allowed iff some longer member goes on with it."""
    pairs, depth, length = 2, 2, 4
    members: set[tuple[int, ...]] = {()}
    for size in (2, 4, 6, 8):
        found = all_rows(BoundedDyck(pairs=pairs, depth=depth, length=size, readout="membership"))
        members |= {tuple(int(token) for token in inputs) for inputs, labels in found if labels[-1] == 1}
    prefixes = {member[:size] for member in members for size in range(len(member) + 1)}
    for batch in every_input(BoundedDyck(pairs=pairs, depth=depth, length=length)):
        for string, labels, mask in zip(batch["input_ids"], batch["labels"], batch["label_mask"], strict=True):
            for size in range(1, length + 1):
                prefix = tuple(string[:size].tolist())
                assert bool(mask[size - 1]) == (prefix in prefixes)
                if prefix in prefixes:
                    wanted = [(*prefix, token) in prefixes for token in range(2 * pairs)] + [prefix in members]
                    assert labels[size - 1].bool().tolist() == wanted


def test_nearest_neighbours_by_hand() -> None:
    for inputs, labels in all_rows(NearestNeighbour(dimension=2, points=2, ties="earliest")):
        tokens = [inputs[i : i + 3] for i in range(0, len(inputs), 3)]
        query = tokens[-1][:2]
        similarity = [round(sum(a * b for a, b in zip(tokens[i][:2], query, strict=True)), 6) for i in (0, 2)]
        nearest = 0 if similarity[0] >= similarity[1] else 2
        assert labels[-1] == (tokens[nearest + 1][2] > 0)


def test_tasks_without_an_end_are_refused() -> None:
    sphere = NearestNeighbour(space="sphere", margin=0.1)
    assert input_count(sphere) is None
    with pytest.raises(ConfigError, match="verify it on samples"):
        next(every_input(sphere))
