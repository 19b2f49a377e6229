"""From what a task shows to HTML: every text is escaped, marked with its own language and direction, and kept inside.

A page holds no style and no script of its own (the policy in ``security`` forbids both), and works without script:
``static/keys.js`` adds the keyboard.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from paribus.feedback.server.queue import Progress
from paribus.feedback.server.tasks import SIDES, Fields, Shown, check_choices
from paribus.feedback.server.texts import autonyms, texts
from paribus.languages import AYA_23, get

if TYPE_CHECKING:
    from jinja2 import Environment

ERROR_KEYS = "qwertyuiop"
"""The keys that mark errors, in their order on the form."""

# What HTML forbids or UTF-8 cannot hold: C0 controls (but tab and line end), DEL and C1, surrogates, noncharacters.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f]")
_UNWRITABLE = re.compile("[\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
# Left-to-right and right-to-left override: they make a text read as what it is not.
_OVERRIDES = re.compile("[\u202d\u202e]")


def visible(text: str) -> str:
    """The text with what could not be seen, or would deceive, made visible: pictures of controls, names of overrides.

    Embeddings and isolates stay: right-to-left text needs them, and they end with the block they stand in.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub(lambda match: chr(0x2400 + ord(match[0])), text)
    text = _OVERRIDES.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)
    return _UNWRITABLE.sub("\ufffd", text)


@dataclass(frozen=True)
class Frame:
    """What every page has: the language of its words, and, of someone who signed in, name and CSRF token."""

    ui: str
    csrf: str = ""
    rater: str = ""


@dataclass(frozen=True)
class FormPage:
    """A form in a page. ``chosen`` is what is marked already; ``trouble`` names a sentence of the texts."""

    frame: Frame
    task: str
    nonce: str
    shown: Shown
    progress: Progress
    chosen: Fields = field(default_factory=dict)
    changing: bool = False
    may_change: bool = False
    trouble: str = ""


def form_page(page: FormPage) -> str:
    """The form itself."""
    return _render("form.html.jinja", page.frame, page=page, sides=SIDES, error_keys=ERROR_KEYS)


def sign_in_page(
    frame: Frame, *, task: str, with_token: bool, languages: Sequence[str], chosen: Fields, trouble: str = ""
) -> str:
    """Who someone is, what they read, and the access code where one is asked for."""
    facts = {"task": task, "with_token": with_token, "chosen": chosen, "trouble": trouble}
    return _render("sign_in.html.jinja", frame, languages=autonyms(languages), pages=autonyms(AYA_23), **facts)


def tasks_page(frame: Frame, tasks: Sequence[str]) -> str:
    """The tasks to choose from, for someone who has none yet."""
    return _render("tasks.html.jinja", frame, tasks=tasks)


def message_page(
    frame: Frame,
    sentence: str,
    *,
    go_on: str = "",
    change: str = "",
    task: str = "",
    progress: Progress | None = None,
) -> str:
    """One sentence (of ``trouble``, or ``finished``) of a task, and the addresses to go on and to change an answer."""
    words = texts(frame.ui)
    text = words[sentence] if sentence in words else words["trouble"][sentence]
    facts = {"sentence": text.format(task=task), "go_on": go_on, "change": change, "progress": progress}
    return _render("message.html.jinja", frame, **facts)


def task_name(ui: str, task: str) -> str:
    """A task as its raters call it."""
    return str(texts(ui)["tasks"][task])


def _render(template: str, frame: Frame, **values: Any) -> str:
    words = texts(frame.ui)
    return (
        _environment()
        .get_template(template)
        .render(words=words, frame=frame, direction=get(frame.ui).direction, **values)
    )


def direction_of(language: str) -> str:
    """The ``dir`` of a text."""
    return get(language).direction


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("paribus.feedback.server"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["visible"] = visible
    made.filters["direction"] = direction_of
    made.filters["choices"] = check_choices
    return made
