"""The pages in a real browser, by keyboard: two forms rated, a reload, the way out; hostile texts; any width."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser_pipe import CHROMIUM, Tab
from server_forms import database, form, game_rows

from paribus.feedback.annotation.schema import validate
from paribus.feedback.server.database import Database
from paribus.feedback.server.export import ratings, verdicts
from paribus.feedback.server.serving import Address, application
from paribus.records import Rating, read_records, write_records

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; install one to check pages in a browser"),
]

HOSTILE = (
    "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>",
    "\u202eevil\u202d \x00 <a href='javascript:window.pwned = 3'>here</a> " + "long" * 25_000,
)


@contextmanager
def served(made: Database) -> Iterator[str]:
    """The address of a server of the database, on a free port of the loopback."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(application(made, Address(), None), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with Tab(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def fresh(tab: Tab) -> None:
    """Nobody is signed in, nothing was complained of."""
    tab.ask("Network.clearBrowserCookies")
    tab.events.clear()


def sign_in(tab: Tab, address: str, task: str, name: str = "ana", ui: str = "en") -> None:
    tab.open(f"{address}/sign-in?task={task}&ui={ui}")
    tab.value("document.querySelector('[name=name]').focus()")
    tab.type(name)
    with tab.new_page():
        tab.press("Enter")


def submit(tab: Tab) -> None:
    with tab.new_page():
        tab.press("Enter")


def test_two_forms_are_rated_by_keyboard_with_a_reload_between(tab: Tab, tmp_path: Path) -> None:
    made = database(tmp_path, [form(number) for number in range(3)])
    with served(made) as address:
        sign_in(tab, address, "errors")
        tab.press("q4")  # the first error of answer A, a 4; on to B
        tab.press("we2")  # the second and third error of B, a 2; on to the checks
        tab.press("12")  # yes, no; the button has the focus
        submit(tab)
        assert "1 of 3 done" in tab.value("document.body.innerText")
        with tab.new_page():
            tab.ask("Page.reload")
        assert "1 of 3 done" in tab.value("document.body.innerText")
        tab.press("b5a1")  # B first, then back to A
        assert tab.value("document.activeElement.closest('fieldset').className").startswith("check")
        tab.press("12")
        submit(tab)
        assert "2 of 3 done" in tab.value("document.body.innerText")
        with tab.new_page():
            tab.press("z")
        tab.press("b3")
        submit(tab)
        assert all(each.startswith(address) for each in tab.requests())
    assert tab.complaints() == []
    write_records(tmp_path / "ratings.jsonl", ratings(made))
    rows = [validate(row) for row in read_records(tmp_path / "ratings.jsonl", Rating)]
    assert [row.errors for row in rows] == [("factuality",), ("refusal", "repetition"), (), ()]
    assert [row.scores["overall"] for row in rows] == [4, 2, 1, 3]
    assert [row.meta["changes"] for row in rows] == [0, 0, 1, 1]
    assert {row.meta["attention"] for row in rows} == {"passed"}


def test_votes_are_cast_by_letters_and_by_numbers(tab: Tab, tmp_path: Path) -> None:
    made = database(tmp_path, games=game_rows(6))
    with served(made) as address:
        sign_in(tab, address, "arena")
        for key in ("a", "b", "t", "n", "1", "4"):
            tab.press(key)
            submit(tab)
        assert "All done" in tab.value("document.body.innerText")
    assert [row.raw for row in verdicts(made)] == ["first", "second", "tie", "bad", "first", "bad"]
    assert tab.complaints() == []


def test_enter_on_half_a_form_sends_nothing(tab: Tab, tmp_path: Path) -> None:
    made = database(tmp_path, [form(0, pass_="quality")])
    with served(made) as address:
        sign_in(tab, address, "quality")
        tab.press("3")
        tab.press("Enter")
        assert tab.value("document.querySelectorAll(':invalid').length") > 0
        tab.press("4")
        submit(tab)
        assert "All done" in tab.value("document.body.innerText")
    assert [row.scores["quality"] for row in ratings(made)] == [3, 4]


def test_the_focus_is_seen_and_the_question_at_hand_is_marked(tab: Tab, tmp_path: Path) -> None:
    with served(database(tmp_path, [form(0, pass_="style")])) as address:
        sign_in(tab, address, "style")
        assert tab.value("document.querySelector('.question.now').id") == "first.assertiveness"
        tab.press("2")
        assert tab.value("document.querySelector('.question.now').id") == "first.complexity"
        stops = []
        outlined = "[document.activeElement, document.activeElement.nextElementSibling]"
        outlined += ".some(each => each && getComputedStyle(each).outlineStyle === 'solid')"
        for _ in range(4):
            tab.press("Tab")
            stops.append(tab.value("document.activeElement.name || document.activeElement.className"))
            assert tab.value(outlined), stops
        assert stops == ["text", "second.assertiveness", "second.complexity", "main"]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("language", ["en", "ar", "zh"])
def test_pages_fit_and_texts_run_in_their_direction(tab: Tab, tmp_path: Path, width: int, language: str) -> None:
    texts = {"en": "An answer with a_very_long_word_" + "x" * 200, "ar": "إجابة " * 40, "zh": "回答" * 80}[language]
    tab.resize(width)
    with served(database(tmp_path, [form(0, language=language, texts=(texts, texts + "."), prompt=texts)])) as address:
        sign_in(tab, address, "errors", ui=language)
        assert tab.value("document.documentElement.scrollWidth") <= width
        wide = "[...document.querySelectorAll('main *')].filter(each => !each.closest('.text')).filter(each =>"
        wide += " each.getBoundingClientRect().right > innerWidth + 1 || each.getBoundingClientRect().left < -1).length"
        assert tab.value(wide) == 0
        small = "[...document.querySelectorAll('main *')].filter(each => each.textContent.trim() &&"
        small += " parseFloat(getComputedStyle(each).fontSize) < 11).length"
        assert tab.value(small) == 0
        direction = "rtl" if language == "ar" else "ltr"
        found = "[...document.querySelectorAll('.text, html')].map(each => getComputedStyle(each).direction)"
        assert set(tab.value(found)) == {direction}
        below = "document.getElementById('second').getBoundingClientRect().top"
        below += " > document.getElementById('first').getBoundingClientRect().bottom"
        assert tab.value(below) == (width == 390), "side by side where there is room"
    assert tab.complaints() == []


def test_hostile_texts_neither_run_nor_reorder_the_page(tab: Tab, tmp_path: Path) -> None:
    tab.resize(1280)
    with served(database(tmp_path, [form(0, texts=HOSTILE, prompt=HOSTILE[0])])) as address:
        sign_in(tab, address, "errors")
        assert tab.value("String(window.pwned)") == "undefined"
        assert tab.value("document.scripts.length") == 1
        assert tab.value("document.querySelectorAll('.text *').length") == 0
        assert tab.value("document.querySelector('.side .text').textContent") == HOSTILE[0]
        assert tab.value("document.documentElement.scrollWidth") <= 1280
        assert all(each.startswith(address) for each in tab.requests())
    assert tab.complaints() == []


def test_the_policy_stops_what_would_run_and_the_checks_see_it(tab: Tab, tmp_path: Path) -> None:
    with served(database(tmp_path, [form(0)])) as address:
        tab.open(f"{address}/sign-in")
        tab.value("document.body.append(Object.assign(document.createElement('script'), {text: 'window.pwned = 1'}))")
        tab.value("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))")
        tab.wait_for("true")
        assert tab.value("String(window.pwned)") == "undefined"
        assert sum("Content Security Policy" in line for line in tab.complaints()) == 2
