"""Examinations on formal tasks, constructions and overlap as stages, against scores computed one sequence at a time."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_folders import Bench, item_values, measures, read, small

from paribus.data.sampled import SampledStream
from paribus.studies.stages import formal
from paribus.studies.stages.formal import (
    DEPTHS,
    LENGTHS,
    OVERLAP,
    PRECISION,
    VERIFIED,
    ConstructionConfig,
    ExamineConfig,
    OverlapConfig,
    VerifyConfig,
    examine_construction,
    examine_formal,
    search_overlap,
    silenced,
    test_batch,
    verify,
)
from paribus.studies.stages.problems import FormalProblem
from paribus.studies.stages.rows import read_rows
from paribus.testbeds.formal.constructions.catalogue import constructions_for
from paribus.testbeds.formal.constructions.codes import CODES
from paribus.testbeds.formal.dyck_strings import heights
from paribus.testbeds.formal.tasks import (
    AnyTask,
    AssociativeRecall,
    BoundedDyck,
    Disjointness,
    Equality,
    IndexLookup,
)
from paribus.testbeds.seeds import TEST_SEED

test_batch.__test__ = False  # type: ignore[attr-defined]  # a function of the study, no test

LOOKUP = IndexLookup(length=5, symbols=4)
DYCK = BoundedDyck(length=10, pairs=2, depth=3)
RECALL = AssociativeRecall(length=12, pairs=3, vocabulary=12, power=1.0, filler="random")
TASKS: list[Any] = [LOOKUP, DYCK, RECALL, Equality(bits=4), Disjointness(bits=4)]
CONSTRUCTED: list[Any] = [
    IndexLookup(length=5, symbols=4, max_length=10),
    DYCK,
    AssociativeRecall(length=12, pairs=3, vocabulary=12, power=1.0, filler="zero"),
    Equality(bits=4),
    Disjointness(bits=4),
]
named = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.task)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def problem(task: AnyTask, *sizes: int) -> FormalProblem:
    return FormalProblem(task=task, longest=max(task.size, *sizes, 1))


def examination(task: AnyTask, *sizes: int, sequences: int = 40) -> ExamineConfig:
    return ExamineConfig(name="it", problem=problem(task, *sizes), sizes=sizes, sequences=sequences)


def saved(bench: Bench, config: ExamineConfig, mixer: str = "attention") -> Path:
    """An untrained network: right by chance here and there, which is what a score must tell."""
    folder = bench.root / f"model-{mixer}"
    small(mixer).build(config.problem, seed=0).save_pretrained(folder)
    return folder


def by_hand(model: Any, batch: dict[str, torch.Tensor]) -> tuple[list[float], list[float]]:
    """Accuracy and token accuracy of every sequence, one position at a time."""
    whole, tokens = [], []
    for row in range(len(batch["labels"])):
        inputs = {name: batch[name][row : row + 1] for name in ("input_ids", "inputs_embeds") if name in batch}
        logits, labels = model(**inputs).logits[0], batch["labels"][row]
        right = []
        for place in range(len(logits)):
            if labels.ndim == 1 and int(labels[place]) != -100:
                right.append(int(logits[place].argmax()) == int(labels[place]))
            if labels.ndim == 2 and bool(batch["label_mask"][row, place]):
                right.append(all((x > 0) == (y > 0.5) for x, y in zip(logits[place], labels[place], strict=True)))
        whole.append(float(all(right)))
        tokens.append(sum(right) / len(right))
    return whole, tokens


# ---- Networks --------------------------------------------------------------------------------------------------------


@named
def test_items_are_the_scores_of_single_sequences(bench: Bench, task: Any) -> None:
    config = examination(task)
    model = small().build(config.problem, seed=0).eval()
    folder = bench("examined", examine_formal, config, saved(bench, config))
    with torch.inference_mode():
        whole, tokens = by_hand(model, task.sample(40, torch.Generator().manual_seed(TEST_SEED)))
    assert item_values(folder, "it_accuracy") == whole
    assert item_values(folder, "it_token_accuracy") == pytest.approx(tokens)
    assert measures(folder) == {"it_accuracy", "it_token_accuracy"}
    assert bench.cost.parameters == sum(weight.numel() for weight in model.parameters())


def test_all_networks_are_asked_the_same_and_every_sequence_is_a_cluster(bench: Bench) -> None:
    config = examination(DYCK)
    tables = []
    for mixer in ("attention", "lstm"):
        folder = bench(mixer, examine_formal, config, saved(bench, config, mixer))
        tables.append([json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()])
    assert [row["item"] for row in tables[0]] == [row["item"] for row in tables[1]]
    assert all(row["cluster"] == row["item"] for row in tables[0])
    assert [row["value"] for row in tables[0]] != [row["value"] for row in tables[1]]


def test_lengths_have_the_training_size_once_with_the_items_own_mean(bench: Bench) -> None:
    config = examination(DYCK, 20, 10, 6)
    rows = read(bench("examined", examine_formal, config, saved(bench, config)) / LENGTHS)
    assert [row["size"] for row in rows] == [6, 10, 20]
    trained = item_values(bench.root / "examined", "it_token_accuracy")
    assert rows[1]["token_accuracy"] == pytest.approx(sum(trained) / len(trained))  # type: ignore[arg-type]
    assert [row["count"] for row in rows] == [40, 40, 40]


def test_other_lengths_are_scored_on_sequences_of_that_length(bench: Bench) -> None:
    config = examination(DYCK, 6, sequences=20)
    model = small().build(config.problem, seed=0).eval()
    rows = read(bench("examined", examine_formal, config, saved(bench, config)) / LENGTHS)
    with torch.inference_mode():
        _, tokens = by_hand(model, DYCK.at(6).sample(20, torch.Generator().manual_seed(TEST_SEED)))
    assert rows[0]["token_accuracy"] == pytest.approx(sum(tokens) / len(tokens))


def test_depths_are_those_after_each_token(bench: Bench) -> None:
    config = examination(DYCK, sequences=20)
    model = small().build(config.problem, seed=0).eval()
    found = read(bench("examined", examine_formal, config, saved(bench, config)) / DEPTHS)["accuracy"]
    batch = DYCK.sample(20, torch.Generator().manual_seed(TEST_SEED))
    with torch.inference_mode():
        right = ((model(input_ids=batch["input_ids"]).logits > 0) == (batch["labels"] > 0.5)).all(-1)
    depth = heights(batch["input_ids"], DYCK.pairs)
    assert found == pytest.approx([float(right[depth == level].float().mean()) for level in range(4)])
    others = examination(LOOKUP)
    assert not (bench("lookup", examine_formal, others, saved(bench, others, "lstm")) / DEPTHS).exists()


def test_a_depth_that_no_test_sequence_reaches_has_no_accuracy(bench: Bench) -> None:
    """Six openers in a row at length 12: one string in some thousands. The file stays JSON."""
    config = examination(BoundedDyck(length=12, pairs=2, depth=6), sequences=4)
    text = (bench("examined", examine_formal, config, saved(bench, config)) / DEPTHS).read_text()
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert len(found["accuracy"]) == 7 and found["accuracy"][-1] is None and found["accuracy"][0] is not None


# ---- Overlap ---------------------------------------------------------------------------------------------------------


def overlap_of(bench: Bench, name: str, **changes: Any) -> dict[str, int]:
    settings = {"problem": problem(LOOKUP), "seeds": (0, 1), "steps": 6, "rows": 4, "sequences": 30, **changes}
    found: dict[str, int] = read(bench(name, search_overlap, OverlapConfig(**settings)) / OVERLAP)
    return found


def test_every_planted_repeat_is_counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences of a space so large that none repeats by chance; three are copied from the runs' own streams."""
    task = IndexLookup(length=30, symbols=16)
    assert overlap_of(bench, "clean", problem=problem(task)) == {"repeated": 0, "total": 30, "seen": 2 * 6 * 4}
    given = problem(task)
    streams = [SampledStream(given.sampler(), 4, seed, given.model_dump_json()) for seed in (0, 1)]
    planted = test_batch(task, 30)
    for place, (seed, step, row) in enumerate([(0, 0, 3), (1, 5, 0), (1, 2, 2)]):
        planted["input_ids"][7 * place] = streams[seed].batch(step)["input_ids"][row]
    monkeypatch.setattr(formal, "test_batch", lambda *given: planted)
    assert overlap_of(bench, "planted", problem=given)["repeated"] == 3
    assert overlap_of(bench, "shorter", problem=given, steps=5)["repeated"] == 2
    assert overlap_of(bench, "one seed", problem=given, seeds=(0,))["repeated"] == 1


def test_small_spaces_repeat_themselves(bench: Bench) -> None:
    tiny = problem(IndexLookup(length=2, symbols=2))
    assert overlap_of(bench, "tiny", problem=tiny, steps=30) == {"repeated": 30, "total": 30, "seen": 240}


# ---- Constructions ---------------------------------------------------------------------------------------------------


def constructed(task: AnyTask, *sizes: int, **changes: Any) -> ConstructionConfig:
    return ConstructionConfig(name="it", problem=problem(task, *sizes), sizes=sizes, sequences=64, **changes)


@pytest.mark.parametrize("task", CONSTRUCTED, ids=lambda task: task.task)
def test_a_construction_is_right_throughout_and_at_other_sizes_too(bench: Bench, task: Any) -> None:
    larger = task.size * 2
    folder = bench("constructed", examine_construction, constructed(task, larger))
    assert set(item_values(folder, "it_accuracy")) == {1.0}
    assert [(row["size"], row["accuracy"]) for row in read(folder / LENGTHS)] == [(task.size, 1.0), (larger, 1.0)]
    size = constructions_for(task)[0].model
    assert bench.cost.parameters == sum(weight.numel() for weight in size.parameters())


@pytest.mark.parametrize("task", CONSTRUCTED[2:], ids=lambda task: task.task)
def test_without_its_first_layer_it_is_wrong(bench: Bench, task: Any) -> None:
    folder = bench("silenced", examine_construction, constructed(task, first_layer=False))
    right = item_values(folder, "it_accuracy")
    assert sum(right) / len(right) < 0.75  # type: ignore[arg-type]


def test_silencing_touches_the_first_mixer_alone() -> None:
    whole, other = (constructions_for(Equality(bits=3))[0].model for _ in range(2))
    whole, without = whole.state_dict(), silenced(other).state_dict()
    for name, weight in without.items():
        inside = name.startswith("model.layers.0.mixer.")
        assert torch.equal(weight, torch.zeros_like(weight) if inside else whole[name])
    assert any(whole[name].any() for name in whole if name.startswith("model.layers.0.mixer."))


def test_constructions_are_checked_on_every_input_and_certified_in_every_format(bench: Bench) -> None:
    tasks = (IndexLookup(length=4, symbols=2), BoundedDyck(length=6, pairs=1, depth=2), Equality(bits=3))
    config = VerifyConfig(tasks=tasks, lookup=LOOKUP, sizes=(4, 64), samples=50)
    folder = bench("verified", verify, config)
    rows = read_rows(folder / VERIFIED)
    assert {row["task"] for row in rows} == {task.name for task in tasks}
    assert all(row["errors"] == 0 and row["exhaustive"] and row["checked"] > 0 for row in rows)
    lookup = next(row for row in rows if row["task"] == tasks[0].name)
    assert lookup["checked"] == 2**4 * 4
    precise = read_rows(folder / PRECISION)
    assert len(precise) == len(CODES) * 2 * 4
    assert {row["dtype"] for row in precise} == {"float64", "float32", "bfloat16", "float16"}
    assert {row["size"] for row in precise} == {4, 64}
    broken = [row for row in precise if not row["holds"]]
    assert {(row["size"], row["dtype"]) for row in broken} == {(64, "bfloat16"), (64, "float16")}
    assert all("quadratic" in row["construction"] for row in broken)
