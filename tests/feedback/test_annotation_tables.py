"""Ratings in files: CSV tables of each pass, forms and distractors, bad rows named with line, column and value."""

from pathlib import Path

import numpy as np
import pytest
from annotation_released import FOLDER, needs_released, rating, released_ratings

from paribus.errors import DataError
from paribus.feedback.annotation.columns import expert_table, tables_of
from paribus.feedback.annotation.schema import SEVEN
from paribus.feedback.annotation.tables import pass_of, read_ratings, write_ratings_csv
from paribus.records import ReadReport, write_records

HEAD = "dataset,sample_ix,model,preamble_type,other_model,other_preamble_type"
ERRORS_CSV = f"""{HEAD},overall,factuality,refusal
news,7,m1,confidence_low,m2,normal,2,1,0
news,7,m2,normal,m1,confidence_low,4,0,0
news,distractor_8,distractor,normal,m1,normal,1,0,1
news,distractor_8,m1,normal,distractor,normal,5,0,0
"""


@pytest.fixture
def errors_csv(tmp_path: Path) -> Path:
    path = tmp_path / "errors.csv"
    path.write_text(ERRORS_CSV, encoding="utf-8")
    return path


def test_a_row_becomes_a_rating_with_our_names(errors_csv: Path) -> None:
    first, second, *_ = read_ratings(errors_csv)
    assert first.errors == ("factuality",) and first.scores == {"overall": 2.0} and first.pass_ == "errors"
    assert first.item == "news/7/m1/assertive_low"
    expected = {"dataset": "news", "input": "7", "model": "m1", "preamble": "assertive_low", "other_model": "m2"}
    assert first.meta.items() >= {**expected, "other_preamble": "normal", "distractor": False}.items()
    assert first.meta["asked"] == ["factuality", "refusal"]
    # Two rows that name each other are one form, filled in by one rater whose name the file does not tell.
    assert first.meta["form"] == second.meta["form"] and first.rater == second.rater == "unnamed:errors:2"


def test_distractors_are_marked_on_both_sides_and_no_part_of_the_tables(errors_csv: Path) -> None:
    rows = read_ratings(errors_csv)
    assert [row.meta["distractor"] for row in rows] == [False, False, True, True]
    assert rows[2].meta["input"] == "8" and rows[2].meta["form"] == rows[3].meta["form"]
    table = tables_of(rows)["errors"]
    assert len(table) == 2 and {output.input for output in table.outputs} == {"7"}


@pytest.mark.parametrize(
    ("columns", "name"),
    [("score", "quality"), ("quality", "quality"), ("complexity,assertive,length", "style"), ("refusal", "errors")],
)
def test_the_pass_is_known_by_the_columns(columns: str, name: str) -> None:
    assert pass_of(f"{HEAD},{columns}".split(","), "the file") == name


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (f"{HEAD},score,refusal", "columns of 2 (errors: refusal; quality: score)"),
        (HEAD, f"columns of 0 ({HEAD.replace(',', ', ')})"),
        (f"{HEAD},score".replace(",", ";"), "put commas between them"),
        ("", "is empty"),
        (f"{HEAD},complexity", "no column assertive"),
        ("dataset,model,preamble_type,score", "no column sample_ix"),
        (f"{HEAD},score,score", "two columns 'score'"),
    ],
)
def test_a_header_of_no_pass_is_refused(tmp_path: Path, header: str, said: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(f"{header}\n" if header else "", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_ratings(path)
    assert said in str(caught.value) and "wrong.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("news,7,m1,normal,m2,normal,6,0,0", "row 3, column 'overall': got '6', expected 1 to 5"),
        ("news,7,m1,normal,m2,normal,2.5,0,0", "row 3, column 'overall': got '2.5'"),
        ("news,7,m1,normal,m2,normal,3,yes,0", "row 3, column 'factuality': got 'yes', expected 0 or 1"),
        ("news,7,m1,normal,m2,normal,3,nan,0", "row 3, column 'factuality': got 'nan', expected 0 or 1"),
        ("news,7,m1,normal,m2,normal,,0,0", "row 3, column 'overall': got '', expected 1 to 5"),
        ("news,7,,normal,m2,normal,3,0,0", "row 3, column 'model': got '', expected a name"),
        ("news,7,m1,normal,m2,normal,3,0", "row 3, the row: got 8 cells, expected 9"),
    ],
)
def test_a_bad_row_is_named_with_line_column_and_value(errors_csv: Path, row: str, said: str) -> None:
    lines = ERRORS_CSV.splitlines()
    errors_csv.write_text("\n".join([*lines[:2], row, *lines[3:]]), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_ratings(errors_csv)
    assert said in str(caught.value) and str(errors_csv) in str(caught.value)


def test_bad_rows_can_be_set_aside_and_are_counted(errors_csv: Path) -> None:
    errors_csv.write_text(ERRORS_CSV + "news,7,m1,normal,m2,normal,9,0,0\n", encoding="utf-8")
    report = ReadReport()
    rows = read_ratings(errors_csv, on_bad_row="skip", report=report)
    assert (len(rows), report.read, report.skipped) == (4, 4, 1)
    assert '"row": 6' in errors_csv.with_name("errors.csv.bad.jsonl").read_text(encoding="utf-8")


def test_rater_and_language_of_a_whole_file(errors_csv: Path) -> None:
    rows = read_ratings(errors_csv, rater="expert", language="sw")
    assert {row.rater for row in rows} == {"expert"} and {row.meta["language"] for row in rows} == {"sw"}
    assert tables_of(rows) == {} and expert_table(rows) is not None


def test_a_table_is_written_and_read_back(tmp_path: Path, errors_csv: Path) -> None:
    rows = read_ratings(errors_csv)
    rows.append(
        rating(errors=("scope",), source="9", rater="r 2", language="ar", attention="passed", words=12, note="é")
    )
    assert write_ratings_csv(tmp_path / "out" / "again.csv", rows[:4]) == 4
    assert read_ratings(tmp_path / "out" / "again.csv") == rows[:4]
    write_ratings_csv(tmp_path / "one.csv", rows[4:])
    (back,) = read_ratings(tmp_path / "one.csv")
    assert back.errors == ("scope",) and back.rater == "r 2"
    assert back.meta.items() >= {"language": "ar", "attention": "passed", "words": 12, "note": "é"}.items()


def test_an_empty_cell_was_not_asked(tmp_path: Path) -> None:
    rows = [rating(source="1", asked=["refusal"]), rating(source="2", asked=["scope"], errors=("scope",))]
    write_ratings_csv(tmp_path / "some.csv", rows)
    assert [row.meta["asked"] for row in read_ratings(tmp_path / "some.csv")] == [["refusal"], ["scope"]]


def test_a_table_holds_one_pass(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one pass"):
        write_ratings_csv(tmp_path / "x.csv", [rating("errors"), rating("style")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".parquet"])
def test_records_are_read_and_checked_as_their_pass_asks(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"ratings{ending}"
    rows = [rating("style"), rating("quality", language="de")]
    write_records(path, rows)
    assert read_ratings(path) == rows
    write_records(path, [*rows, rating("quality", scores={"quality": 7.0})])
    with pytest.raises(
        DataError, match=r"row 3, field 'scores\.quality': got 7\.0, expected a whole number from 1 to 5"
    ):
        read_ratings(path)


def test_what_was_asked_is_what_is_counted() -> None:
    """An error that nobody flagged is a zero where it was asked for, and nothing where it was not."""
    plain = tables_of([rating(errors=("scope",))])["errors"]
    assert plain.errors == (*SEVEN, "scope") and plain.columns["refusal"].tolist() == [0.0]
    asked = tables_of([rating(asked=["refusal"]), rating(source="2", asked=["factuality"], errors=("factuality",))])
    assert asked["errors"].errors == ("factuality", "refusal")
    assert np.isnan(asked["errors"].columns["refusal"]).tolist() == [False, True]
    assert tables_of([rating()], errors=["harmful"])["errors"].errors == ("harmful",)


def test_a_rating_without_place_is_its_own_input() -> None:
    loose = rating().model_copy(update={"meta": {}, "item": "anything"})
    (output,) = tables_of([loose])["errors"].outputs
    assert output.input == "anything" and output.model == ""


def test_languages_are_parted_with_their_rows() -> None:
    rows = [rating(source=str(n), language=code, other_model="b", words=n) for n, code in enumerate(["de", "sw", "de"])]
    table = tables_of([*rows, rows[2]])["errors"].in_language("de")
    assert [output.input for output in table.outputs] == ["0", "2"]
    assert table.of.tolist() == [0, 1, 1] and table.words.tolist() == [0.0, 2.0] and len(table.beside) == 3


@needs_released
def test_the_released_tables_hold_what_their_paper_says() -> None:
    rows = released_ratings()
    assert len(rows) == 3 * 7200 and sum(row.meta["distractor"] for row in rows) == 3 * 600
    assert len({row.meta["form"] for row in rows}) == 3 * 3600
    tables = tables_of(rows)
    assert {name: (len(table), len(table.outputs)) for name, table in tables.items()} == dict.fromkeys(
        ("errors", "quality", "style"), (6600, 1500)
    )
    # 10 pairs an input; one pair of every second input four times more: 4 ratings an output, 8 for 150 of them.
    for table in tables.values():
        counts = np.bincount(table.of)
        assert (int((counts == 4).sum()), int((counts == 8).sum())) == (1350, 150)
        repeated = np.bincount(table.beside)
        assert (int((repeated == 1).sum()), int((repeated == 5).sum())) == (5850, 150)


@needs_released
def test_aggregated_outputs_are_no_ratings_and_refused() -> None:
    with pytest.raises(DataError, match="columns of 2"):
        read_ratings(FOLDER / "part2_outputs.csv")
