"""Item rows and their summaries."""

from pathlib import Path

import numpy as np
import pytest

from paribus.errors import DataError
from paribus.evaluation.items import ItemRow, read_item_rows, summarise, write_item_rows
from paribus.statistics import clustered_bootstrap, wilson


def _rows(rng: np.random.Generator) -> list[ItemRow]:
    rows = []
    for q in range(30):
        for code in ("en", "hi"):
            for measure in ("exact_match", "length"):
                value = float(rng.random() < 0.6) if measure == "exact_match" else float(rng.integers(1, 9))
                rows.append(ItemRow(measure, f"q{q}/{code}", f"q{q}", code, value, "sum" if q % 2 else "sort"))
    return rows


def test_rows_survive_the_file(tmp_path: Path) -> None:
    rows = [ItemRow("m", "ü/1", "c", "tr", 0.25), ItemRow("m", "b", "c", "tr", 1.0, "task")]
    assert write_item_rows(tmp_path / "deep" / "items.jsonl", rows) == 2
    assert read_item_rows(tmp_path / "deep" / "items.jsonl") == rows
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["items.jsonl"]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"measure": "m", "item": "i", "cluster": "c", "language": "en", "value": 1}\n{"measure": 1}\n')
    with pytest.raises(DataError, match=r"items\.jsonl:2"):
        read_item_rows(path)


def test_cells_are_means_with_clustered_intervals() -> None:
    rows = _rows(np.random.default_rng(0))
    summaries = {(s.measure, s.language, s.group): s.interval for s in summarise(rows, resamples=4_000)}
    assert len(summaries) == 2 * 3 * 3
    for language in ("all", "hi"):
        chosen = [r for r in rows if r.measure == "length" and language in ("all", r.language)]
        values, clusters = [r.value for r in chosen], [r.cluster for r in chosen]
        expected = clustered_bootstrap(values, clusters, resamples=4_000)
        ours = summaries["length", language, "all"]
        assert ours.estimate == pytest.approx(np.mean(values))
        assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high), abs=0.08)
        assert ours.n == 30
    assert summaries["length", "en", "sort"].n == 15


def test_splits_can_be_switched_off() -> None:
    rows = _rows(np.random.default_rng(1))
    assert {s.language for s in summarise(rows, by_language=False, resamples=50)} == {"all"}
    assert {s.group for s in summarise(rows, by_group=False, resamples=50)} == {"all"}


def test_never_wrong_is_not_certain() -> None:
    rows = [ItemRow("exact_match", f"{q}/{code}", f"q{q}", code, 1.0) for q in range(20) for code in ("en", "hi")]
    interval = summarise(rows, by_language=False, by_group=False)[0].interval
    expected = wilson(20, 20)
    assert (interval.low, interval.high, interval.n) == (expected.low, expected.high, 20)


def test_a_measure_that_some_clusters_lack_counts_its_own() -> None:
    rows = [ItemRow("m", f"i{q}", f"q{q}", "en", float(q % 3)) for q in range(12)]
    rows += [ItemRow("rare", f"i{q}", f"q{q}", "en", float(q)) for q in range(5)]
    rare = next(s for s in summarise(rows, by_language=False, by_group=False) if s.measure == "rare")
    assert (rare.interval.estimate, rare.interval.n) == (2.0, 5)
    assert np.isfinite([rare.interval.low, rare.interval.high]).all()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no item rows"),
        ([ItemRow("m", "i", "c", "en", 1.0)] * 2, "'i' has two values of 'm'"),
        ([ItemRow("m", "i", "c", "en", float("nan"))], "'m' = nan"),
    ],
)
def test_bad_rows_are_refused(rows: list[ItemRow], words: str) -> None:
    with pytest.raises(DataError, match=words):
        summarise(rows)
