"""Multilingual prompt sets."""

from pathlib import Path

import pytest

from paribus.errors import ConfigError, DataError
from paribus.evaluation.prompts import (
    check_prompt_set,
    cluster_of,
    load_prompt_set,
    prompts_from_columns,
    question_id,
    question_lookup,
)
from paribus.records import Message, Prompt, Verdict, write_records

PROVENANCE = {"by": "translator-1", "source": "en", "edited": False}


def _prompt(question: str, language: str, text: str | None = None, **meta: object) -> Prompt:
    noted = {} if language == "en" else {"translation": PROVENANCE}
    message = Message(role="user", content=text or f"{question} in {language}")
    fields = {"question_id": question, **noted, **meta}
    return Prompt(id=f"{question}/{language}", language=language, messages=(message,), meta=fields)


GOOD = [_prompt(q, code) for q in ("q1", "q2") for code in ("de", "en", "hi")]


def test_a_good_set_is_sorted_by_question_and_language() -> None:
    checked = check_prompt_set(list(reversed(GOOD)), ["en", "de", "hi"])
    assert [p.id for p in checked.prompts] == ["q2/en", "q2/de", "q2/hi", "q1/en", "q1/de", "q1/hi"]
    assert (checked.questions, checked.languages, checked.untranslated) == (("q2", "q1"), ("en", "de", "hi"), ())
    assert [question_id(p) for p in checked.of("hi")] == ["q2", "q1"]
    with pytest.raises(ConfigError, match="no 'fr'"):
        checked.of("fr")


def test_files_are_read_one_or_one_per_language(tmp_path: Path) -> None:
    write_records(tmp_path / "all.jsonl", GOOD)
    assert load_prompt_set(tmp_path / "all.jsonl").languages == ("de", "en", "hi")
    files = []
    for code in ("de", "en", "hi"):
        # The plain form: the same row id in every language's file.
        rows = [p.model_copy(update={"id": question_id(p)}) for p in GOOD if p.language == code]
        rows = [p.model_copy(update={"meta": {k: v for k, v in p.meta.items() if k != "question_id"}}) for p in rows]
        files.append(tmp_path / f"{code}.jsonl")
        write_records(files[-1], rows)
    assert load_prompt_set(files).questions == ("q1", "q2")


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ([], "empty"),
        (GOOD[:-1], r"1 questions are missing in a language: q2 \(hi\)"),
        ([*GOOD, _prompt("q1", "de")], r"more than once in a language: q1 \(de\)"),
        ([p for p in GOOD if p.language != "en"], "no original in 'en'"),
        ([*GOOD[:5], _prompt("q2", "hi", translation={"by": "x"})], r"provenance .*: q2 \(hi\)"),
        ([*GOOD[:5], _prompt("q2", "hi", translation="machine")], r"provenance .*: q2 \(hi\)"),
        ([_prompt("q1", "en", translation=PROVENANCE)], r"claim to be translations: q1 \(en\)"),
    ],
)
def test_broken_sets_name_the_rows(prompts: list[Prompt], words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_prompt_set(prompts)


def test_languages_must_be_those_asked_for() -> None:
    with pytest.raises(DataError, match=r"q1 \(fr\), q2 \(fr\)"):
        check_prompt_set(GOOD, ["en", "de", "hi", "fr"])
    with pytest.raises(DataError, match="not asked for: hi"):
        check_prompt_set(GOOD, ["en", "de"])


def test_long_lists_of_offenders_are_cut() -> None:
    many = [_prompt(f"q{i}", "en") for i in range(9)]
    with pytest.raises(DataError, match="and 4 more"):
        check_prompt_set(many, ["en", "de"])


def test_untranslated_rows_are_reported() -> None:
    rows = [_prompt("q1", "en", "same"), _prompt("q1", "de", " same "), _prompt("q1", "hi", "other")]
    assert check_prompt_set(rows).untranslated == (("q1", "de"),)


def test_columns_of_published_sets_become_prompts() -> None:
    rows = [{"question_id": 7, "language": code, "prompt": f"text {code}", "category": "hard"} for code in ("en", "de")]
    prompts = prompts_from_columns(rows, translation=PROVENANCE)
    assert check_prompt_set(prompts).questions == ("7",)
    assert (prompts[1].id, prompts[1].meta["category"], prompts[1].text) == ("7/de", "hard", "text de")
    with pytest.raises(DataError, match="Row 1 has no column 'prompt'"):
        prompts_from_columns([{"question_id": 1, "language": "en"}], translation=None)


def test_clusters_come_from_meta_in_order() -> None:
    message = (Message(role="user", content="x"),)
    world = Prompt(id="i", language="en", messages=message, task="sum", meta={"fact": "3+4"})
    assert cluster_of(world) == "sum/3+4"
    assert cluster_of(_prompt("q1", "de")) == "q1"
    assert cluster_of(_prompt("q1", "de", cluster="topic of q1 and q2")) == "q1"
    assert cluster_of(Prompt(id="i", language="en", messages=message)) == "i"


def test_verdicts_find_their_question() -> None:
    question = question_lookup(GOOD)
    verdict = Verdict(prompt_id="q1/de", language="de", a="x", b="y", judge="j", order="ab", label="A=B")
    assert question(verdict) == "q1"
    with pytest.raises(DataError, match="'q9'"):
        question(verdict.model_copy(update={"prompt_id": "q9"}))
