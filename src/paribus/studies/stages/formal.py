"""Stages that examine networks and hand-written constructions on formal tasks."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from pydantic import Field

from paribus.lab import Cost, stage, write_items
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.problems import FormalProblem
from paribus.studies.stages.rows import item_row, write_rows
from paribus.studies.stages.sequences import load_network
from paribus.testbeds.formal.tasks import AnyTask, BoundedDyck, IndexLookup
from paribus.testbeds.seeds import TEST_SEED

if TYPE_CHECKING:
    import torch

    from paribus.testbeds.formal.task import Batch

LENGTHS, DEPTHS, OVERLAP = "lengths.json", "depths.json", "overlap.json"
VERIFIED, PRECISION = "verified.jsonl", "precision.jsonl"

Predict = Callable[["Batch"], "torch.Tensor"]


class ExamineConfig(StageConfig):
    """A problem, under the name that its measures carry, and the sizes to test beside the training size.

    ``sequences``: tested at each size, the same ones for every network.
    """

    name: str
    problem: FormalProblem
    sizes: tuple[int, ...] = ()
    sequences: int = Field(default=512, gt=1)


class ConstructionConfig(ExamineConfig):
    """Which construction of the task to examine, and whether its first layer is silenced (the negative control)."""

    first_layer: bool = True


class OverlapConfig(StageConfig):
    """Training streams to search for the test sequences: ``steps`` batches of ``rows`` for each seed."""

    problem: FormalProblem
    seeds: tuple[int, ...]
    steps: int
    rows: int
    sequences: int


class VerifyConfig(StageConfig):
    """Constructions to check on every input where they can be counted, else on ``samples`` inputs.

    ``lookup``, at ``sizes``: where its certificates are computed in every number format; all constructions with
    attention use its codes of positions.
    """

    tasks: tuple[AnyTask, ...]
    lookup: IndexLookup
    sizes: tuple[int, ...]
    samples: int = 10_000


# ---- Trained networks ------------------------------------------------------------------------------------------------


@stage(version="1")
def examine_formal(config: ExamineConfig, model: Path, *, out: Path) -> Cost:
    """Accuracy on test sequences as ``items.jsonl``, on other sizes as ``lengths.json``, of bounded Dyck also by depth
    as ``depths.json``."""
    from paribus.testbeds.fitting import logits_on

    network = load_network(model)
    _examine(config, lambda batch: logits_on(network, batch), out)
    return Cost(parameters=sum(weight.numel() for weight in network.parameters()))


def _examine(config: ExamineConfig, predict: Predict, out: Path) -> None:
    from paribus.testbeds.formal.scoring import LengthScore, depth_accuracy, length_scores, score

    task = config.problem.task
    batch = test_batch(task, config.sequences)
    logits = predict(batch)
    scores = score(logits, batch, task)
    write_items(out, _items(config.name, scores))
    means = {name: float(values.mean()) for name, values in scores.items()}
    others = [size for size in config.sizes if size != task.size]
    rows = [
        LengthScore(size=task.size, count=config.sequences, **means),
        *length_scores(predict, task, others, count=config.sequences, seed=TEST_SEED),
    ]
    told = [vars(row) for row in sorted(rows, key=lambda row: row.size)]
    (out / LENGTHS).write_text(json.dumps(told, indent=1))
    if has_depths(task):
        found = depth_accuracy(logits, batch, task)["accuracy"].tolist()
        # No test sequence may reach the largest depths; JSON has no NaN.
        (out / DEPTHS).write_text(json.dumps({"accuracy": [None if value != value else value for value in found]}))


def has_depths(task: AnyTask) -> TypeGuard[BoundedDyck]:
    """Whether accuracy by depth is told: of the next characters of bounded Dyck."""
    return isinstance(task, BoundedDyck) and task.readout == "next"


def test_batch(task: Any, sequences: int) -> "Batch":
    """The test sequences of a task."""
    import torch

    return task.sample(sequences, torch.Generator().manual_seed(TEST_SEED))


def _items(name: str, scores: "dict[str, torch.Tensor]") -> Iterator[dict[str, Any]]:
    """A row for each test sequence and measure; sequences are independent, so each is its own cluster."""
    for measure, values in scores.items():
        for number, value in enumerate(values.tolist()):
            yield item_row(f"{name}_{measure}", f"{name}-{number}", value)


@stage(version="1")
def search_overlap(config: OverlapConfig, *, out: Path) -> None:
    """Count the test sequences that occur in the training streams; writes ``overlap.json``."""
    from paribus.data.sampled import SampledStream
    from paribus.testbeds.formal.overlap import overlap

    problem = config.problem
    streams = [SampledStream(problem.sampler(), config.rows, seed, problem.data_hash) for seed in config.seeds]
    drawn = (stream.batch(step) for stream in streams for step in range(config.steps))
    found = overlap(test_batch(problem.task, config.sequences), drawn)
    (out / OVERLAP).write_text(json.dumps({"repeated": found.repeated, "total": found.total, "seen": found.seen}))


# ---- Constructions ---------------------------------------------------------------------------------------------------


@stage(version="1")
def examine_construction(config: ConstructionConfig, *, out: Path) -> Cost:
    """The paper's construction of a task on the sequences that trained networks are examined on."""
    from paribus.testbeds.fitting import logits_on
    from paribus.testbeds.formal.constructions.catalogue import constructions_for

    networks: dict[int, Any] = {}

    def predict(batch: "Batch") -> "torch.Tensor":
        # Constructions are made for a size: their codes of positions are.
        tokens = next(iter(batch.values())).shape[1]
        if tokens not in networks:
            sizes = {config.problem.task.at(size).tokens: size for size in (config.problem.task.size, *config.sizes)}
            built = constructions_for(config.problem.task.at(sizes[tokens]))[0]
            networks[tokens] = built.model if config.first_layer else silenced(built.model)
        return logits_on(networks[tokens], batch)

    _examine(config, predict, out)
    first = next(iter(networks.values()))
    return Cost(parameters=sum(weight.numel() for weight in first.parameters()))


def silenced(network: Any) -> Any:
    """The network with a first layer that fetches nothing: all weights of its mixer are zero."""
    import torch

    with torch.no_grad():
        for weight in network.model.layers[0].mixer.parameters():
            weight.zero_()
    return network


@stage(version="3")
def verify(config: VerifyConfig, *, out: Path) -> None:
    """Check every construction, and find the number formats in which each way of lookup holds.

    Writes ``verified.jsonl`` and ``precision.jsonl``.
    """
    from paribus.testbeds.formal.constructions.codes import CODES
    from paribus.testbeds.formal.constructions.precision import precision_rows
    from paribus.testbeds.formal.probing import verify_constructions

    checked = [row for task in config.tasks for row in verify_constructions(task, samples=config.samples)]
    write_rows(out / VERIFIED, [row.model_dump() for row in checked])
    precise = [
        row
        for number, _ in enumerate(CODES)
        for row in precision_rows(partial(_exact, config.lookup, number), config.sizes)
    ]
    write_rows(out / PRECISION, precise)


def _exact(lookup: IndexLookup, number: int, size: int) -> Any:
    """Lookup by one of the codes at another size, in float64, so that other formats round it once."""
    import torch

    from paribus.testbeds.formal.constructions.catalogue import lookups

    return lookups(IndexLookup(length=size, symbols=lookup.symbols), dtype=torch.float64)[number]
