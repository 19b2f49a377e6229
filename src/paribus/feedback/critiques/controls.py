"""Controls: is it what the critiques say that helps, or only that there is more text?

Each takes pairs with critiques and gives pairs with others in their place (papers/reward-critiques.md section 5).
``answer_only`` and ``critique_only`` are ``Reads`` of ``reward_input``. No control but ``oracle`` and ``swapped`` looks
at the label.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from paribus.errors import DataError
from paribus.evaluation.reward_models import prompt_of
from paribus.feedback.critiques.critics import provenance
from paribus.feedback.critiques.joining import CritiquedPair, side_ids
from paribus.records import Critique

Control = Literal["shuffled", "filler", "swapped", "oracle"]
Rows: TypeAlias = Sequence[CritiquedPair]

FILLER = "This is a remark that stands below an answer and says nothing about it ."
PREFERRED, OTHER = "This answer is the better one.", "This answer is the worse one."


def shuffled(rows: Rows, *, seed: int = 0) -> list[CritiquedPair]:
    """Every pair gets the critiques of another prompt in its language, which of them on which side is drawn.

    Raises ``DataError`` for a language with one prompt.
    """
    out = list(rows)
    places: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        places[row.pair.language].append(place)
    for language, own in sorted(places.items()):
        dice = random.Random(f"shuffled\x1f{seed}\x1f{language}")
        dice.shuffle(own)
        for number, place in enumerate(own):
            donor = _other_prompt(rows, own, number)
            first, second = dice.sample(rows[donor].critiques, 2)
            out[place] = _with(rows[place], first.text, second.text, "shuffled")
    return out


def _other_prompt(rows: Rows, order: Sequence[int], number: int) -> int:
    """The next place in the order, a circle, whose pair has another prompt."""
    pair = rows[order[number]].pair
    for place in (*order[number + 1 :], *order[:number]):
        if rows[place].pair.prompt_id != pair.prompt_id:
            return place
    raise DataError(f"All pairs in {pair.language!r} are on the prompt {pair.prompt_id!r}; there is none to swap with.")


def filler(rows: Rows, *, sentence: str = FILLER, length: Callable[[str], int] = len) -> list[CritiquedPair]:
    """Words without content, as many as make a text at least as long as the critique.

    ``length`` measures: letters as it is, or tokens where a tokenizer's count is given.
    """
    out = []
    for row in rows:
        first, second = (_fill(own.text, sentence, length) for own in row.critiques)
        out.append(_with(row, first, second, "filler"))
    return out


def _fill(text: str, sentence: str, length: Callable[[str], int]) -> str:
    wanted, words, said = length(text), sentence.split(), ""
    for number in range(len(text) + 1):
        if length(said) >= wanted:
            break
        said = f"{said} {words[number % len(words)]}".lstrip()
    return said


def swapped(rows: Rows) -> list[CritiquedPair]:
    """Every answer gets the critique of the other: a model that reads critiques must then prefer the wrong one."""
    return [_with(row, row.critiques[1].text, row.critiques[0].text, "swapped") for row in rows]


def oracle(rows: Rows) -> list[CritiquedPair]:
    """The label itself, as a sentence: what reading could at best be worth."""
    return [_with(row, PREFERRED, OTHER, "oracle") for row in rows]


def controlled(rows: Rows, control: Control, *, seed: int = 0) -> list[CritiquedPair]:
    """One control by name; raises ``DataError`` where a pair has no critiques."""
    if control == "shuffled":
        return shuffled(rows, seed=seed)
    return {"filler": filler, "swapped": swapped, "oracle": oracle}[control](rows)


def _with(row: CritiquedPair, chosen: str, rejected: str, control: Control) -> CritiquedPair:
    return replace(
        row,
        chosen=_stands_in(row, 0, chosen, control),
        rejected=_stands_in(row, 1, rejected, control),
    )


def _stands_in(row: CritiquedPair, side: int, text: str, control: Control) -> Critique:
    """A critique that a control wrote: by whom says so, and no claim of the one it replaces is left."""
    answer = (row.pair.chosen, row.pair.rejected)[side]
    given = (row.chosen, row.rejected)[side]
    meta = provenance(prompt_of(row.pair), answer, f"{control}/1", {}, len(text.split()))
    return Critique(
        prompt_id=row.pair.prompt_id,
        completion_id=side_ids(row.pair)[side],
        critic=f"{control} of {given.critic}" if given else control,
        text=text,
        meta=meta,
    )
