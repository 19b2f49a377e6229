"""Scores by hand: strict and token accuracy, accuracy by depth, other lengths; overlap of test and training."""

import math
from collections.abc import Callable

import pytest
import torch

from paribus.errors import ConfigError, DataError
from paribus.testbeds.formal import dyck_strings
from paribus.testbeds.formal.overlap import overlap
from paribus.testbeds.formal.scoring import LengthScore, depth_accuracy, length_scores, score
from paribus.testbeds.formal.task import Batch, FormalTask
from paribus.testbeds.formal.tasks import (
    TASKS,
    AssociativeRecall,
    BoundedDyck,
    Equality,
    IndexLookup,
    NearestNeighbour,
    parse_task,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def right_logits(batch: Batch, task: FormalTask) -> torch.Tensor:
    """Logits of a model that knows the labels."""
    if task.kind == "bits":
        return 6.0 * batch["labels"] - 3.0
    return torch.nn.functional.one_hot(batch["labels"].clamp(min=0), task.outputs).float()


@pytest.mark.parametrize("name", TASKS)
def test_a_model_that_knows_is_right_and_its_opposite_wrong(name: str) -> None:
    task = parse_task(name)
    batch = task.sample(5, generator())
    logits = right_logits(batch, task)
    for sign, expected in ((1.0, 1.0), (-1.0, 0.0)):
        scores = score(sign * logits, batch, task)
        assert scores["accuracy"].tolist() == scores["token_accuracy"].tolist() == [expected] * 5


def test_one_wrong_query_of_four_costs_the_sequence_and_a_quarter_of_its_tokens() -> None:
    task = AssociativeRecall(length=16, pairs=4, vocabulary=32)
    batch = task.sample(2, generator())
    logits = right_logits(batch, task)
    query = int((batch["labels"][0] != -100).nonzero()[0])
    logits[0, query] = -logits[0, query]
    logits[1, 0] = -logits[1, 0]  # not scored
    scores = score(logits, batch, task)
    assert scores["accuracy"].tolist() == [0.0, 1.0]
    assert scores["token_accuracy"].tolist() == [0.75, 1.0]


def test_one_wrong_bit_costs_its_position() -> None:
    task = BoundedDyck(length=8)
    batch = task.sample(2, generator())
    logits = right_logits(batch, task)
    logits[1, 3, 2] *= -1
    scores = score(logits, batch, task)
    assert scores["accuracy"].tolist() == [1.0, 0.0]
    assert scores["token_accuracy"].tolist() == [1.0, 0.875]


def test_masked_positions_do_not_count() -> None:
    task = BoundedDyck(length=4)
    batch = task.sample(1, generator())
    logits = right_logits(batch, task)
    logits[0, 2] *= -1
    batch["label_mask"][0, 2] = False
    assert score(logits, batch, task)["accuracy"].tolist() == [1.0]
    assert score(logits, batch, task)["token_accuracy"].tolist() == [1.0]


@pytest.mark.parametrize("task", [IndexLookup(length=3), BoundedDyck(length=4)], ids=lambda task: task.name)
def test_logits_that_are_not_numbers_are_wrong(task: FormalTask) -> None:
    batch = task.sample(50, generator())
    nothing = torch.full((50, task.tokens, task.outputs), math.nan)
    assert score(nothing, batch, task)["token_accuracy"].sum() == 0


def test_logits_of_another_shape_are_refused() -> None:
    task = IndexLookup(length=3, symbols=4)
    batch = task.sample(2, generator())
    with pytest.raises(DataError, match=r"needs logits of shape \(2, 4, 4\), got \(2, 4, 5\)"):
        score(torch.zeros(2, 4, 5), batch, task)


def test_accuracy_by_depth_finds_a_model_that_fails_at_one_depth_only() -> None:
    task = BoundedDyck(length=30, depth=3)
    batch = task.sample(20, generator())
    heights = dyck_strings.heights(batch["input_ids"], 2)
    logits = right_logits(batch, task) * torch.where(heights == 2, -1.0, 1.0)[..., None]
    table = depth_accuracy(logits, batch, task)
    assert table["accuracy"].tolist() == [1.0, 1.0, 0.0, 1.0]
    assert table["count"].tolist() == [int((heights == depth).sum()) for depth in range(4)]


def test_a_depth_that_does_not_occur_has_no_accuracy() -> None:
    task = BoundedDyck(length=2, depth=2)
    batch = task.sample(3, generator())
    table = depth_accuracy(right_logits(batch, task), batch, task)
    assert table["count"].tolist() == [3, 3, 0] and math.isnan(table["accuracy"][2])


def test_accuracy_by_depth_needs_next_characters() -> None:
    task = BoundedDyck(length=4, readout="membership")
    with pytest.raises(DataError, match="needs readout=next"):
        depth_accuracy(torch.zeros(1, 4, 2), task.sample(1, generator()), task)


def looks_back(reach: int, task: IndexLookup) -> Callable[[Batch], torch.Tensor]:
    """A lookup that knows the first ``reach`` positions and says symbol 0 for the others."""

    def predict(batch: Batch) -> torch.Tensor:
        tokens = batch["input_ids"]
        place = tokens[:, -1] - task.symbols
        symbol = tokens.gather(1, place[:, None])[:, 0] * (place < reach)
        logits = torch.zeros(*tokens.shape, task.symbols)
        logits[torch.arange(len(tokens)), -1, symbol] = 1.0
        return logits

    return predict


def test_length_scores_show_where_a_short_memory_ends() -> None:
    task = IndexLookup(length=4, symbols=8, max_length=16)
    rows = length_scores(looks_back(4, task), task, [2, 4, 8, 16], count=4000, batch_size=300)
    assert [row.size for row in rows] == [2, 4, 8, 16] and all(row.count == 4000 for row in rows)
    assert [row.accuracy for row in rows[:2]] == [1.0, 1.0]
    for row in rows[2:]:
        assert row.accuracy == row.token_accuracy
        assert row.accuracy == pytest.approx(4 / row.size + (1 - 4 / row.size) / 8, abs=0.03)


def test_length_scores_ask_everybody_the_same_and_refuse_sizes_that_do_not_exist() -> None:
    task, seen = Equality(bits=3), []

    def predict(batch: Batch) -> torch.Tensor:
        seen.append(batch["input_ids"])
        return torch.zeros(*batch["input_ids"].shape, 2)

    first = length_scores(predict, task, [3], count=10, batch_size=4, seed=1)
    again = length_scores(predict, task, [3], count=10, batch_size=4, seed=1)
    assert first == again and [len(batch) for batch in seen] == [4, 4, 2] * 2
    assert all(torch.equal(a, b) for a, b in zip(seen[:3], seen[3:], strict=True))
    assert isinstance(first[0], LengthScore)
    with pytest.raises(ConfigError, match="bits: "):
        length_scores(predict, task, [0])


# --- overlap ---


def test_overlap_is_the_share_of_test_rows_met_in_training() -> None:
    rows = torch.tensor([[0, 1], [2, 3], [0, 1], [4, 5]])
    training = [{"input_ids": torch.tensor([[2, 3], [9, 9]])}, {"input_ids": torch.tensor([[4, 5]])}]
    found = overlap({"input_ids": rows}, training)
    assert (found.repeated, found.total, found.seen, found.share) == (2, 4, 3, 0.5)
    assert overlap({"input_ids": rows}, []).share == 0.0
    assert overlap({"input_ids": rows}, [{"input_ids": rows}]).share == 1.0


def test_overlap_tells_rows_apart_that_share_all_but_one_token() -> None:
    batch = Equality(bits=12).sample(200, generator(1))
    changed = batch["input_ids"].clone()
    changed[:, -1] += 1
    assert overlap(batch, [{"input_ids": changed}]).repeated == 0


def test_overlap_of_vectors_and_of_a_small_space() -> None:
    prompts = NearestNeighbour(points=2, dimension=1)
    test, training = prompts.sample(50, generator(1)), [prompts.sample(2000, generator(2))]
    assert overlap(test, training).share == 1.0  # 24 prompts in all
    assert overlap(IndexLookup().sample(50, generator(1)), [IndexLookup().sample(2000, generator(2))]).share == 0.0


def test_equality_of_four_bits_has_the_eighty_sequences_its_docstring_counts() -> None:
    assert len(Equality(bits=4).sample(4000, generator(3))["input_ids"].unique(dim=0)) == 80
