"""What every formal task promises: shapes, exact repetition by seed, one vocabulary at all lengths, clear refusals."""

import subprocess
import sys
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from paribus.errors import ConfigError
from paribus.testbeds.formal.tasks import (
    TASKS,
    AnyTask,
    AssociativeRecall,
    BoundedDyck,
    Disjointness,
    Equality,
    FormalTask,
    IndexLookup,
    NearestNeighbour,
    mixed_sizes,
    parse_task,
)

EXAMPLES: list[FormalTask] = [
    IndexLookup(length=7, symbols=5),
    IndexLookup(length=1, symbols=2, max_length=9),
    BoundedDyck(length=12, pairs=3, depth=2),
    BoundedDyck(length=2, pairs=2, depth=1),
    BoundedDyck(length=10, pairs=2, depth=3, readout="membership"),
    Equality(bits=5),
    Disjointness(bits=1),
    NearestNeighbour(points=5, dimension=4),
    NearestNeighbour(points=3, dimension=3, space="sphere", margin=0.1),
    NearestNeighbour(points=6, dimension=2, ties="earliest"),
    AssociativeRecall(length=20, pairs=4, vocabulary=16),
    AssociativeRecall(length=16, pairs=4, vocabulary=256, filler="zero"),
]
every_task = pytest.mark.parametrize("task", EXAMPLES, ids=lambda task: task.name)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@every_task
@pytest.mark.parametrize("count", [1, 9])
def test_a_batch_has_the_stated_shapes_and_types(task: FormalTask, count: int) -> None:
    batch = task.sample(count, generator())
    if task.input_size:
        assert task.vocab_size == 0
        assert batch["inputs_embeds"].shape == (count, task.tokens, task.input_size)
        assert batch["inputs_embeds"].dtype == torch.float32
    else:
        assert batch["input_ids"].shape == (count, task.tokens)
        assert batch["input_ids"].dtype == torch.int64
        assert batch["input_ids"].min() >= 0 and batch["input_ids"].max() < task.vocab_size
    if task.kind == "bits":
        assert batch["labels"].shape == (count, task.tokens, task.outputs)
        assert batch["labels"].dtype == torch.float32 and set(batch["labels"].unique().tolist()) <= {0.0, 1.0}
        assert batch["label_mask"].shape == (count, task.tokens) and batch["label_mask"].dtype == torch.bool
    else:
        scored = batch["labels"] != -100
        assert batch["labels"].shape == (count, task.tokens) and batch["labels"].dtype == torch.int64
        assert scored.any(dim=1).all()
        assert ((batch["labels"][scored] >= 0) & (batch["labels"][scored] < task.outputs)).all()


@every_task
def test_the_seed_alone_decides_the_batch(task: FormalTask) -> None:
    torch.manual_seed(1)
    first = task.sample(40, generator(3))
    torch.manual_seed(2)
    again, other = task.sample(40, generator(3)), task.sample(40, generator(4))
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@every_task
def test_sampling_leaves_the_global_generator_alone(task: FormalTask) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    task.sample(3, generator())
    assert torch.equal(before, torch.get_rng_state())


@every_task
def test_settings_survive_json_and_the_name_tells_them_apart(task: FormalTask) -> None:
    stored = task.model_dump_json()
    assert type(task).model_validate_json(stored) == task
    assert [other.name for other in EXAMPLES].count(task.name) == 1


@every_task
def test_any_task_is_told_apart_by_its_discriminator(task: FormalTask) -> None:
    assert TypeAdapter(AnyTask).validate_python(task.model_dump()) == task


def test_any_task_covers_the_registry() -> None:
    assert set(TypeAdapter(AnyTask).json_schema()["discriminator"]["mapping"]) == set(TASKS)


@pytest.mark.parametrize(
    ("task", "sizes"),
    [
        (IndexLookup(length=5, max_length=12), (1, 5, 12)),
        (BoundedDyck(length=12), (2, 40)),
        (BoundedDyck(length=12, readout="membership"), (2, 40)),
        (Equality(bits=4), (1, 9)),
        (Disjointness(bits=4), (1, 9)),
        (NearestNeighbour(points=4, dimension=6), (1, 20)),
        (AssociativeRecall(length=16, pairs=4, vocabulary=64), (16, 40)),
    ],
    ids=lambda value: value.name if isinstance(value, FormalTask) else "",
)
def test_at_another_size_only_the_number_of_tokens_changes(task: FormalTask, sizes: tuple[int, ...]) -> None:
    for size in sizes:
        other = task.at(size)
        assert other.size == size and type(other) is type(task)
        assert (other.vocab_size, other.input_size, other.outputs) == (task.vocab_size, task.input_size, task.outputs)
        batch = other.sample(2, generator())
        assert batch["labels"].shape[1] == other.tokens


def test_a_lookup_keeps_its_index_tokens_when_it_gets_shorter() -> None:
    short = IndexLookup(length=20, symbols=4).at(3)
    assert short.vocab_size == 24
    assert short.at(20).sample(1, generator())["input_ids"].shape == (1, 21)


def test_a_lookup_refuses_positions_that_have_no_token() -> None:
    with pytest.raises(ConfigError, match=r"length 21 needs index tokens.*max_length 20.*larger max_length"):
        IndexLookup(length=20).at(21)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("lookup", {}, "no formal task 'lookup'; take one of index-lookup, bounded-dyck"),
        ("index-lookup", {"length": 0}, r"length: .*greater than or equal to 1 \(got 0\)"),
        ("index-lookup", {"size": 3}, r"size: Extra inputs.*Its fields: length, symbols, max_length"),
        ("bounded-dyck", {"length": 7}, r"length: .*multiple of 2 \(got 7\)"),
        ("bounded-dyck", {"readout": "depth"}, r"readout: .*'next' or 'membership'"),
        ("nearest-neighbour", {"margin": 0.5, "ties": "earliest"}, "margin 0.5 is kept by redrawing"),
        ("associative-recall", {"length": 12, "pairs": 4}, "at least 16, not 12"),
        ("associative-recall", {"vocabulary": 8, "length": 64}, r"3 keys, fewer than 4 pairs.*at least 10"),
    ],
)
def test_wrong_settings_are_named_with_their_value(name: str, fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_task(name, **fields)


def test_every_task_can_be_made_by_its_name_alone_and_from_strings() -> None:
    for name, family in TASKS.items():
        assert isinstance(parse_task(name), family)
    assert parse_task("index-lookup", length="9") == IndexLookup(length=9)


def test_tasks_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Equality(bits=4).bits = 5  # type: ignore[misc]


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="asked for 0 sequences"):
        Equality().sample(0, generator())


def test_a_generator_of_another_device_is_refused() -> None:
    class Elsewhere:
        device = torch.device("meta")

    with pytest.raises(ConfigError, match=r"generator on meta.*torch.Generator\(\)"):
        Equality().sample(1, Elsewhere())  # type: ignore[arg-type]


def test_mixed_sizes_draw_every_size_alike_and_repeat_by_seed() -> None:
    sample, source = mixed_sizes(IndexLookup(length=3, max_length=8), [2, 5, 8]), generator(6)
    lengths = Counter(sample(2, source)["input_ids"].shape[1] - 1 for _ in range(600))
    assert set(lengths) == {2, 5, 8} and min(lengths.values()) > 150
    assert torch.equal(sample(4, generator(7))["input_ids"], sample(4, generator(7))["input_ids"])


@pytest.mark.parametrize(("sizes", "message"), [([], "no sizes to mix"), ([2, 9], "max_length 8")])
def test_mixed_sizes_must_exist(sizes: list[int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mixed_sizes(IndexLookup(length=8), sizes)


def test_tasks_and_bounds_are_known_without_torch() -> None:
    code = (
        "import sys; from paribus.testbeds.formal import bounds, row_counts, tasks; "
        "bounds.one_layer_width(tasks.Equality(), heads=1, bits_per_number=16); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@every_task
def test_chance_is_what_the_best_blind_guess_scores(task: FormalTask) -> None:
    """Blind: the most frequent answer of each position, found on one half of many sequences and scored on the other."""
    batch = task.sample(6000, generator(8))
    labels = batch["labels"] if task.kind == "bits" else batch["labels"][..., None]
    hits = total = 0
    if isinstance(
        task, AssociativeRecall
    ):  # few sequences score a given position: pool them, values are alike anywhere
        values = batch["labels"][batch["labels"] != -100]
        hits, total = int((values == values.mode().values).sum()), len(values)
    else:
        for position in range(task.tokens):
            seen, asked = labels[:3000, position], labels[3000:, position]
            if (asked == -100).all():
                continue
            answers, counts = seen.unique(dim=0, return_counts=True)
            hits += int((asked == answers[counts.argmax()]).all(dim=1).sum())
            total += len(asked)
    assert abs(hits / total - task.chance) < 4 * (0.25 / 3000) ** 0.5


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(1, 9),
    symbols=st.integers(2, 6),
    spare=st.integers(0, 4),
    count=st.integers(1, 5),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_any_lookup_answers_what_stands_at_the_index(
    length: int, symbols: int, spare: int, count: int, seed: int
) -> None:
    task = IndexLookup(length=length, symbols=symbols, max_length=length + spare)
    batch = task.sample(count, generator(seed))
    for tokens, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
        place = tokens[-1] - symbols
        assert 0 <= place < length and all(token < symbols for token in tokens[:-1])
        assert labels == [-100] * length + [tokens[place]]
