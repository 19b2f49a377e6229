"""What a judge is asked, and how its verdict is read: rules in 23 languages, material in a frame, labels.

The rules are data, ``judge_texts/<code>.json``, one file a language with a version of its own; names of languages come
from CLDR and stand behind colons, where they need no inflection. Labels and marker lines are the same everywhere, so
that one reader serves all. Three protocols, told apart by the labels they ask for; the wording of all is ours:

``five``, template ``arena_hard``: Arena-Hard-Auto's (arXiv 2406.11939, official repository): the judge first writes its
own answer, then compares, and ends with one of five labels; the last one in double brackets counts, single brackets
are a fallback.
``three``, template ``aya``: win, loss or tie, as the Aya papers report, with the language named.
``two``, template ``alpaca``: A or B and nothing else, as AlpacaEval asks, so that the label can also be weighed by its
log-probability.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from paribus.errors import ConfigError
from paribus.feedback.arbiters import unit_noise
from paribus.feedback.games import Game
from paribus.languages import get
from paribus.records import Prompt, VerdictLabel

Labels = Literal["five", "three", "two"]
Brackets = Literal["double", "single"]
TemplateName = Literal["arena_hard", "aya", "alpaca"]

TEMPLATES: dict[Labels, TemplateName] = {"five": "arena_hard", "three": "aya", "two": "alpaca"}
OWN_LANGUAGE = "prompt"
"""As judge language: every prompt's own."""

_FOLDER = Path(__file__).parent / "judge_texts"
_SIGNS: dict[Labels, str] = {
    "five": r"A>>B|A>B|A=B|B=A|B>A|B>>A|A<<B|A<B|B<<A|B<A",
    "three": r"A|B|TIE",
    "two": r"A|B",
}
_MEANING: dict[str, VerdictLabel] = {
    "A>>B": "A>>B",
    "B<<A": "A>>B",
    "A>B": "A>B",
    "B<A": "A>B",
    "A": "A>B",
    "A=B": "A=B",
    "B=A": "A=B",
    "TIE": "A=B",
    "B>A": "B>A",
    "A<B": "B>A",
    "B": "B>A",
    "B>>A": "B>>A",
    "A<<B": "B>>A",
}


class JudgeTexts(BaseModel):
    """The rules in one language, paragraphs in their order; ``{frame}`` stands where the frame is explained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    frame: str
    arena_hard: tuple[str, ...]
    aya: tuple[str, ...]
    alpaca: tuple[str, ...]

    def rules(self, template: TemplateName, *, code: str, language: str, answered: str) -> str:
        """The rules of a template: the code of the frame and the names of the two languages put in."""
        paragraphs: tuple[str, ...] = getattr(self, template)
        frame = self.frame.format(code=code)
        return "\n".join(paragraphs).format(frame=frame, language=language, answered=answered)


@dataclass(frozen=True)
class Template:
    """Which words a judge was given. Verdicts record it: under other words the same model judges differently."""

    name: TemplateName
    version: str
    language: str


def judge_languages() -> tuple[str, ...]:
    """Codes of the languages that the rules are written in, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


@lru_cache(maxsize=64)
def judge_texts(language: str) -> JudgeTexts:
    """The rules in a language; ``ConfigError`` for one that they are not written in."""
    path = _FOLDER / f"{language}.json"
    if language not in judge_languages():
        raise ConfigError(
            f"There are no rules for judges in {language!r}; choose the judge language 'en', or one of "
            f"{', '.join(judge_languages())}."
        )
    return JudgeTexts.model_validate(json.loads(path.read_text(encoding="utf-8")))


def template_for(prompt: Prompt, labels: Labels, judge_language: str = "en") -> Template:
    """The template of a prompt. ``judge_language``: a code, or ``"prompt"`` for the prompt's own language."""
    code = get(prompt.language if judge_language == OWN_LANGUAGE else judge_language).code
    return Template(TEMPLATES[labels], judge_texts(code).version, code)


def rules_for(prompt: Prompt, template: Template, code: str) -> str:
    """What the judge is told about a prompt, with the code of its frame."""
    named = {
        "language": language_name(prompt.language, template.language),
        "answered": language_name(answer_language(prompt), template.language),
    }
    return judge_texts(template.language).rules(template.name, code=code, **named)


def answer_language(prompt: Prompt) -> str:
    """The language an answer is asked for in: the prompt's, unless a translation is asked for."""
    return str(prompt.meta.get("answer_language", prompt.language))


def language_name(code: str, language: str) -> str:
    """What a language is called in another: the registry's name in English, else CLDR's."""
    if language == "en":
        return get(code).name
    from babel import Locale

    return str(Locale.parse(language).languages.get(get(code).code, get(code).autonym))


def marker_code(key: Sequence[str], texts: Iterable[str], seed: int = 0) -> str:
    """Ten hexadecimal digits that differ from game to game and are in none of the texts.

    An answer that guesses the code, even with letters that only look like it (full width, spaces or invisible
    characters between), gets another one, so it cannot close its own frame and speak as the rules.
    """
    plain = [_plain(text) for text in texts]
    for attempt in range(1_000):
        # The first draw has no number: codes, and with them cached replies, stay as they are without a collision.
        code = f"{int(unit_noise('marker', seed, *key, *([attempt] if attempt else [])) * 16**10):010x}"
        if not any(code in text for text in plain):
            return code
    raise ConfigError(
        f"The texts of the game {'|'.join(key)} contain 1,000 codes of its frame: it was written against seed {seed}; "
        "give the judge another seed."
    )


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if unicodedata.category(letter) not in ("Cf", "Zs", "Cc"))


_WORD_JOINER = "\u2060"
# What well-known chat formats open and close turns with. A server's tokenizer may read them even inside a turn.
_CONTROL = re.compile(
    r"<[|｜][^|｜<>\n]{1,40}[|｜]>|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>"
)


def defused(text: str, tokens: Sequence[str] = ()) -> str:
    """The text with control tokens of chat formats, and the given ones, broken by an invisible word joiner.

    To a reader nothing changes; a tokenizer no longer sees an end of turn inside an answer.
    """
    broken = _CONTROL.sub(lambda found: _broken(found[0]), text)
    for token in sorted({token for token in tokens if len(token) > 1}, key=len, reverse=True):
        broken = broken.replace(token, _broken(token))
    return broken


def _broken(token: str) -> str:
    return token[0] + _WORD_JOINER + token[1:]


def framed(game: Game, code: str, tokens: Sequence[str] = ()) -> str:
    """Conversation and answers, each between marker lines with the code, the answers in the order of the game."""
    first, second = (game.a, game.b) if game.order == "ab" else (game.b, game.a)
    turns = "\n\n".join(f"[{turn.role}]\n{turn.content}" for turn in game.prompt.messages)
    conversation = game.prompt.text if len(game.prompt.messages) == 1 else turns
    parts = [("CONVERSATION", conversation), ("ANSWER A", first.text), ("ANSWER B", second.text)]
    return "\n\n".join(
        f"--- {name} {code} ---\n{defused(text, tokens)}\n--- END {name} {code} ---" for name, text in parts
    )


def read_label(reply: str, labels: Labels = "five") -> tuple[VerdictLabel | None, Brackets | None]:
    """The label of a reply and the brackets it stood in; (None, None) for a reply without one.

    The last in double brackets counts, else the last in single ones. A and B are the places as shown.
    """
    signs = _SIGNS[labels]
    brackets: dict[Brackets, str] = {"double": rf"\[\[\s*({signs})\s*\]\]", "single": rf"\[\s*({signs})\s*\]"}
    for kind, pattern in brackets.items():
        found = re.findall(pattern, reply)
        if found:
            return _MEANING[found[-1]], kind
    return None, None


def parse_label(reply: str, labels: Labels = "five") -> VerdictLabel | None:
    """The label of a reply as ``read_label`` finds it, or None."""
    return read_label(reply, labels)[0]
