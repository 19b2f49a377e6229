"""PandaLM: the recomputed numbers of the released file, tie policies, and what is refused."""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from reward_cases import By
from sklearn.metrics import cohen_kappa_score

from paribus.errors import ConfigError, DataError
from paribus.evaluation.pandalm import (
    PandaItem,
    all_pairs,
    annotator_kappas,
    decided_pairs,
    load_pandalm,
    three_way_rows,
)
from paribus.evaluation.reward_models import score_pairs

RELEASED = Path("/work/shared/data/pandalm/testset-v1.json")
released = pytest.mark.skipif(not RELEASED.is_file(), reason="PandaLM's test set is not on this machine")


def row(number: int, labels: tuple[int, int, int], **changes: object) -> dict[str, object]:
    votes = {f"annotator{i}": label for i, label in enumerate(labels, start=1)}
    texts = {"instruction": f"Do {number // 2}.", "input": "", "response1": "one", "response2": "the other"}
    return {"idx": number, "motivation_app": "x", "cmp_key": "bloom-7b_llama-7b", **texts, **votes, **changes}


def items(tmp_path: Path, rows: list[object]) -> list[PandaItem]:
    path = tmp_path / "testset.json"
    path.write_text(json.dumps(rows))
    return load_pandalm(path)


@released
def test_the_released_numbers() -> None:
    found = load_pandalm(RELEASED)
    assert Counter(item.label for item in found) == {1: 422, 2: 472, 0: 105}
    assert sum(len(set(item.labels)) == 1 for item in found) == 879
    kappas = annotator_kappas(found)
    assert {pair: round(value, 3) for pair, value in kappas.items()} == {(1, 2): 0.852, (1, 3): 0.879, (2, 3): 0.862}
    votes = np.array([item.labels for item in found])
    for i, j in combinations(range(3), 2):
        assert kappas[i + 1, j + 1] == pytest.approx(cohen_kappa_score(votes[:, i], votes[:, j]))
    pairs = decided_pairs(found)
    assert len(pairs) == 894 and len({pair.meta["question_id"] for pair in all_pairs(found)}) == 170
    assert len({pair.id for pair in pairs}) == 894


@released
def test_a_length_rule_on_the_released_file() -> None:
    scored = score_pairs(By(lambda text: float(len(text))), decided_pairs(load_pandalm(RELEASED)))
    by_hand = np.mean([len(pair.chosen) > len(pair.rejected) for pair in scored.pairs])
    assert scored.outcomes().value.mean() == pytest.approx(by_hand) and 0.6 < by_hand < 0.75


def test_majorities_and_pairs(tmp_path: Path) -> None:
    found = items(
        tmp_path,
        [
            row(0, (1, 1, 2)),
            row(1, (0, 2, 2)),
            row(2, (0, 0, 1)),
            row(3, (2, 1, 0)),
            row(4, (1, 1, 1), input="now", response1=True),
        ],
    )
    assert [item.label for item in found] == [1, 2, 0, 0, 1]
    first, second, last = decided_pairs(found)
    assert (first.chosen, first.rejected, first.meta["chosen_model"]) == ("one", "the other", "bloom-7b")
    assert (second.chosen, second.rejected, second.meta["chosen_model"]) == ("the other", "one", "llama-7b")
    assert first.meta["question_id"] == second.meta["question_id"] != last.meta["question_id"]
    assert first.prompt[0].content == "Do 0." and last.prompt[0].content == "Do 2.\n\nnow" and last.chosen == "True"
    assert [pair.chosen for pair in all_pairs(found)][:4] == ["one"] * 4


def test_three_classes(tmp_path: Path) -> None:
    found = items(tmp_path, [row(0, (1, 1, 1)), row(1, (2, 2, 2)), row(2, (0, 0, 0)), row(3, (1, 1, 1))])
    preference = np.array([0.5, -0.5, 0.2, -0.1])
    strict, banded = (three_way_rows(found, preference, tie_band=band) for band in (0.0, 0.3))
    assert [r.value for r in strict] == [1.0, 1.0, 0.0, 0.0] and [r.value for r in banded] == [1.0, 1.0, 1.0, 0.0]
    assert [r.group for r in strict] == ["first better", "second better", "tie", "first better"]
    assert [r.value for r in three_way_rows(found, np.zeros(4))] == [0.0, 0.0, 1.0, 0.0]
    with pytest.raises(ConfigError, match="tie_band is -1"):
        three_way_rows(found, preference, tie_band=-1)
    with pytest.raises(DataError, match="4 items"):
        three_way_rows(found, preference[:3])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(0, (1, 1, 3))], r"item 1, field 'annotator3': got 3, expected 0 \(tie\), 1 or 2"),
        ([row(0, (1, 1, 1), response2=None)], "field 'response2': got None"),
        ([row(0, (1, 1, True))], "field 'annotator3': got True"),
        ([row(0, (1, 1, 1)), row(0, (1, 1, 1))], "1 idx values more than once"),
        (["text"], "item 1 is 'text'"),
        ([], "without items"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, rows: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        items(tmp_path, rows)


def test_no_json(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as JSON"):
        load_pandalm(tmp_path / "missing.json")
