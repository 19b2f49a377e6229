"""Records survive a round trip through every file form; a file is there whole or not at all."""

import gzip
import string

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import DataError
from paribus.records import (
    ChoiceQuestion,
    Completion,
    Critique,
    Document,
    Example,
    Message,
    PreferencePair,
    Prompt,
    Rating,
    Verdict,
    read_records,
    write_records,
)
from paribus.records.writing import as_row

ENDINGS = ["jsonl", "jsonl.gz", "parquet"]

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
text = anything.filter(str.strip)
number = st.floats(allow_nan=False, allow_infinity=False)
# A Parquet column of free-form objects is JSON text, so whatever JSON keeps must come back.
values = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | anything, st.lists)
meta = st.dictionaries(anything, values, max_size=2)
turn = st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=text)
messages = st.lists(turn, min_size=2, max_size=3)
common = {"language": st.sampled_from(["en", "ar", "zh"]), "meta": meta}
named = {"id": st.uuids().map(str), **common}
KINDS = {
    Prompt: st.builds(Prompt, **named, messages=messages, task=anything),
    Example: st.builds(Example, **named, messages=messages, task=anything, source=anything),
    Completion: st.builds(
        Completion, **named, prompt_id=text, model=text, text=anything, tokens=st.none() | st.integers(0, 9),
        score=st.none() | number, finish=st.sampled_from(["stop", "length", "refused", "error"]),
    ),
    PreferencePair: st.builds(
        PreferencePair, **named, prompt_id=text, prompt=messages, chosen=anything, rejected=anything,
        margin=st.none() | number, source=anything,
    ),
    Verdict: st.builds(
        Verdict, **common, prompt_id=text, a=text, b=text, judge=text, order=st.sampled_from(["ab", "ba"]),
        label=st.sampled_from(["A>>B", "A=B", None]), raw=anything,
    ),
    Critique: st.builds(Critique, prompt_id=text, completion_id=text, critic=text, aspects=meta, text=anything),
    Rating: st.builds(
        Rating, item=text, rater=text, pass_=anything, errors=st.lists(anything, max_size=2),
        scores=st.dictionaries(anything, number, max_size=2), meta=meta,
    ),
    Document: st.builds(Document, **named, domain=text, text=text),
    ChoiceQuestion: st.builds(
        ChoiceQuestion, **named, domain=text, prompt=text, answer=st.integers(0, 1), cluster=text,
        choices=st.lists(text, min_size=2, max_size=4, unique=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_records_come_back_as_they_were(tmp_path_factory, kind, ending):
    folder = tmp_path_factory.mktemp("files")

    @settings(max_examples=15, deadline=None)
    @given(st.lists(KINDS[kind], max_size=4))
    def round_trip(rows):
        path = folder / f"rows.{ending}"
        assert write_records(path, rows) == len(rows)
        assert list(read_records(path, kind)) == rows

    round_trip()


def example(name: str, content: str = "Hi") -> Example:
    turns = (Message(role="user", content=content), Message(role="assistant", content="Hello"))
    return Example(id=name, language="en", messages=turns)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_rows_give_the_same_bytes(tmp_path, ending):
    rows = [example(letter) for letter in string.ascii_lowercase]
    for name in ("one", "two"):
        write_records(tmp_path / f"{name}.{ending}", rows)
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


def test_line_separators_inside_a_text_do_not_split_its_row(tmp_path):
    row = example("a", "one\u2028two\x85three\r\nfour\x0bfive")
    write_records(tmp_path / "a.jsonl", [row])
    assert list(read_records(tmp_path / "a.jsonl", Example)) == [row]


def test_nulls_are_left_out_unless_a_row_needs_them():
    verdict = Verdict(prompt_id="p", language="en", a="x", b="y", judge="j", order="ab", label=None)
    assert as_row(verdict)["label"] is None
    assert "score" not in as_row(Completion(id="c", prompt_id="p", language="en", model="m", text=""))
    assert as_row(Rating(item="i", rater="r", pass_="1"))["pass"] == "1"


def test_parents_are_made_and_rows_counted(tmp_path):
    path = tmp_path / "deep" / "er" / "rows.jsonl.gz"
    assert write_records(path, (example(str(n)) for n in range(3))) == 3
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 3


def test_large_parquet_files_are_written_in_row_groups(tmp_path):
    write_records(tmp_path / "a.parquet", (example(str(n)) for n in range(10_001)))
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 2


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("before", [None, "old"])
def test_a_failure_half_way_leaves_what_was_there(tmp_path, ending, before):
    path = tmp_path / f"rows.{ending}"
    if before:
        write_records(path, [example(before)])

    def rows():
        yield example("a")
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk is gone"):
        write_records(path, rows())
    assert [row.id for file in tmp_path.iterdir() for row in read_records(file, Example)] == (
        [before] if before else []
    )


def test_an_unknown_ending_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match=r"ending is '\.csv'; use \.jsonl"):
        write_records(tmp_path / "rows.csv", [example("a")])
    assert list(tmp_path.iterdir()) == []
