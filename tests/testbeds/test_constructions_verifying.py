"""What a verification states: counts, gaps, failure bounds; precision tables; the catalogue."""

import json
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import ConfigError
from paribus.testbeds.formal.constructions.catalogue import constructions_for, lookups
from paribus.testbeds.formal.constructions.construction import Construction, certify
from paribus.testbeds.formal.constructions.lookup import index_lookup
from paribus.testbeds.formal.constructions.neighbour import nearest_neighbour
from paribus.testbeds.formal.constructions.pairwise import equality
from paribus.testbeds.formal.constructions.precision import precision_rows
from paribus.testbeds.formal.constructions.verifying import failure_bound, gaps, verify
from paribus.testbeds.formal.dyck import BoundedDyck
from paribus.testbeds.formal.index_lookup import IndexLookup
from paribus.testbeds.formal.neighbour import NearestNeighbour
from paribus.testbeds.formal.pairwise import Disjointness, Equality
from paribus.testbeds.formal.recall import AssociativeRecall
from paribus.testbeds.formal.task import FormalTask


def test_without_an_error_the_bound_is_the_rule_of_three() -> None:
    for checked in (10, 300, 10_000):
        assert failure_bound(0, checked) == pytest.approx(1 - 0.05 ** (1 / checked))
    assert failure_bound(0, 10_000) == pytest.approx(3 / 10_000, rel=0.002)


@given(st.integers(1, 60), st.data())
@settings(max_examples=60, deadline=None)
def test_the_bound_is_that_of_clopper_and_pearson(checked: int, data: st.DataObject) -> None:
    """At the bound, as few errors as were seen have a chance of exactly 5%."""
    errors = data.draw(st.integers(0, checked))
    bound = failure_bound(errors, checked)
    if errors == checked:
        assert bound == 1
        return
    chances = [math.comb(checked, e) * bound**e * (1 - bound) ** (checked - e) for e in range(errors + 1)]
    assert sum(chances) == pytest.approx(0.05, abs=1e-6)


def test_gaps_by_hand() -> None:
    task = IndexLookup(length=1, symbols=3)
    logits = torch.tensor([[[9.0, 9, 9], [1, 4, 2]], [[0, 0, 0], [1, 4, 2]], [[0, 0, 0], [1.0, math.nan, 2]]])
    labels = torch.tensor([[-100, 1], [-100, 2], [-100, 1]])
    found = gaps(logits, {"labels": labels}, task)
    assert found[:2].tolist() == [2, -2]
    assert found[2].isnan()
    dyck = BoundedDyck(pairs=1, depth=1, length=2)
    bits = {"labels": torch.tensor([[[0.0, 1, 0], [1, 0, 1]]]), "label_mask": torch.tensor([[True, False]])}
    assert gaps(torch.tensor([[[-3.0, 0.5, -2], [-9, 9, -9]]]), bits, dyck).tolist() == [0.5]


def test_a_sampled_check_says_so_and_repeats_by_seed() -> None:
    built = equality(Equality(bits=6), code="binary", compare=False)
    first, again, other = (verify(built, exhaustive=False, samples=500, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.errors != other.errors
    assert not first.exhaustive and first.total == 4096 and first.checked == 500
    assert first.method == "Clopper-Pearson" and first.confidence == 0.95
    assert 0.4 < first.errors / 500 < first.failure_bound < 0.6
    assert json.loads(json.dumps(first.row()))["errors"] == first.errors


def test_an_exhaustive_check_states_the_rate_itself() -> None:
    found = verify(equality(Equality(bits=4), compare=False))
    assert (found.checked, found.errors, found.failure_bound) == (256, 240, 240 / 256)
    assert found.method == "every input" and found.confidence == 1


def test_large_input_spaces_are_sampled_unless_one_insists() -> None:
    built = index_lookup(IndexLookup(length=20, symbols=2), code="binary")
    assert not verify(built, samples=20).exhaustive
    with pytest.raises(ConfigError, match="samples is 0"):
        verify(built, samples=0)
    sphere = nearest_neighbour(NearestNeighbour(dimension=3, points=2, space="sphere", margin=0.2))
    with pytest.raises(ConfigError, match="endlessly many"):
        verify(sphere, exhaustive=True)


def test_verification_in_another_precision_leaves_the_model_as_it_was() -> None:
    built = index_lookup(IndexLookup(length=4, symbols=2))
    assert verify(built, dtype=torch.bfloat16).passed
    assert built.model.dtype == torch.float32


def test_precision_rows_show_where_each_code_breaks() -> None:
    def build(code: str) -> Callable[[int], Construction]:
        return lambda size: index_lookup(IndexLookup(length=size, symbols=2), code=code, dtype=torch.float64)

    rows = precision_rows(build("quadratic"), (16, 64, 1024, 4096))
    holds = {(row["size"], row["dtype"]): row["holds"] for row in rows}
    assert all(holds[size, "float64"] for size in (16, 64, 1024, 4096))
    assert [holds[size, "float32"] for size in (16, 64, 1024, 4096)] == [True, True, True, False]
    assert [holds[size, "bfloat16"] for size in (16, 64)] == [True, False]
    assert [holds[size, "float16"] for size in (16, 64)] == [True, False]
    for code in ("sign", "binary"):
        assert all(row["holds"] for row in precision_rows(build(code), (16, 64, 1024)))


def test_lookups_by_every_code_show_which_of_them_bfloat16_breaks() -> None:
    built = lookups(IndexLookup(length=64, symbols=2), dtype=torch.float64)
    assert [one.name.split("-")[2] for one in built] == ["sign", "binary", "quadratic"]
    held = [certificate.holds for one in built if (certificate := certify(one, dtype=torch.bfloat16))]
    assert held == [True, True, False]


def test_broken_certificates_are_errors_of_real_runs() -> None:
    def build(size: int) -> Construction:
        return index_lookup(IndexLookup(length=size, symbols=4), code="quadratic", dtype=torch.float64)

    rows = precision_rows(build, (64,), precisions=(torch.float64, torch.bfloat16), samples=128)
    assert [row["errors"] == 0 for row in rows] == [row["holds"] for row in rows] == [True, False]
    assert json.loads(json.dumps(rows)) == rows


@pytest.mark.parametrize(
    "task",
    [
        IndexLookup(length=5, symbols=3),
        Equality(bits=3),
        Disjointness(bits=3),
        NearestNeighbour(dimension=2, points=3),
        AssociativeRecall(length=8, pairs=2, vocabulary=6),
        BoundedDyck(pairs=2, depth=2, length=4),
        BoundedDyck(pairs=2, depth=2, length=4, readout="membership"),
    ],
    ids=lambda task: task.name,
)
def test_every_construction_of_the_catalogue_is_right(task: FormalTask) -> None:
    built = constructions_for(task)
    assert len({construction.name for construction in built}) == len(built) >= 2
    for construction in built:
        certificate = certify(construction)
        assert certificate is None or certificate.holds
        assert verify(construction).passed
        assert construction.row()["task"] == task.name
        assert construction.layers == construction.model.config.num_hidden_layers <= 2


def test_the_catalogue_leaves_out_what_is_too_large() -> None:
    assert [built.name for built in constructions_for(BoundedDyck(pairs=2, depth=10))] == ["dyck-compact-next"]
