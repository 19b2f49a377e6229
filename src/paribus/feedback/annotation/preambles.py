"""Five preambles that change an answer's manner and nothing else, which answer each brought, and which one is kept.

As in arXiv 2309.16349 (section 4 and data release): the same request is answered as it is, firmly or unsurely, in
complex or in simple language. Several answers are drawn in each cell; one is kept by its readability (complex, simple)
or because it is the first that does not apologise (firm, unsure). Wording of the preambles is ours.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from paribus.errors import ConfigError, DataError
from paribus.evaluation.items import ItemRow, Summary, summarise
from paribus.evaluation.prompts import cluster_of
from paribus.evaluation.readability import flesch_kincaid, lix, reading_difficulty, words
from paribus.feedback.annotation.design import Cell
from paribus.feedback.annotation.schema import PREAMBLES
from paribus.records import Completion, Message, Prompt

PREAMBLE_TEXTS = {
    "normal": "",
    "assertive_high": (
        "Answer as an authority on the subject: state everything firmly and directly, and leave no room for doubt."
    ),
    "assertive_low": (
        "Answer as somebody who is new to the subject: be careful and tentative, and say where you may be mistaken."
    ),
    "complex_high": (
        "Answer as one specialist writes to another: use technical terms, long words and intricate sentences."
    ),
    "complex_low": "Answer as one explains something to a small child: use short sentences and everyday words.",
}
"""What the system turn says, in English whatever the language of the request; ``normal`` has none."""

APOLOGIES = {
    "en": ("i'm sorry", "i am sorry"),
    "ar": ("آسف", "أعتذر", "عذرا"),
    "zh": ("抱歉", "对不起"),
    "cs": ("omlouvám se", "je mi líto"),
    "nl": ("het spijt me", "sorry"),
    "fr": ("je suis désolé", "je regrette", "désolé"),
    "de": ("es tut mir leid", "tut mir leid", "entschuldigung"),
    "el": ("λυπάμαι", "συγγνώμη"),
    "he": ("אני מצטער", "סליחה"),
    "hi": ("मुझे खेद है", "माफ़ कीजिए", "क्षमा करें"),
    "id": ("maaf", "mohon maaf"),
    "it": ("mi dispiace", "mi scuso"),
    "ja": ("申し訳", "すみません", "ごめんなさい"),
    "ko": ("죄송", "미안"),
    "fa": ("متأسفم", "متاسفم", "ببخشید"),
    "pl": ("przykro mi", "przepraszam"),
    "pt": ("sinto muito", "desculpe", "lamento"),
    "ro": ("îmi pare rău", "îmi cer scuze"),
    "ru": ("мне жаль", "извините", "простите", "к сожалению, я не"),
    "es": ("lo siento", "lamento"),
    "tr": ("üzgünüm", "özür dilerim", "maalesef"),
    "uk": ("мені шкода", "вибачте", "перепрошую"),
    "vi": ("xin lỗi", "rất tiếc"),
}
"""What an answer says that apologises, in lower case, in the 23 languages (English: as in the released code)."""

SEPARATOR = "@"


@dataclass(frozen=True)
class Selection:
    """The kept answers, in the order in which their cells appear, and how the choice went.

    candidates: answers that were looked at. disqualified: too short for a readability. apologies: passed over for one.
    unfit: cells in which every candidate was disqualified or apologised, so that the first was kept all the same.
    """

    kept: tuple[Completion, ...]
    candidates: int
    disqualified: int
    apologies: int
    unfit: tuple[tuple[str, str, str], ...]


def preambled(prompt: Prompt, preamble: str, *, system: bool = True) -> Prompt:
    """The prompt under a preamble, as ``<id>@<preamble>``; ``meta`` gains ``preamble`` and ``input``.

    The preamble goes before what a system turn says already, or (``system=False``, for chat templates without one)
    before the first user turn. Raises ``ConfigError`` for an unknown preamble.
    """
    if preamble not in PREAMBLE_TEXTS:
        raise ConfigError(f"There is no preamble {preamble!r}; the preambles are {', '.join(PREAMBLES)}.")
    messages = _prefixed(prompt.messages, PREAMBLE_TEXTS[preamble], "system" if system else "user")
    meta = {**prompt.meta, "preamble": preamble, "input": prompt.id}
    return prompt.model_copy(update={"id": f"{prompt.id}{SEPARATOR}{preamble}", "messages": messages, "meta": meta})


def prompts_by_model(
    prompts: Sequence[Prompt], cells: Mapping[str, Sequence[Cell]], *, system: bool = True
) -> dict[str, list[Prompt]]:
    """What each model is to answer, from ``design.deal_cells``: its prompts under their preambles, in prompt order.

    Raises ``DataError`` for an input without cells.
    """
    found = defaultdict[str, list[Prompt]](list)
    for prompt in prompts:
        if prompt.id not in cells:
            raise DataError(f"The input {prompt.id!r} has no cells; deal cells for all prompts.")
        for model, preamble in cells[prompt.id]:
            found[model].append(preambled(prompt, preamble, system=system))
    return dict(found)


def is_preambled(prompt_id: str) -> bool:
    """Whether an id is that of a prompt made by ``preambled``."""
    _, separator, preamble = prompt_id.rpartition(SEPARATOR)
    return bool(separator) and preamble in PREAMBLE_TEXTS


def restored(completions: Iterable[Completion]) -> list[Completion]:
    """Answers to ``preambled`` prompts as answers to the inputs: ``prompt_id`` without, ``meta["preamble"]`` with it.

    Raises ``DataError`` for a prompt id that does not end in a preamble.
    """
    found = []
    for row in completions:
        if not is_preambled(row.prompt_id):
            raise DataError(
                f"The answer {row.id!r} is to {row.prompt_id!r}, which ends in none of {', '.join(PREAMBLES)}; "
                "give answers to prompts made by preambled."
            )
        source, _, preamble = row.prompt_id.rpartition(SEPARATOR)
        found.append(row.model_copy(update={"prompt_id": source, "meta": {**row.meta, "preamble": preamble}}))
    return found


def select(completions: Sequence[Completion], *, min_words: int = 10) -> Selection:
    """Keep one answer of each (input, model, preamble) among its candidates.

    ``complex_high`` keeps the hardest to read and ``complex_low`` the easiest (Dale-Chall in English, LIX elsewhere)
    of those with ``min_words`` words or more (the released code asks for 100; Dale-Chall says little below);
    ``assertive_high`` and ``assertive_low`` keep the first that does not apologise; ``normal`` keeps the first.
    """
    cells = defaultdict[tuple[str, str, str], list[Completion]](list)
    for row in completions:
        cells[row.prompt_id, row.model, str(row.meta.get("preamble", "normal"))].append(row)
    choices = {cell: _fit(rows, cell[2], min_words) for cell, rows in cells.items()}
    kept = [_best(choices[cell] or rows[:1], cell[2]) for cell, rows in cells.items()]
    lost = {cell: len(rows) - len(choices[cell]) for cell, rows in cells.items()}
    return Selection(
        kept=tuple(kept),
        candidates=len(completions),
        disqualified=sum(count for cell, count in lost.items() if cell[2].startswith("complex")),
        apologies=sum(count for cell, count in lost.items() if cell[2].startswith("assertive")),
        unfit=tuple(cell for cell, fit in choices.items() if not fit),
    )


def apologises(text: str, language: str) -> bool:
    """Whether an answer says sorry, by ``APOLOGIES``. Raises ``ConfigError`` for another language."""
    if language not in APOLOGIES:
        raise ConfigError(f"There are no apologies for {language!r}; the languages are {', '.join(sorted(APOLOGIES))}.")
    plain = _plain(text)
    return any(_plain(apology) in plain for apology in APOLOGIES[language])


def manipulation_check(
    prompts: Sequence[Prompt], completions: Sequence[Completion], *, resamples: int = 1_000
) -> list[Summary]:
    """Whether the preambles did what they say: mean difficulty of the answers under each, by language.

    The measure is ``flesch_kincaid`` in English and ``lix`` elsewhere, the group the preamble; intervals are clustered
    by input. Answers without words have no difficulty; they are counted by the measure ``wordless``, a share.
    """
    known = {prompt.id: cluster_of(prompt) for prompt in prompts}
    rows = [row for completion in completions for row in _difficulty(completion, known.get(completion.prompt_id, ""))]
    return summarise(rows, resamples=resamples)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold().replace("’", "'")


def _prefixed(messages: Sequence[Message], text: str, role: str) -> tuple[Message, ...]:
    if not text:
        return tuple(messages)
    place = next((number for number, turn in enumerate(messages) if turn.role == role), None)
    if place is None:
        return Message(role="system", content=text), *messages
    joined = messages[place].model_copy(update={"content": f"{text}\n\n{messages[place].content}"})
    return *messages[:place], joined, *messages[place + 1 :]


def _fit(rows: Sequence[Completion], preamble: str, min_words: int) -> list[Completion]:
    if preamble.startswith("complex"):
        return [row for row in rows if len(words(row.text, row.language)) >= max(1, min_words)]
    if preamble.startswith("assertive"):
        return [row for row in rows if not apologises(row.text, row.language)]
    return list(rows)


def _best(rows: Sequence[Completion], preamble: str) -> Completion:
    if len(rows) == 1 or not preamble.startswith("complex"):
        return rows[0]
    sign = 1 if preamble == "complex_high" else -1
    return max(rows, key=lambda row: sign * reading_difficulty(row.text, row.language))


def _difficulty(row: Completion, cluster: str) -> list[ItemRow]:
    preamble = str(row.meta.get("preamble", "normal"))
    about = (row.id, cluster or row.prompt_id, row.language)
    wordless = not words(row.text, row.language)
    found = [ItemRow("wordless", *about, float(wordless), preamble)]
    if wordless:
        return found
    if row.language == "en":
        return [*found, ItemRow("flesch_kincaid", *about, flesch_kincaid(row.text), preamble)]
    return [*found, ItemRow("lix", *about, lix(row.text, row.language), preamble)]
