"""The pages in a real browser: nothing overflows, errs or is fetched, and right-to-left text runs right to left."""

import html as markup
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from synthetic_mixture import mixture_study
from synthetic_study import synthetic_study
from synthetic_testbeds import sequence_study
from test_report_study import attacked_study

from paribus.report.scoreboard import render_scoreboard, scoreboard_rows
from paribus.report.study import render_study

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (path := shutil.which(name))), None
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; install one to check pages in a browser"),
]

# The page under test is an iframe of a chosen width (headless windows cannot be narrower than 500 px). Every details
# element is opened first, so hidden parts are measured too.
PROBE = """<!DOCTYPE html><html><head><title>waiting</title></head><body style="margin:0">
<iframe id="page" style="border:0;width:%(width)dpx;height:900px" srcdoc="%(page)s"></iframe>
<pre id="found"></pre>
<script>
addEventListener("load", () => {
  const view = document.getElementById("page").contentWindow, page = view.document;
  page.querySelectorAll("details").forEach(each => each.open = true);
  const wide = [...page.querySelectorAll("main *, nav *")].filter(each =>
    !each.closest(".scroll, svg, .track, .text") && each.getBoundingClientRect().right > view.innerWidth + 1);
  const texts = [...page.querySelectorAll(".answer .text")].map(each =>
    [each.lang, view.getComputedStyle(each).direction, view.getComputedStyle(each).textAlign]);
  const small = [...page.querySelectorAll("main :not(svg *)")].filter(each => each.childNodes.length === 1 &&
    each.firstChild.nodeType === 3 && each.textContent.trim() && parseFloat(view.getComputedStyle(each).fontSize) < 9);
  const marks = [...page.querySelectorAll(".tag, .spot, .end, .flag")]
    .map(each => [each.textContent, each.getBoundingClientRect()]).filter(([text, box]) => box.width > 0);
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const overlaps = marks.flatMap(([text, box], index) => marks.slice(index + 1)
    .filter(([other, its]) => text + other && meet(box, its)).map(([other]) => [text, other]));
  const ticks = [...page.querySelectorAll(".x-ticks")].flatMap(each => {
    const boxes = [...each.children].map(tick => [tick.textContent, tick.getBoundingClientRect()]);
    return boxes.slice(1).filter(([text, box], index) => meet(boxes[index][1], box)).map(([text]) => text);
  });
  const beside = [...page.querySelectorAll(".end")].filter(each =>
    each.getBoundingClientRect().left < each.closest(".area").getBoundingClientRect().right);
  document.getElementById("found").textContent = JSON.stringify({
    scroll: page.documentElement.scrollWidth, inner: view.innerWidth,
    wide: wide.slice(0, 5).map(each => each.outerHTML.slice(0, 120)),
    texts: texts, overlaps: overlaps, ticks: ticks, beside: beside.map(each => each.textContent),
    small: small.slice(0, 5).map(each => each.outerHTML.slice(0, 120)),
    resources: view.performance.getEntriesByType("resource").map(each => each.name),
    scripts: page.scripts.length, pwned: String(view.pwned)});
});
</script></body></html>"""


def look(page: str, width: int, folder: Path) -> dict[str, Any]:
    """Load the page at a width; returns what the probe found and the lines of the browser's console."""
    probe = folder / f"probe-{width}.html"
    probe.write_text(PROBE % {"width": width, "page": markup.escape(page)}, encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=4000 --dump-dom"
    command = [
        str(CHROMIUM),
        *flags.split(),
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1400,1000",
        probe.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=True)
    found = done.stdout.split('<pre id="found">')[1].split("</pre>")[0]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return {**json.loads(markup.unescape(found)), "console": console}


@pytest.fixture(scope="module")
def study_page() -> str:
    return render_study(
        synthetic_study(),
        rerun_command="paribus run synthetic-expanse --scale pocket --store paribus-store --workers 2",
    )


@pytest.mark.parametrize("width", [390, 1280])
def test_the_study_page_fits_and_asks_for_nothing(study_page: str, width: int, tmp_path: Path) -> None:
    found = look(study_page, width, tmp_path)
    assert found["inner"] == width
    assert found["scroll"] <= width
    assert found["wide"] == []
    assert found["small"] == []
    assert found["console"] == []
    assert found["resources"] == []
    assert found["scripts"] == 0


@pytest.mark.parametrize("width", [360, 390, 720, 1280])
def test_a_study_of_many_long_names_fits(width: int, tmp_path: Path) -> None:
    found = look(render_study(mixture_study(), rerun_command="paribus run synthetic-mixture"), width, tmp_path)
    assert found["scroll"] <= width
    assert found["wide"] == []
    assert found["small"] == []
    assert found["console"] == []
    assert len(found["overlaps"]) <= (1 if width < 720 else 0)  # 25 arms along one line fill a phone's chart


@pytest.mark.parametrize("width", [360, 390, 900, 1400])
def test_names_around_line_charts_keep_apart(width: int, tmp_path: Path) -> None:
    found = look(render_study(sequence_study(), rerun_command="paribus run synthetic-testbeds"), width, tmp_path)
    assert found["scroll"] <= width
    assert found["wide"] == []
    assert found["small"] == []
    assert found["console"] == []
    assert found["overlaps"] == []
    assert found["ticks"] == []
    assert found["beside"] == []


def test_right_to_left_text_is_laid_out_right_to_left(study_page: str, tmp_path: Path) -> None:
    texts = {(language, direction) for language, direction, _ in look(study_page, 390, tmp_path)["texts"]}
    assert {("ar", "rtl"), ("he", "rtl"), ("hi", "ltr"), ("zh", "ltr")} <= texts


@pytest.mark.parametrize("width", [390, 1280])
def test_the_scoreboard_fits(width: int, tmp_path: Path) -> None:
    found = look(render_scoreboard(scoreboard_rows([synthetic_study()])), width, tmp_path)
    assert found["scroll"] <= width
    assert found["wide"] == []
    assert found["console"] == []


def test_hostile_text_neither_runs_nor_breaks_the_layout(tmp_path: Path) -> None:
    found = look(render_study(attacked_study(), rerun_command="x" * 500), 390, tmp_path)
    assert found["scripts"] == 0
    assert found["console"] == []
    assert found["scroll"] <= 390
    assert found["wide"] == []


def test_the_probe_sees_what_it_should(study_page: str, tmp_path: Path) -> None:
    """The checks above can fail: a page with a wide box and a script is caught, and the policy stops the script."""
    bad = study_page.replace(
        "</main>",
        '<p style="width:900px;max-width:none">wide</p><div class="area"><span class="tag" style="left:0">a</span>'
        '<span class="tag" style="left:0">b</span><span class="end" style="left:0">c</span><div class="x-ticks">'
        '<span style="left:0">10</span><span style="left:0">20</span></div></div>'
        "<script>window.pwned = 1</script></main>",
    )
    found = look(bad, 390, tmp_path)
    assert found["scroll"] > 390
    assert found["wide"]
    assert ["a", "b"] in found["overlaps"]
    assert found["ticks"] == ["20"]
    assert found["beside"] == ["c"]
    assert found["scripts"] == 1
    assert found["pwned"] == "undefined"
    assert any("Content Security Policy" in line for line in found["console"])
