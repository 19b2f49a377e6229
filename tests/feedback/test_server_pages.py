"""Words in 23 languages, and texts of any kind shown as text."""

import json
import string
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server_forms import form

from paribus.feedback.annotation.schema import ERRORS, SCALES
from paribus.feedback.server.pages import FormPage, Frame, form_page, message_page, sign_in_page, visible
from paribus.feedback.server.queue import Progress
from paribus.feedback.server.tasks import RATING, TASKS, VOTES, Shown
from paribus.feedback.server.texts import preferred, texts
from paribus.languages import AYA_23, get
from paribus.records import Message

TEXTS = files("paribus.feedback.server").joinpath("texts")


class Reader(HTMLParser):
    """The texts and the tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("class") == "text"
        if self._inside:
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


def page_of(*shown_texts: str, language: str = "en", ui: str = "en") -> Reader:
    """A page with a request and two answers, as read."""
    request, first, second = shown_texts
    shown = Shown(language, (Message(role="user", content=request),), (first, second), scales=("quality",))
    return Reader(form_page(FormPage(Frame(ui, "token", "ana"), "quality", "nonce", shown, Progress(0, 1))))


# Words


def leaves(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, str):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {name: text for key, each in items for name, text in leaves(each, f"{path}/{key}").items()}


def blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_language_has_its_own_file_and_no_other_is_there() -> None:
    assert sorted(entry.name for entry in TEXTS.iterdir()) == sorted(f"{code}.json" for code in AYA_23)


@pytest.mark.parametrize("code", AYA_23)
def test_words_are_complete_and_of_the_language(code: str) -> None:
    own, english = leaves(texts(code)), leaves(texts("en"))
    assert own.keys() == english.keys()
    assert all(text.strip() == text and text for text in own.values())
    assert {key: blanks(text) for key, text in own.items()} == {key: blanks(text) for key, text in english.items()}
    if code == "en":
        return
    alike = {key for key in own if own[key] == english[key]}
    assert len(alike) <= 4, alike  # short words such as "No", or a language's loan from English
    assert leaves(texts(code)["errors"]).keys().isdisjoint(alike)


@pytest.mark.parametrize("code", AYA_23)
def test_words_are_written_in_the_languages_script(code: str) -> None:
    import unicodedata

    names = {"Latn": "LATIN", "Arab": "ARABIC", "Cyrl": "CYRILLIC", "Grek": "GREEK", "Hebr": "HEBREW"}
    names |= {"Deva": "DEVANAGARI", "Hans": "CJK", "Jpan": "HIRAGANA", "Kore": "HANGUL"}
    script = names[get(code).script]
    help_text = " ".join(texts(code)["help"].values())
    letters = [character for character in help_text if character.isalpha()]
    share = sum(script in unicodedata.name(character, "") for character in letters) / len(letters)
    assert share > (0.4 if script == "HIRAGANA" else 0.9)


def test_words_name_every_task_error_scale_and_vote() -> None:
    words = texts("en")
    assert set(words["tasks"]) == set(words["help"]) == set(TASKS)
    assert tuple(words["errors"]) == ERRORS
    assert set(words["scales"]) == set(SCALES)
    assert set(words["votes"]) == set(VOTES)


def test_no_two_errors_or_votes_of_a_language_are_called_the_same() -> None:
    for code in AYA_23:
        titles = [title for title, _ in texts(code)["errors"].values()]
        assert len(set(titles)) == len(titles), code
        assert len(set(texts(code)["votes"].values())) == 4, code


def test_files_are_plain_json_with_letters_as_they_are() -> None:
    for entry in TEXTS.iterdir():
        raw = entry.read_text(encoding="utf-8")
        json.loads(raw)
        assert "\\u" not in raw, entry.name


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("xx,ar;q=0.5", "ar"),
        ("fr;q=0.2, ja;q=0.9", "ja"),
        ("sw, yo", "en"),
        ("es;q=0", "en"),
        ("zh-Hant-TW", "zh"),
        (";;;,=,q=;q=x,\x00", "en"),
    ],
)
def test_the_browsers_language_is_taken_where_it_is_ours(header: str, language: str) -> None:
    assert preferred(header) == language


@pytest.mark.parametrize("code", AYA_23)
def test_every_page_is_rendered_in_every_language(code: str) -> None:
    direction = get(code).direction
    frame = Frame(code, "token", "ana")
    pages = [
        form_page(FormPage(frame, name, "nonce", task.shown(task.row(form(0, pass_=name)).body), Progress(1, 2)))
        for name, task in RATING.items()
    ]
    pages.append(sign_in_page(frame, task="arena", with_token=True, languages=AYA_23, chosen={}))
    pages += [message_page(frame, name, go_on="/") for name in ("finished", "stale", "absent", "other_task")]
    for page in pages:
        assert f'<html lang="{code}" dir="{direction}">' in page
        assert "{" not in page.replace("{&#34;", ""), "a blank was left unfilled"


# Texts

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "[click](javascript:alert(1)) <a href='javascript:alert(1)'>here</a>",
    "</div></form><form action=//evil.example><input name=token>",
    "{{ 7 * 7 }} {% raw %} {# #}",
    "<!-- --><![CDATA[ ]]>&lt;b&gt; &amp;amp; &#60;script&#62;",
    "# Title\n\n**bold** `code` <b>html</b>",
    "<textarea><title><noscript><style>*{display:none}</style>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_markup_of_any_kind_is_shown_as_it_is_written(text: str) -> None:
    plain, found = page_of("request", "first", "second"), page_of(text, text, text)
    assert found.texts == [text] * 3
    assert found.tags == plain.tags, "no tag and no attribute came from a text"


@settings(max_examples=150, deadline=None)
@given(st.text(min_size=1).filter(str.strip), st.text().filter(str.strip))
def test_any_text_comes_back_from_the_page_as_its_visible_form(request: str, answer: str) -> None:
    found = page_of(request, answer, "b")
    assert found.texts == [visible(request), visible(answer), "b"]


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_what_is_visible_can_be_written_and_hides_nothing(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert not any(ord(letter) < 32 and letter not in "\t\n" for letter in shown)
    assert not {"\u202d", "\u202e", "\x7f", "\ufffe"} & set(shown)
    assert visible(shown) == shown


def test_overrides_nuls_and_half_letters_are_made_visible() -> None:
    assert visible("a\u202eb\x00c\ud800d\r\ne") == "a⟨U+202E⟩b␀c\ufffdd\ne"
    assert visible("\u200f\u2067نص\u2069") == "\u200f\u2067نص\u2069", "what right-to-left text needs stays"


def test_a_text_of_100_kb_is_shown_whole() -> None:
    text = "word <b> " * 11_500
    assert page_of("request", text, "b").texts[1] == text


def test_an_empty_answer_is_said_to_be_empty() -> None:
    shown = Shown("en", (Message(role="user", content="x"),), ("", " \n"), scales=("quality",))
    page = form_page(FormPage(Frame("de", "t", "ana"), "quality", "n", shown, Progress(0, 1)))
    assert page.count("Diese Antwort ist leer.") == 2


def test_a_conversation_shows_who_speaks() -> None:
    turns = (
        Message(role="system", content="Be brief."),
        Message(role="user", content="One?"),
        Message(role="assistant", content="Two."),
        Message(role="user", content="Three?"),
    )
    page = form_page(
        FormPage(Frame("en", "t", "ana"), "arena", "n", Shown("en", turns, ("a", "b"), vote=True), Progress(0, 1))
    )
    found = [page.index(word) for word in ("Instructions to the assistant", "Be brief.", "One?", "Assistant<", "Two.")]
    assert found == sorted(found)
