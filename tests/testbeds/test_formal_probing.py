"""Probing a formal task: what is compared is equal but for what is named, and the facts beside it are right."""

import math
from pathlib import Path

import pytest
import torch

from paribus.errors import ConfigError
from paribus.models.sequence_shape import GROWING, MIXERS
from paribus.testbeds.fitting import logits_on
from paribus.testbeds.formal.constructions.catalogue import constructions_for
from paribus.testbeds.formal.probing import (
    FormalProbe,
    StateFacts,
    _verified,
    config_for,
    probe,
    task_at,
    verify_constructions,
)
from paribus.testbeds.formal.scoring import length_scores
from paribus.testbeds.formal.tasks import TASKS, parse_task
from paribus.training.results import StepReport
from paribus.training.settings import TrainSettings

TASK = parse_task("index-lookup", length=4, symbols=3, max_length=6)
SMALL = {"hidden_size": 8, "num_attention_heads": 2}


def small_probe(mixer: str = "attention", **changes) -> FormalProbe:
    given = {
        "settings": TrainSettings(steps=2, batch_size=4, learning_rate=1.0),
        "rates": [1e-2, 1e-3],
        "seeds": [3, 4],
        "sizes": [6, 4, 2],
        "sequences": 16,
    }
    return FormalProbe(TASK, config_for(TASK, [6], mixer=mixer, **SMALL), **{**given, **changes})


def test_the_vocabulary_reaches_over_all_test_sizes() -> None:
    assert task_at("index-lookup", 4, [9, 2]).vocab_size == 16 + 9
    assert task_at("index-lookup", 4, [9], max_length=12).vocab_size == 16 + 12
    with pytest.raises(ConfigError, match="max_length"):
        task_at("index-lookup", 4, [9], max_length=6).at(9)


@pytest.mark.parametrize("name", TASKS)
def test_size_means_the_same_for_every_family(name: str) -> None:
    assert task_at(name, 16, []).size == 16
    assert task_at(name, None, []).size == parse_task(name).size


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_facts_of_every_mixer(mixer: str) -> None:
    facts = StateFacts.of(TASK, config_for(TASK, [6], mixer=mixer, **SMALL).shape)
    assert facts.bits == 32 * facts.numbers and facts.needed == math.ceil(4 * math.log2(3))
    assert facts.binds == (mixer not in GROWING) and (facts.ceiling is None) == (mixer in GROWING)


def test_tasks_without_a_ceiling_have_none() -> None:
    task = parse_task("equality", bits=4)
    assert StateFacts.of(task, config_for(task, [], mixer="lstm", **SMALL).shape).ceiling is None


def test_a_task_without_a_closed_form_has_no_bound() -> None:
    task = parse_task("nearest-neighbour", points=4, dimension=3, margin=1.5)
    assert StateFacts.of(task, config_for(task, [], mixer="gru", **SMALL).shape).needed is None


def test_positions_reach_the_longest_test() -> None:
    assert config_for(TASK, [6, 2], mixer="attention", **SMALL).max_positions == 7


def test_a_probe_has_a_row_a_seed_and_size_and_repeats_itself() -> None:
    told = []
    result = probe(small_probe(), on_step=lambda run, report: told.append((run, report.step)))
    assert told == [(run, step) for run in range(3) for step in (1, 2)]
    assert [(row.seed, row.size) for row in result.rows] == [(seed, size) for seed in (3, 4) for size in (4, 6, 2)]
    assert {row.learning_rate for row in result.rows} == {result.learning_rate} and result.edge
    assert set(result.models) == {3, 4} and result.rows == probe(small_probe()).rows


@pytest.mark.parametrize("stopped_in", [(1, 3), (2, 2)])
def test_a_stopped_probe_goes_on_to_the_same_rows(tmp_path: Path, stopped_in: tuple[int, int]) -> None:
    settings = TrainSettings(steps=4, batch_size=4, learning_rate=1.0, checkpoint_every=1)
    what = small_probe(settings=settings, checkpoints=tmp_path / "checkpoints")

    def stopping(run: int, report: StepReport) -> None:
        if (run, report.step) == stopped_in:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probe(what, on_step=stopping)
    told = []
    resumed = probe(what, on_step=lambda run, report: told.append((run, report.step)))
    assert told[0] == stopped_in
    assert resumed.rows == probe(small_probe(settings=settings)).rows


def test_one_rate_has_no_edge() -> None:
    assert not probe(small_probe(rates=[1e-3], seeds=[0])).edge


def test_rows_say_what_the_models_do() -> None:
    result = probe(small_probe())
    for seed, model in result.models.items():
        scores = length_scores(lambda batch, m=model: logits_on(m, batch), TASK, [4, 6, 2], count=16, seed=10**6 + 1)
        assert [row.accuracy for row in result.rows if row.seed == seed] == [score.accuracy for score in scores]


def test_a_seed_does_not_depend_on_the_others() -> None:
    alone = probe(small_probe(rates=[1e-2], seeds=[4])).models[4]
    among = probe(small_probe(rates=[1e-2], seeds=[3, 4])).models[4]
    assert all(torch.equal(p, q) for p, q in zip(alone.parameters(), among.parameters(), strict=True))


def test_a_seed_that_diverges_is_a_row_without_success(monkeypatch: pytest.MonkeyPatch) -> None:
    from paribus.testbeds import fitting
    from paribus.training.results import Divergence

    real = fitting.fit_sampled

    def breaking(model, sampler, name, objective, settings, **options):
        if settings.seed == 4:
            raise Divergence("the loss is nan")
        return real(model, sampler, name, objective, settings, **options)

    monkeypatch.setattr(fitting, "fit_sampled", breaking)
    rows = [row for row in probe(small_probe()).rows if row.seed == 4]
    assert all(row.diverged and not row.learned and row.accuracy == 0.0 and row.steps == 0 for row in rows)
    assert len(rows) == 3


def test_a_construction_passed_through_the_tests_counts_as_learned() -> None:
    from paribus.testbeds.formal.constructions.lookup import index_lookup
    from paribus.testbeds.formal.probing import _rows
    from paribus.training.compute import FP32
    from paribus.training.results import TrainResult

    perfect = TrainResult(index_lookup(TASK).model, FP32, steps=7)
    rows = _rows(small_probe(), 0, 0.1, perfect)
    assert all(row.learned and row.accuracy == row.token_accuracy == 1.0 and row.steps == 7 for row in rows)


@pytest.mark.parametrize(
    ("name", "settings", "proved"),
    [
        ("index-lookup", {"length": 40}, "every input"),
        ("equality", {"bits": 30}, "every input"),
        ("associative-recall", {"length": 16}, "every input"),
        ("bounded-dyck", {"depth": 3, "length": 40}, "every length"),
        ("bounded-dyck", {"depth": 3, "length": 40, "readout": "membership"}, "every length"),
        ("bounded-dyck", {"depth": 12, "length": 40}, ""),
    ],
)
def test_more_is_proved_than_samples_show(name: str, settings: dict, proved: str) -> None:
    found = verify_constructions(parse_task(name, **settings), samples=20)
    assert [row.proved for row in found] == [proved] * len(found) and len(found) >= 1
    assert not any(row.exhaustive or row.errors for row in found)


@pytest.mark.parametrize("name", ["index-lookup", "bounded-dyck"])
def test_nothing_is_proved_of_spoilt_weights(name: str) -> None:
    built = constructions_for(parse_task(name, length=8))[-1]
    assert _verified(built, 20).proved
    with torch.no_grad():
        next(built.model.model.layers[0].mixer.parameters()).zero_()
    assert not _verified(built, 20).proved


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_are_given_each_once(seeds: list[int]) -> None:
    with pytest.raises(ConfigError, match="give one or more, each once"):
        small_probe(seeds=seeds)
