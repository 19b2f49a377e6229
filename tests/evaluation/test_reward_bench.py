"""RewardBench: published sizes and weights, section scores by hand, loading of every form, deviations said."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reward_cases import By

from paribus.errors import ConfigError, DataError
from paribus.evaluation.reward_bench import reward_bench
from paribus.evaluation.reward_bench_data import (
    COUNTS,
    LENGTH_BIAS,
    SECTIONS,
    WEIGHTS,
    deviations,
    load_reward_bench,
)
from paribus.evaluation.reward_models import Outcomes, score_pairs
from paribus.records import ReadReport


def published(per_subset: int | None = None, **changes: object) -> list[dict[str, object]]:
    """Rows with the published columns and sizes. AlpacaEval's subsets share prompts, ids start anew in each subset."""
    return [
        {
            "prompt": f"{'alpacaeval' if subset.startswith('alpacaeval') else subset} {number}?",
            "chosen": f"right {subset} {number}",
            "rejected": f"wrong {number}",
            "chosen_model": "good",
            "rejected_model": "bad",
            "subset": subset,
            "id": number,
            **changes,
        }
        for subset, count in COUNTS.items()
        for number in range(per_subset or count)
    ]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory):
    return load_reward_bench(write(tmp_path_factory.mktemp("bench") / "filtered.jsonl", published()))


def test_the_published_constants() -> None:
    assert sum(COUNTS.values()) == 2985 and len(COUNTS) == 23
    sizes = {name: sum(COUNTS[s] for s in inside) for name, inside in SECTIONS.items()}
    assert sizes == {"Chat": 358, "Chat Hard": 456, "Safety": 740, "Reasoning": 1431}
    assert Counter(s for inside in SECTIONS.values() for s in inside) == Counter(COUNTS.keys())
    assert WEIGHTS["math-prm"] == 6 * 164 == sum(WEIGHTS[s] for s in SECTIONS["Reasoning"] if s != "math-prm")
    assert Counter(LENGTH_BIAS.values()) == {"longer": 3, "shorter": 9, "neutral": 11}


def test_loading_keeps_every_row_apart(whole) -> None:
    assert len(whole) == len({row.id for row in whole}) == 2985 and not deviations(whole)
    assert Counter(row.meta["subset"] for row in whole) == COUNTS
    first = whole[0]
    assert (first.language, first.prompt[0].content, first.chosen) == ("en", "alpacaeval 0?", "right alpacaeval-easy 0")
    assert first.meta["chosen_model"] == "good"
    # AlpacaEval prompts 0..94 stand in three subsets each.
    assert len({row.meta["question_id"] for row in whole}) == 2985 - 2 * 95


@pytest.mark.parametrize("name", ["filtered.parquet", "folder/filtered.jsonl"])
def test_other_forms_give_the_same(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, published(2))
    source = path.parent if name.startswith("folder") else path
    found, lines = load_reward_bench(source), load_reward_bench(write(tmp_path / "x.jsonl", published(2)))
    assert [(p.id, p.meta, p.chosen) for p in found] == [(p.id, p.meta, p.chosen) for p in lines]


def test_a_configuration_a_language(tmp_path: Path) -> None:
    folder = tmp_path / "multi"
    for code, name in (("de", "deu_Latn"), ("fr", "fra_Latn")):
        rows = [{**row, "prompt": f"{code} {row['prompt']}", "source": row.pop("subset")} for row in published(3)]
        write(folder / name / "test.jsonl", [{**row, "language": name, "category": "Chat"} for row in rows])
    names = "".join(
        f"- config_name: {n}\n  data_files:\n  - split: test\n    path: {n}/test.jsonl\n"
        for n in ("deu_Latn", "fra_Latn")
    )
    (folder / "README.md").write_text(f"---\nconfigs:\n{names}---\n")
    found = load_reward_bench(folder, languages=("de", "fr"))
    assert Counter(row.language for row in found) == {"de": 69, "fr": 69}
    clusters = {code: {r.meta["question_id"] for r in found if r.language == code} for code in ("de", "fr")}
    assert clusters["de"] == clusters["fr"] and len(clusters["de"]) == 23 * 3 - 2 * 3
    with pytest.raises(DataError, match="no configuration for sw"):
        load_reward_bench(folder, languages=("de", "sw"))


def test_bad_rows_are_told_or_set_aside(tmp_path: Path) -> None:
    rows = published(1)
    rows[3]["subset"] = "alpacaeval-impossible"
    del rows[5]["chosen"]
    path = write(tmp_path / "x.jsonl", rows)
    with pytest.raises(DataError, match=r"row 4, field 'subset': got 'alpacaeval-impossible', expected one of alpaca"):
        load_reward_bench(path)
    report = ReadReport()
    found = load_reward_bench(path, on_bad_row="skip", report=report)
    assert (len(found), report.skipped) == (21, 2) and (tmp_path / "x.jsonl.bad.jsonl").is_file()
    assert deviations(found)[0] == "alpacaeval-easy (en): 1 pairs, published 100"
    assert "hep-rust (en): 1 pairs, published 164" in deviations(found) and len(deviations(found)) == 23


def outcomes(pairs, accuracy: dict[str, float]) -> Outcomes:
    """In each subset the first pairs are right, as many as the accuracy says."""
    seen: Counter[str] = Counter()
    value = []
    for row in pairs:
        subset = row.meta["subset"]
        value.append(float(seen[subset] < round(accuracy[subset] * COUNTS[subset])))
        seen[subset] += 1
    return Outcomes("planted", tuple(pairs), np.array(value))


def test_section_scores_by_hand(whole) -> None:
    planted = dict.fromkeys(COUNTS, 0.5) | {"math-prm": 1.0, "donotanswer": 0.25, "alpacaeval-length": 1.0}
    found = reward_bench(outcomes(whole, planted), resamples=200, by_language=False)
    exact = {row.subset: row.accuracy.estimate for row in found.subsets}
    for name, inside in SECTIONS.items():
        by_hand = sum(exact[s] * WEIGHTS[s] for s in inside) / sum(WEIGHTS[s] for s in inside)
        assert found.of(name).score.estimate == pytest.approx(by_hand)
        assert found.of(name).score.low < by_hand < found.of(name).score.high
    assert found.of("Reasoning").score.estimate == pytest.approx(0.75)
    assert found.of("Safety").score.estimate == pytest.approx((604 * 0.5 + 136 * 0.25) / 740)
    four = [found.of(name).score.estimate for name in SECTIONS]
    assert found.of("all").score.estimate == pytest.approx(np.mean(four)) and found.of("all").pairs == 2985
    trends = dict(found.by_length)
    assert trends["longer"].estimate == pytest.approx(0.5, abs=0.01) and set(trends) == {"longer", "neutral", "shorter"}


def test_the_exchanged_weights_are_an_option(whole) -> None:
    planted = dict.fromkeys(COUNTS, 0.0) | {"xstest-should-refuse": 1.0}
    swapped = {**WEIGHTS, "xstest-should-refuse": 250, "xstest-should-respond": 154}
    ours, theirs = (
        reward_bench(outcomes(whole, planted), weights=weights, resamples=100, by_language=False)
        for weights in (WEIGHTS, swapped)
    )
    assert ours.of("Safety").score.estimate == pytest.approx(154 / 740)
    assert theirs.of("Safety").score.estimate == pytest.approx(250 / 740)
    with pytest.raises(ConfigError, match="weights lacks alpacaeval-easy"):
        reward_bench(outcomes(whole, planted), weights={"math-prm": 1})


def test_the_longer_answer_always_wins_with_a_length_scorer(whole) -> None:
    found = reward_bench(score_pairs(By(lambda text: float(len(text))), whole).outcomes(), resamples=100)
    assert {row.accuracy.estimate for row in found.subsets} == {1.0}
    assert {row.longer_wins for row in found.subsets} == {1.0} and found.of("all").score.low < 1.0


def test_parts_of_the_benchmark(whole) -> None:
    some = [row for row in whole if row.meta["subset"] in ("math-prm", "hep-go", "donotanswer")]
    found = reward_bench(outcomes(some, dict.fromkeys(COUNTS, 1.0) | {"hep-go": 0.0}), resamples=100)
    assert found.of("Reasoning").score.estimate == pytest.approx(984 / (984 + 164))
    assert len(found.deviations) == 20
    with pytest.raises(DataError, match="no score of the section 'all'"):
        found.of("all")
    assert {row.language for row in found.sections} == {"all", "en"}


def test_a_tiny_subset_that_some_resamples_miss() -> None:
    from reward_cases import pair

    rows = [pair(n, "a", "b", subset="math-prm") for n in range(20)] + [pair(99, "a", "b", subset="hep-go")]
    value = np.array([1.0, 0.0] * 10 + [1.0])
    score = reward_bench(Outcomes("x", tuple(rows), value), resamples=400).of("Reasoning").score
    steady = reward_bench(Outcomes("x", tuple(rows), np.array([0.9] * 20 + [1.0])), resamples=400).of("Reasoning").score
    # A resample without the one pair in Go is the mean of what is left, not one with a nought in it.
    assert (steady.low, steady.high) == pytest.approx((0.9, (984 * 0.9 + 164) / 1148))
    assert score.estimate == pytest.approx((984 * 0.5 + 164) / 1148) and np.isfinite([score.low, score.high]).all()


def test_pairs_of_other_sources_are_refused() -> None:
    from reward_cases import pair

    with pytest.raises(DataError, match="the subset None"):
        reward_bench(Outcomes("x", (pair(0, "a", "b"),), np.ones(1)))


def test_pairs_of_one_id_keep_values_of_their_own(tmp_path: Path) -> None:
    """Outcomes from elsewhere may name two pairs alike; the score of all languages is that of the one there is."""
    pairs = load_reward_bench(write(tmp_path / "x.jsonl", published(2)))
    alike = tuple(pair.model_copy(update={"id": "same"}) for pair in pairs)
    found = reward_bench(Outcomes("by", alike, np.array([1.0, 0.0] * 23)), resamples=100)
    for language in ("all", "en"):
        assert all(row.accuracy.estimate == 0.5 for row in found.subsets if row.language == language)
        assert found.of("all", language).score.estimate == pytest.approx(0.5)
