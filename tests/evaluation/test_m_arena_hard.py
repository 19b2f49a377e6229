"""m-ArenaHard from a directory laid out like the hub's, in both versions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paribus.errors import DataError
from paribus.evaluation.m_arena_hard import load_m_arena_hard
from paribus.evaluation.prompts import question_id

WORDS = {"en": "Write a loop", "de": "Schreibe eine Schleife", "hi": "एक लूप लिखो"}


def v1(language: str, number: int) -> dict[str, Any]:
    return {"question_id": f"q{number}", "cluster": "Loops", "category": "arena-hard-v0.1", "prompt": WORDS[language]}


def v2(language: str, number: int) -> dict[str, Any]:
    row = {"question_id": f"q{number}", "category": "hard_prompt", "subcategory": "coding"}
    return row | {"prompt": f"{WORDS[language]} ({number})", "language": language}


def lay_out(root: Path, row: Callable[[str, int], dict[str, Any]], ending: str, questions: int = 3) -> Path:
    for language in WORDS:
        folder = root / language
        folder.mkdir(parents=True)
        rows = [row(language, number) for number in range(questions)]
        file = folder / f"test-00000-of-00001{ending}"
        if ending == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), file)
        else:
            file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return root


@pytest.mark.parametrize("row", [v1, v2])
@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_a_directory_gives_a_checked_set(row: Any, ending: str, tmp_path: Path) -> None:
    found = load_m_arena_hard(lay_out(tmp_path, row, ending))
    assert found.languages == ("de", "en", "hi") and found.questions == ("q0", "q1", "q2")
    assert len(found.prompts) == 9 and len({prompt.id for prompt in found.prompts}) == 9
    german = found.of("de")[1]
    assert german.text.startswith("Schreibe") and question_id(german) == "q1"
    assert german.meta["translation"]["source"] == "en"
    assert german.meta["category"] == row("de", 1)["category"]
    assert "translation" not in found.of("en")[0].meta


def test_english_comes_with_the_languages_asked_for(tmp_path: Path) -> None:
    found = load_m_arena_hard(lay_out(tmp_path, v2, ".jsonl"), ["hi"])
    assert found.languages == ("en", "hi")
    with pytest.raises(DataError, match="has no sw; its languages are de, en, hi"):
        load_m_arena_hard(tmp_path, ["sw"])


def test_only_the_split_is_read_where_there_are_several(tmp_path: Path) -> None:
    lay_out(tmp_path, v2, ".jsonl")
    for language in WORDS:
        (tmp_path / language / "train-00000-of-00001.jsonl").write_text("not read\n")
    assert len(load_m_arena_hard(tmp_path).prompts) == 9


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"prompt": " "}, "de, row 4: prompt is ' '; expected a text"),
        ({"question_id": None}, "de, row 4: question_id is None"),
        ({"language": "fr"}, "de, row 4: language is 'fr'; the folder is that of 'de'"),
        ({"question_id": "q9"}, r"questions are missing in a language: q9 \(en\)"),
        ({"question_id": "q0"}, r"questions stand more than once in a language: q0 \(de\)"),
    ],
)
def test_bad_rows_are_named(broken: dict[str, Any], message: str, tmp_path: Path) -> None:
    lay_out(tmp_path, v2, ".jsonl")
    with (tmp_path / "de" / "test-00000-of-00001.jsonl").open("a") as file:
        file.write(json.dumps(v2("de", 7) | broken) + "\n")
    with pytest.raises(DataError, match=message):
        load_m_arena_hard(tmp_path)


def test_a_place_without_prompts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    with pytest.raises(DataError, match="has no folder with"):
        load_m_arena_hard(tmp_path)
    with pytest.raises(DataError, match=r"is neither a directory nor a data set that can be loaded"):
        load_m_arena_hard(tmp_path / "nowhere")
