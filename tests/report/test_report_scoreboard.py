"""The scoreboard: every claim with its verdict, contrasts and cost."""

from pathlib import Path

from page_reader import Page
from synthetic_study import synthetic_study

from paribus.report.scoreboard import ScoreboardRow, render_scoreboard, scoreboard_rows, write_scoreboard


def rows() -> list[ScoreboardRow]:
    other = synthetic_study(1).model_copy(update={"study": "other study"})
    return scoreboard_rows([synthetic_study(), other])


def test_a_row_holds_what_its_claim_rests_on() -> None:
    study = synthetic_study()
    row = rows()[1]
    assert (row.study, row.claim, row.verdict, row.scale, row.seeds) == (
        study.study,
        "routers",
        "unresolved",
        "pocket",
        3,
    )
    assert [contrast.name for contrast in row.contrasts] == ["reward over random", "reward over fixed"]
    assert row.units == {"exact_match": "share"}
    compared = [arm for arm in study.arms if arm.name in ("reward", "random", "fixed")]
    assert row.cost["flops"] == max(arm.cost["flops"] for arm in compared)


def test_rows_survive_json() -> None:
    assert [ScoreboardRow.model_validate_json(row.model_dump_json()) for row in rows()] == rows()


def test_the_page_counts_verdicts_and_stands_alone() -> None:
    html = render_scoreboard(rows())
    page = Page(html)
    assert page.faults == []
    assert len(set(page.ids)) == len(page.ids)
    assert "supported 2 contradicted 2 unresolved 4" in page.text
    assert "https:" not in html
    assert "script" not in {tag for tag, _ in page.tags}
    assert {attrs["href"] for attrs in page.of("a")} <= {f"#{name}" for name in page.ids}
    assert page.text.count("Choosing the best teacher per prompt beats any single teacher.") == 2


def test_claim_text_is_escaped() -> None:
    row = rows()[0].model_copy(
        update={"sentence": "<script>alert(1)</script>", "study": "<b onclick=x>", "note": "<i>"}
    )
    page = Page(render_scoreboard([row]))
    assert not {tag for tag, _ in page.tags} & {"script"}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.text


def test_an_empty_scoreboard_is_a_page() -> None:
    assert "supported 0 contradicted 0 unresolved 0" in Page(render_scoreboard([])).text


def test_writing_is_repeatable(tmp_path: Path) -> None:
    first = write_scoreboard(rows(), tmp_path / "a.html").read_bytes()
    assert write_scoreboard(rows(), tmp_path / "b.html").read_bytes() == first
