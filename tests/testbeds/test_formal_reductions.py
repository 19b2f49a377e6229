"""Reductions keep the answer, checked on every small input against the definition of the target task."""

from itertools import product

import pytest
import torch

from paribus.errors import ConfigError
from paribus.testbeds.formal import dyck_strings
from paribus.testbeds.formal.reductions import equality_to_dyck, lookup_to_neighbour, lookup_to_recall
from paribus.testbeds.formal.task import Batch, last_label
from paribus.testbeds.formal.tasks import BoundedDyck, Equality, IndexLookup


def every_lookup(task: IndexLookup) -> Batch:
    """Every input of the task with its label by definition."""
    rows = [
        (*symbols, task.symbols + place)
        for symbols in product(range(task.symbols), repeat=task.length) for place in range(task.length)
    ]  # fmt: skip
    labels = torch.tensor([row[row[-1] - task.symbols] for row in rows])
    return {"input_ids": torch.tensor(rows), "labels": last_label(labels, task.tokens)}


@pytest.mark.parametrize("bits", range(1, 7))
def test_equality_becomes_dyck_on_every_pair_of_strings(bits: int) -> None:
    strings = list(product((0, 1), repeat=bits))
    rows = torch.tensor([(*x, *y, 2) for x in strings for y in strings])
    labels = torch.tensor([int(x == y) for x in strings for y in strings])
    target, batch = equality_to_dyck(
        Equality(bits=bits), {"input_ids": rows, "labels": last_label(labels, 2 * bits + 1)}
    )
    assert target == BoundedDyck(length=2 * bits, pairs=2, depth=1, readout="membership")
    for depth in (1, 2):  # a string of depth 1 is in the deeper language too
        assert dyck_strings.is_member(batch["input_ids"], 2, depth).long().tolist() == labels.tolist()
    assert batch["labels"][:, -1].tolist() == labels.tolist() and (batch["labels"][:, :-1] == -100).all()


@pytest.mark.parametrize("length", range(1, 7))
def test_a_lookup_becomes_an_unambiguous_nearest_neighbour(length: int) -> None:
    task = IndexLookup(length=length, symbols=2, max_length=9)
    source = every_lookup(task)
    target, batch = lookup_to_neighbour(task, source)
    vectors = batch["inputs_embeds"]
    assert vectors.shape == (len(source["labels"]), target.tokens, target.input_size)
    for row, labels, asked in zip(vectors, batch["labels"].tolist(), source["labels"][:, -1].tolist(), strict=True):
        products = (row[0:-1:2, :-1] @ row[-1, :-1]).tolist()
        ranked = sorted(products, reverse=True)
        assert ranked[0] == pytest.approx(1.0) and all(
            ranked[0] - other > 1.9 / target.dimension for other in ranked[1:]
        )
        answer = int(row[2 * products.index(max(products)) + 1, -1] > 0)
        assert labels == [-100] * (target.tokens - 1) + [asked] and answer == asked


@pytest.mark.parametrize(("length", "symbols"), [(1, 2), (3, 2), (2, 5), (5, 3), (3, 6)])
def test_a_lookup_becomes_recall_on_every_input(length: int, symbols: int) -> None:
    task = IndexLookup(length=length, symbols=symbols, max_length=length + 1)
    source = every_lookup(task)
    target, batch = lookup_to_recall(task, source)
    assert target.vocabulary > batch["input_ids"].max() and batch["input_ids"].shape[1] == target.tokens
    for tokens, labels, asked in zip(
        batch["input_ids"].tolist(), batch["labels"].tolist(), source["labels"][:, -1].tolist(), strict=True
    ):
        context = tokens[: 2 * length]
        memory = dict(zip(context[::2], context[1::2], strict=True))
        assert len(memory) == length and all(0 < key < target.values <= value for key, value in memory.items())
        (query,) = (place for place, label in enumerate(labels) if label != -100)
        assert labels[query] == memory[tokens[query]] == target.values + asked
        assert query >= 2 * length and query % 2 == 0


def test_sampled_batches_reduce_as_listed_ones_do() -> None:
    task = IndexLookup(length=30, symbols=2)
    source = task.sample(50, torch.Generator().manual_seed(0))
    target, batch = lookup_to_neighbour(task, source)
    similarity = batch["inputs_embeds"][:, 0:-1:2, :-1] @ batch["inputs_embeds"][:, -1, :-1, None]
    nearest = similarity[..., 0].argmax(dim=1)
    answers = batch["inputs_embeds"][torch.arange(50), 2 * nearest + 1, -1] > 0
    assert answers.long().tolist() == source["labels"][:, -1].tolist()
    assert target.dimension == 5


def test_only_binary_symbols_can_be_labels_of_neighbours() -> None:
    task = IndexLookup(length=4, symbols=3)
    with pytest.raises(ConfigError, match="has 3 symbols, but a neighbour's label is binary; take symbols=2"):
        lookup_to_neighbour(task, every_lookup(task))
