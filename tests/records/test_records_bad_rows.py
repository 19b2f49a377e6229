"""Bad rows: told by file, row, field, value and what was expected, or set aside and counted."""

import gzip
import json
import random
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paribus.errors import DataError
from paribus.records import ChoiceQuestion, Document, Prompt, ReadReport, read_records

GOOD = {"id": "a", "language": "en", "messages": [{"role": "user", "content": "Hi"}]}


def line(**change) -> bytes:
    return json.dumps({**GOOD, **change}).encode()


CASES = {
    "encoding": (b'{"id": "\xff\xfe"}', "the line: got b'.xff.xfe", "UTF-8 text"),
    "JSON": (b'{"id": "b", }', "column 13: got", "valid JSON"),
    "cut off": (b'{"id": "b"', "column 11: got", "valid JSON"),
    "not an object": (b"[1, 2]", r"the row: got \[1, 2\]", "a JSON object"),
    "nested too deep": (b"[" * 100_000, "the line: got b'", "JSON that is not nested so deep"),
    "missing field": (b'{"id": "b", "language": "en"}', "field 'messages': got nothing", "a value"),
    "wrong type": (line(id=7), "field 'id': got 7", "Input should be a valid string"),
    "wrong type inside": (
        line(id="b", messages=[{"role": "user", "content": 7}]), "field 'messages.0.content': got 7", "a valid string",
    ),
    "unknown role": (
        line(id="b", messages=[{"role": "robot", "content": "x"}]), "'messages.0.role': got 'robot'", "'system'",
    ),
    "unknown field": (line(id="b", extra=1), "field 'extra': got 1", "no such field"),
    "no turns": (line(id="b", messages=[]), r"field 'messages': got \[\]", "at least 1 item"),
    "unknown language": (line(id="b", language="xx"), "field 'language': got 'xx'", "ISO 639 code"),
    "duplicate id": (line(), "field 'id': got 'a'", "an id that no earlier row has"),
    "empty text": (
        line(id="b", messages=[{"role": "user", "content": " "}]), "'messages.0.content': got ' '", "not be empty",
    ),
    "null": (line(id=None), "field 'id': got None", "a valid string"),
    "half a letter": (line(id="b", task="\ud800"), r"the line: got .*ud800", "whole Unicode letters"),
}  # fmt: skip


@pytest.fixture(params=["a.jsonl", "a.jsonl.gz"])
def write(request, tmp_path):
    def written(*lines: bytes):
        path = tmp_path / request.param
        content = b"\n".join(lines) + b"\n"
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return path

    return written


@pytest.mark.parametrize("case", CASES)
def test_a_bad_row_fails_by_name(write, case):
    bad, found, expected = CASES[case]
    path = write(line(), bad, line(id="last"))
    rows = read_records(path, Prompt)
    assert next(rows).id == "a"
    with pytest.raises(DataError, match=rf"{path}, row 2, .*{found}.*, expected .*{expected}.*Mend the row") as caught:
        next(rows)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("case", CASES)
def test_a_bad_row_is_set_aside_and_counted(write, case):
    path = write(line(), CASES[case][0], line(id="last"))
    report = ReadReport()
    assert [row.id for row in read_records(path, Prompt, on_bad_row="skip", report=report)] == ["a", "last"]
    assert (report.read, report.skipped, report.reasons.total()) == (2, 1, 1)
    (entry,) = map(json.loads, path.with_name(path.name + ".bad.jsonl").read_text().splitlines())
    assert (entry["file"], entry["row"]) == (str(path), 2)
    assert set(entry) == {"file", "row", "field", "value", "expected"}
    assert entry["expected"] in report.reasons


def test_rows_set_aside_go_where_asked_and_speak_of_the_last_reading(tmp_path, write):
    path, aside = write(line(), b"{"), tmp_path / "aside.jsonl"
    list(read_records(path, Prompt, on_bad_row="skip", bad_rows=aside))
    assert len(aside.read_text().splitlines()) == 1
    assert not path.with_name(path.name + ".bad.jsonl").exists()
    list(read_records(write(line()), Prompt, on_bad_row="skip", bad_rows=aside))
    assert not aside.exists()


def test_good_files_leave_nothing_beside_them(write):
    path = write(line(), b"", b"  ", line(id="b"))
    report = ReadReport()
    assert len(list(read_records(path, Prompt, on_bad_row="skip", report=report))) == 2
    assert report.skipped == 0
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_blank_lines_count_as_lines(write):
    with pytest.raises(DataError, match="row 4, column"):
        list(read_records(write(line(), b"", b"", b"{"), Prompt))


def test_whole_letters_may_be_escaped(write):
    assert [row.task for row in read_records(write(line(task="👩")), Prompt)] == ["👩"]


def test_a_byte_order_mark_is_no_part_of_the_first_row(write):
    assert [row.id for row in read_records(write(b"\xef\xbb\xbf" + line()), Prompt)] == ["a"]


def test_windows_line_ends_and_a_missing_last_one(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line() + b"\r\n" + line(id="b"))
    assert [row.id for row in read_records(path, Prompt)] == ["a", "b"]


def test_a_line_of_any_length_takes_little_memory(tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(line() + b"\n" + b'{"id": "')
        for _ in range(300):
            file.write(b"x" * 100_000)
        file.write(b'"}\n' + line(id="last") + b"\n")
    report = ReadReport()
    list(read_records(path, Prompt, on_bad_row="skip", max_line=1_000_000))  # imports are not what is measured
    tracemalloc.start()
    rows = list(read_records(path, Prompt, on_bad_row="skip", report=report, max_line=1_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [row.id for row in rows] == ["a", "last"]
    assert peak < 5_000_000
    (entry,) = map(json.loads, (tmp_path / "a.jsonl.bad.jsonl").read_text().splitlines())
    assert (entry["row"], entry["value"], entry["expected"]) == (2, "30000011 bytes", "at most 1000000 bytes a line")


def test_a_long_row_within_the_limit_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(messages=[{"role": "user", "content": "x" * 5_000_000}]) + b"\n")
    assert len(next(read_records(path, Prompt)).text) == 5_000_000
    with pytest.raises(DataError, match=r"row 1, the line: got \d+ bytes, expected at most 1000 bytes a line"):
        next(read_records(path, Prompt, max_line=1000))


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_gzip_file_gives_what_can_be_read(tmp_path, damage):
    path = tmp_path / "a.jsonl.gz"
    noise = random.Random(0)
    rows = b"".join(line(id=f"{n}-{noise.random()}") + b"\n" for n in range(2000))
    content = bytearray(gzip.compress(rows))
    middle = len(content) // 2
    if damage == "cut":
        del content[middle:]
    else:
        content[-8] ^= 0xFF  # the checksum at the end
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"row \d+, the compressed file: got .*, expected an undamaged gzip file"):
        list(read_records(path, Prompt))
    report = ReadReport()
    kept = list(read_records(path, Prompt, on_bad_row="skip", report=report))
    assert 0 < len(kept) <= 2000 and report.skipped == 1
    assert kept[0].id.startswith("0-")


def test_allowed_languages_can_be_narrowed(write):
    path = write(line(), line(id="b", language="fr"))
    assert len(list(read_records(path, Prompt, languages=["en", "fr"]))) == 2
    with pytest.raises(DataError, match="row 2, field 'language': got 'fr', expected one of ar, en"):
        list(read_records(path, Prompt, languages=["en", "ar"]))


def test_parquet_rows_are_checked_the_same_way(tmp_path):
    path = tmp_path / "a.parquet"
    rows = [{**GOOD, "meta": "{}"}, {**GOOD, "id": "b", "meta": "{"}, {**GOOD, "id": "c", "meta": None}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(DataError, match=r"row 2, field 'meta': got '{', expected a JSON object as text"):
        list(read_records(path, Prompt))
    report = ReadReport()
    assert [row.id for row in read_records(path, Prompt, on_bad_row="skip", report=report)] == ["a", "c"]
    assert report.skipped == 1


def test_a_broken_parquet_file_is_told(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"a\.parquet is not a readable Parquet file"):
        list(read_records(path, Prompt))


def test_files_that_cannot_be_read_are_told(tmp_path):
    with pytest.raises(DataError, match=r"There is no file .*none\.jsonl; check the path"):
        read_records(tmp_path / "none.jsonl", Prompt)
    (tmp_path / "a.csv").write_text("id\n")
    with pytest.raises(DataError, match=r"ending is '\.csv'; use"):
        list(read_records(tmp_path / "a.csv", Prompt))


ASKED = {
    "id": "a", "domain": "law", "language": "en", "prompt": "§ 1: ", "choices": ["x", "y"], "answer": 1, "cluster": "a",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (ChoiceQuestion, {"answer": 2}, r"'answer': got 2, expected answer must be below the number of choices, 2"),
        (ChoiceQuestion, {"answer": -1}, r"'answer': got -1"),
        (ChoiceQuestion, {"choices": ["x", "x"]}, r"'choices': got .*, expected choices must be distinct"),
        (ChoiceQuestion, {"choices": ["x"]}, r"'choices': got .*at least 2 items"),
        (ChoiceQuestion, {"prompt": " "}, r"'prompt': got ' ', expected text must not be empty"),
        (Document, {}, r"'text': got nothing, expected a value"),
    ],
)
def test_questions_that_cannot_be_answered_and_documents_without_text_are_bad(tmp_path, kind, change, message):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**ASKED, **change}))
    with pytest.raises(DataError, match=message):
        list(read_records(path, kind))
