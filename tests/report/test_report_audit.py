"""The page of an audit: whole, escaped, the same for the same audit, and honest about what is missing."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from page_reader import Page
from synthetic_audit import MODELS, synthetic_audit, synthetic_ratings
from test_report_browser import CHROMIUM, look

from paribus.feedback.annotation.audit import Audit, AuditSettings, audit
from paribus.feedback.annotation.checks import RaterCheck
from paribus.report.audit import render_audit, write_audit

QUICK = AuditSettings(resamples=100)
COMMAND = "paribus ratings audit ratings.jsonl --out audit.html"


@pytest.fixture(scope="module")
def whole() -> Audit:
    return synthetic_audit()


@pytest.fixture(scope="module")
def page(whole: Audit) -> Page:
    return Page(render_audit(whole, sources=["ratings.jsonl", "<i>x</i>.csv"], command=COMMAND))


def test_the_page_is_sound_and_asks_for_nothing(page: Page) -> None:
    assert page.faults == [] and len(page.ids) == len(set(page.ids))
    assert page.of("script") == [] and page.of("img") == []
    links = [link["href"] or "" for link in page.of("a")]
    assert all(link.startswith("#") and link[1:] in page.ids for link in links) and len(links) > 20


def test_every_part_has_its_section(page: Page) -> None:
    titles = [text for level, text in page.headings if level == "h2"]
    assert titles == [
        "In short",
        "The ratings",
        "Do raters agree, and tell errors apart?",
        "What do the scores reflect?",
        "Which errors does the crowd miss?",
        "Do assertiveness and complexity sway raters?",
        "Does a model score well because it sounds sure?",
        "By language",
        "What to beware of",
        "Provenance",
    ]


def test_numbers_on_the_page_are_those_of_the_audit(whole: Audit, page: Page) -> None:
    row = whole.of().regressions[0].weight("refusal")
    assert f"{row.lasso.estimate:.2f}".replace("-", "\N{MINUS SIGN}") in page.text
    found = whole.of().detection[0]
    assert re.search(
        rf"{found.error} {found.expert} {found.crowd} {found.found} {100 * found.precision.estimate:.1f}%", page.text
    )
    assert f"{whole.of().outputs:,} outputs of {whole.of().inputs:,} inputs" in page.text


def test_names_are_escaped(page: Page) -> None:
    assert "<b>two</b>" not in page.html and "<i>x</i>" not in page.html
    assert MODELS[1] in page.text.replace("\u200b", "")


def test_the_same_audit_gives_the_same_bytes(whole: Audit, tmp_path: Path) -> None:
    paths = [write_audit(whole, tmp_path / name, command=COMMAND) for name in ("a.html", "b.html")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("passes", [("errors",), ("quality",), ("style",)])
def test_one_pass_alone_makes_a_page_that_says_what_is_missing(passes: tuple[str, ...]) -> None:
    rows = [row for row in synthetic_ratings(inputs=6) if row.pass_ in passes and row.rater != "expert"]
    page = Page(render_audit(audit(rows, settings=QUICK)))
    assert page.faults == []
    titles = [text for _, text in page.headings]
    assert "Which errors does the crowd miss?" not in titles and "By language" not in titles
    assert "No experts' labels" in page.text
    for name, said in (("errors", "No pass with error labels"), ("style", "No pass with assertiveness")):
        assert (said in page.text) == (name not in passes)


def test_raters_that_fail_are_listed(whole: Audit) -> None:
    check = RaterCheck("lazy <one>", "errors", 40, 30, 5, 5, 1.0, 0.001, ("attention", "straight line"))
    page = Page(render_audit(replace(whole, distrusted=(check,))))
    assert "lazy <one>" in page.text and "attention, straight line" in page.text
    assert "counted nevertheless" in page.text and "<one>" not in page.html.replace("&lt;one&gt;", "")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; install one to check pages in a browser")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desk(page: Page, width: int, tmp_path: Path) -> None:
    found = look(page.html, width, tmp_path)
    assert found["scroll"] <= width
    assert (found["wide"], found["small"], found["console"], found["resources"]) == ([], [], [], [])
    assert (found["overlaps"], found["ticks"], found["scripts"]) == ([], [], 0)
