"""The pages over HTTP: signing in, rating, coming back, and everything that must be refused."""

import re
from pathlib import Path

import pytest
from server_forms import MODELS, Browser, database, form, game_rows

from paribus.feedback.server import people
from paribus.feedback.server.database import now
from paribus.feedback.server.export import ratings, verdicts
from paribus.feedback.server.people import SESSION_SECONDS
from paribus.feedback.server.security import COOKIE, HEADERS
from paribus.feedback.server.serving import Address

TOKEN = "a-token-of-some-length"


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    """A client of a server with three forms of errors and one of quality."""
    return Browser(database(tmp_path, [*(form(number) for number in range(3)), form(0, pass_="quality")]))


def test_a_rater_signs_in_rates_everything_and_is_thanked(browser: Browser) -> None:
    page = browser.sign_in("ana")
    assert page.url.path == "/errors" and "0 of 3 done" in page.text
    for done in (1, 2):
        assert f"{done} of 3 done" in browser.rate().text
    assert "All done. Thank you!" in browser.rate().text
    assert len(ratings(browser.app.state.site.database)) == 6


def test_a_rater_comes_back_by_name_to_where_they_were(browser: Browser) -> None:
    browser.sign_in("ana")
    browser.rate()
    nonce = browser.hidden("nonce")
    browser.http.cookies.clear()
    assert browser.get("/errors").url.path == "/sign-in"
    page = browser.sign_in("ana")
    assert "1 of 3 done" in page.text and browser.hidden("nonce") == nonce


def test_two_raters_are_never_given_one_slot(browser: Browser) -> None:
    other = Browser(browser.app.state.site.database)
    browser.sign_in("ana")
    other.sign_in("ben")
    assert browser.hidden("nonce") != other.hidden("nonce")
    stolen = other.rate(nonce=browser.hidden("nonce"))
    assert stolen.status_code == 409 and "no longer current" in stolen.text


def test_a_double_submission_counts_once(browser: Browser) -> None:
    browser.sign_in("ana")
    first = browser.page
    browser.rate(first_overall="4")
    browser.page = first
    assert browser.rate(first_overall="1").status_code == 200
    found = ratings(browser.app.state.site.database)
    assert [row.scores["overall"] for row in found] == [4, 3]


def test_a_rater_does_one_task(browser: Browser) -> None:
    browser.sign_in("ana", "quality")
    refused = browser.get("/errors")
    assert refused.status_code == 403 and "Rate quality" in refused.text
    assert browser.get("/").url.path == "/quality"


def test_someone_without_a_task_chooses_one(browser: Browser) -> None:
    page = browser.sign_in("ana", "")
    assert page.url.path == "/" and 'href="/errors"' in page.text and 'href="/quality"' in page.text
    assert 'href="/style"' not in page.text, "no form of it is there"


def test_the_last_answer_is_changed(browser: Browser) -> None:
    assert "/change" not in browser.sign_in("ana").text
    browser.rate(first_error=["refusal"], first_overall="2")
    page = browser.post("/errors/change")
    assert "You are changing your last answer." in page.text
    assert re.search(r'value="refusal" checked', page.text)
    assert re.search(r'name="first.overall" value="2" required checked', page.text)
    browser.rate(first_overall="5")
    rows = ratings(browser.app.state.site.database)
    assert rows[0].scores["overall"] == 5 and rows[0].errors == () and rows[0].meta["changes"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"first_overall": ""},
        {"first_overall": "6"},
        {"first_overall": ["1", "2"]},
        {"check_1": "maybe"},
        {"second_error": ["factuality", "harmful"]},
        {"second_error": ["<b>"]},
    ],
)
def test_half_an_answer_is_asked_for_again_with_what_was_chosen(browser: Browser, fields: dict[str, str]) -> None:
    browser.sign_in("ana")
    page = browser.rate(**{"second_overall": "4", "first_error": ["refusal"], **fields})
    assert page.status_code == 422 and "Please answer every question." in page.text
    assert re.search(r'name="second.overall" value="4" required checked', page.text)
    assert re.search(r'name="first.error" value="refusal" checked', page.text)
    assert "0 of 3 done" in page.text


def test_pages_speak_the_language_that_was_chosen(browser: Browser) -> None:
    assert '<html lang="he" dir="rtl">' in browser.get("/sign-in?ui=he", headers={"Accept-Language": "fr"}).text
    assert '<html lang="fr" dir="ltr">' in browser.get("/sign-in", headers={"Accept-Language": "fr"}).text
    assert '<html lang="en" dir="ltr">' in browser.get("/sign-in?ui=xx", headers={"Accept-Language": "xx"}).text
    browser.get("/sign-in?task=errors&ui=fa")
    page = browser.post("/sign-in", name="ana", task="errors", ui="fa", language="en")
    assert '<html lang="fa" dir="rtl">' in page.text
    assert '<html lang="fa" dir="rtl">' in browser.get("/errors", headers={"Accept-Language": "fr"}).text
    assert '<html lang="de" dir="ltr">' in browser.get("/sign-in?ui=de").text, "also of someone signed in"


# CSRF


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/errors", "/errors/change"])
@pytest.mark.parametrize("kind", ["missing", "wrong", "of another session"])
def test_a_post_without_its_sessions_csrf_token_is_refused(browser: Browser, path: str, kind: str) -> None:
    other = Browser(browser.app.state.site.database)
    other.sign_in("ben")
    browser.sign_in("ana")
    nonce = browser.hidden("nonce")
    token = {"missing": "", "wrong": "0" * 64, "of another session": other.hidden("csrf")}[kind]
    fields = {"nonce": nonce, "name": "eve", "language": "en", "task": "errors", "ui": "en"}
    refused = browser.http.post(path, data=fields | ({"csrf": token} if token else {}))
    assert refused.status_code == 403
    assert ">0 of " in browser.get("/errors").text
    assert "<bdi>ana</bdi>" in browser.page.text


def test_a_post_without_any_session_is_refused(browser: Browser) -> None:
    other = Browser(browser.app.state.site.database)
    other.get("/sign-in")
    sent = {"csrf": other.hidden("csrf"), "name": "eve", "language": "en"}
    assert browser.http.post("/sign-in", data=sent).status_code == 403


def test_signing_in_brings_a_new_session_and_signing_out_ends_it(browser: Browser) -> None:
    browser.get("/sign-in?task=errors")
    before = browser.http.cookies[COOKIE]
    browser.sign_in("ana")
    session = browser.http.cookies[COOKIE]
    assert session != before
    with_it = {"Cookie": f"{COOKIE}={session}"}
    other = Browser(browser.app.state.site.database)
    assert other.get("/errors", headers=with_it).url.path == "/errors"
    browser.post("/sign-out")
    assert other.get("/errors", headers=with_it).url.path == "/sign-in"


def test_a_session_ends_by_itself(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    browser.sign_in("ana")
    later = now() + SESSION_SECONDS
    monkeypatch.setattr(people, "now", lambda: later - 60)
    assert browser.get("/errors").url.path == "/errors"
    monkeypatch.setattr(people, "now", lambda: later + 60)
    assert browser.get("/errors").url.path == "/sign-in"


# Tokens


@pytest.fixture
def guarded(tmp_path: Path) -> Browser:
    """A client of a server that asks for a token."""
    return Browser(database(tmp_path, [form(0)]), token=TOKEN, address=Address("0.0.0.0"))


@pytest.mark.parametrize("given", ["", "wrong", TOKEN + "x"])
def test_a_wrong_access_code_does_not_let_in(guarded: Browser, given: str) -> None:
    page = guarded.sign_in("ana", token=given)
    assert page.status_code == 403 and "The access code is wrong." in page.text
    assert guarded.get("/errors").url.path == "/sign-in"


def test_the_access_code_lets_in_and_is_seen_nowhere_after(
    guarded: Browser, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    page = guarded.sign_in("ana", token=TOKEN)
    assert page.status_code == 200 and page.url.path == "/errors"
    assert TOKEN not in page.text and TOKEN not in str(page.url)
    assert all(TOKEN not in str(reply.headers) + str(reply.url) for reply in page.history)
    written = caplog.text + "".join(capfd.readouterr())
    assert TOKEN not in written and guarded.http.cookies[COOKIE] not in written
    path = guarded.app.state.site.database.path
    stored = b"".join(each.read_bytes() for each in path.parent.glob(path.name + "*"))
    assert TOKEN.encode() not in stored and guarded.http.cookies[COOKIE].encode() not in stored


@pytest.mark.parametrize("name", ["", " ", "x" * 61, "<script>", "a\x00b", "-x", "\u202eevil"])
def test_a_name_that_cannot_be_one_is_asked_for_again(browser: Browser, name: str) -> None:
    page = browser.sign_in(name)
    assert page.status_code == 422 and "Please give a name" in page.text
    assert "<script>" not in page.text.replace('<script src="/static/keys.js" defer></script>', "")


def test_names_of_any_script_are_welcome(browser: Browser) -> None:
    for name in ("أمينة", "王小明", "Ngô Bảo", "rater 7", "a.b@c.example"):
        assert f"<bdi>{name}</bdi>" in browser.sign_in(name).text


def test_a_language_without_forms_is_no_choice(browser: Browser) -> None:
    page = browser.sign_in("ana", languages=["de", "xx"])
    assert page.status_code == 422 and "choose at least one language" in page.text


# Headers and hosts


@pytest.mark.parametrize("path", ["/", "/sign-in", "/errors", "/nowhere", "/static/style.css", "/static/nothing"])
def test_every_reply_carries_the_policy(browser: Browser, path: str) -> None:
    headers = browser.get(path).headers
    for name, value in HEADERS.items():
        assert headers.get_list(name) == [value]


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere(browser: Browser) -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy and "script-src" not in policy
    page = browser.sign_in("ana").text
    assert re.findall(r"<script[^>]*>", page) == ['<script src="/static/keys.js" defer>']
    assert not re.search(r"<[^>]+\s(style|on\w+)=", page) and "<style" not in page


@pytest.mark.parametrize("secure", [False, True])
def test_cookies_are_for_this_server_alone(tmp_path: Path, secure: bool) -> None:
    browser = Browser(database(tmp_path, [form(0)]), address=Address(https=secure))
    cookie = browser.get("/sign-in").headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie
    assert ("Secure" in cookie) == secure


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8020", "", "192.168.0.9"]
)
def test_another_host_name_is_not_answered(browser: Browser, host: str) -> None:
    reply = browser.get("/sign-in", headers={"Host": host})
    assert reply.status_code == 421 and "<form" not in reply.text


@pytest.mark.parametrize("host", ["localhost:8020", "[::1]:8020", "127.0.0.1"])
def test_the_loopbacks_names_are_answered(browser: Browser, host: str) -> None:
    assert browser.get("/sign-in", headers={"Host": host}).status_code == 200


def test_what_is_too_long_or_of_another_kind_is_refused(browser: Browser) -> None:
    browser.sign_in("ana")
    csrf = browser.hidden("csrf")
    assert browser.http.post("/errors", data={"csrf": csrf, "x": "y" * 70_000}).status_code == 413
    assert browser.http.post("/errors", json={"csrf": csrf}).status_code == 415
    assert browser.http.post("/errors", data={"csrf": csrf} | {f"f{n}": "1" for n in range(300)}).status_code == 400
    unsized = browser.http.post("/errors", content=iter([b"csrf="]), headers={"Content-Type": "text/plain"})
    assert unsized.status_code == 411


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc", "/nowhere", "/static/../app.py", "/style"])
def test_there_are_no_other_pages(browser: Browser, path: str) -> None:
    browser.sign_in("ana")
    assert browser.get(path).status_code == 404


@pytest.mark.parametrize("task", ["//evil.example", "https://evil.example", "../x", "errors\r\nX: y"])
def test_signing_in_leads_nowhere_else(browser: Browser, task: str) -> None:
    browser.get("/sign-in")
    page = browser.post("/sign-in", name="ana", task=task, ui="en", language="en")
    assert page.url.host == "127.0.0.1" and page.url.path == "/"


# What pages tell


def test_no_page_names_a_model_an_item_or_a_form(tmp_path: Path) -> None:
    forms = [form(number, pass_=name) for number in range(2) for name in ("errors", "quality", "style")]
    made = database(tmp_path, forms, game_rows(2))
    for task in ("errors", "quality", "style", "arena"):
        browser = Browser(made)
        pages = [browser.sign_in(task, task), browser.rate(task), browser.post(f"/{task}/change"), browser.rate(task)]
        for page in pages:
            assert page.status_code == 200
            told = page.text + str(page.headers) + str(page.url)
            assert not any(word in told for word in (*MODELS, "toy/", "input-", "pair-", "arena/en", f"{task}-en"))


def test_the_arena_keeps_the_vote_and_the_order(tmp_path: Path) -> None:
    made = database(tmp_path, games=game_rows(8))
    browser = Browser(made)
    browser.sign_in("ana", "arena")
    for _ in range(8):
        good = browser.page.text.index("good answer") < browser.page.text.index("poor answer")
        browser.rate("arena", vote="first" if good else "second")
    rows = verdicts(made)
    assert [row.label for row in rows] == ["A>B"] * 8
    assert {row.order for row in rows} == {"ab", "ba"}
    assert {row.judge for row in rows} == {"ana"}


def test_each_text_has_its_own_language_and_direction(tmp_path: Path) -> None:
    browser = Browser(database(tmp_path, [form(0, language="ar", texts=("نص أول", "نص ثان"), prompt="طلب")]))
    page = browser.sign_in("ana", languages=["ar"]).text
    assert '<html lang="en" dir="ltr">' in page
    assert len(re.findall(r'class="text"[^>]* lang="ar" dir="rtl"', page)) == 3
