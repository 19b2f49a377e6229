"""Does a critic see more than the prompt and the one answer? Every critique must stay, byte for byte, whatever else
changes: order, company, names, scores, labels (checklist item 2 of papers/reward-critiques.md)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from paribus.errors import DataError
from paribus.evaluation.reward_models import without_labels
from paribus.feedback.critiques.critics import Critic
from paribus.records import Completion, Critique, Prompt

Change = Literal["order", "company", "names", "marks"]
Row = tuple[Prompt, Completion]


@dataclass(frozen=True)
class Leak:
    """An answer whose critique changed although neither its prompt nor its text did.

    ``change``: ``order``, the answers came in another one; ``company``, some of the others were not there; ``names``,
    ids, models, scores and meta were those of another answer; ``marks``, what prompts' meta say of labels was away.
    """

    change: Change
    prompt_id: str
    text: str
    before: str
    after: str


def leaks(critic: Critic, prompts: Sequence[Prompt], completions: Sequence[Completion], *, seed: int = 0) -> list[Leak]:
    """What a critic lets slip, over six calls on the same answers; none for a point-wise critic.

    Answers to one prompt should stand among them, in pairs, as they would in use. Raises ``DataError`` for fewer than
    two answers: nothing could be exchanged.
    """
    rows = list(zip(prompts, completions, strict=True))
    if len(rows) < 2:
        raise DataError(f"{len(rows)} answers cannot show a leak; give at least two, best two to each prompt.")
    before = _asked(critic, rows)
    dice = random.Random(f"leaks\x1f{seed}")
    found = []
    for change, places, shown in _variants(rows, dice):
        after = _asked(critic, shown)
        found += [
            Leak(change, rows[place][0].id, rows[place][1].text, before[place].text, critique.text)
            for place, critique in zip(places, after, strict=True)
            if _content(critique) != _content(before[place])
        ]
    return found


def assert_pointwise(
    critic: Critic, prompts: Sequence[Prompt], completions: Sequence[Completion], *, seed: int = 0
) -> None:
    """Raise ``DataError`` with the first leak, if there is any."""
    found = leaks(critic, prompts, completions, seed=seed)
    if found:
        first = found[0]
        raise DataError(
            f"The critic {critic.identity!r} is not point-wise: with another {first.change} its critique of "
            f"{first.text!r:.60} (prompt {first.prompt_id!r}) changed from {first.before!r:.60} to "
            f"{first.after!r:.60}, and so for {len(found)} in all. "
            "Such critiques can tell the label; show it one answer at a time."
        )


def _asked(critic: Critic, rows: Sequence[Row]) -> list[Critique]:
    return critic.critique([prompt for prompt, _ in rows], [completion for _, completion in rows])


def _content(critique: Critique) -> tuple[str, object]:
    return critique.text, critique.aspects


def _variants(rows: Sequence[Row], dice: random.Random) -> list[tuple[Change, list[int], list[Row]]]:
    """For each change, the places of the answers that are asked about, and how they are shown."""
    whole = list(range(len(rows)))
    order = dice.sample(whole, len(whole))
    return [
        ("order", order, [rows[place] for place in order]),
        *(("company", half, [rows[place] for place in half]) for half in _halves(rows)),
        ("names", whole, [_named(rows[place], rows[other]) for place, other in enumerate(_partners(rows))]),
        ("marks", whole, [(without_labels(prompt), completion) for prompt, completion in rows]),
    ]


def _halves(rows: Sequence[Row]) -> list[list[int]]:
    """Answers to one prompt are dealt to both halves in turn, the first prompt's first answer to the first half."""
    halves: list[list[int]] = [[], []]
    for number, group in enumerate(_by_prompt(rows)):
        for turn, place in enumerate(group):
            halves[(number + turn) % 2].append(place)
    return [half for half in halves if half]


def _partners(rows: Sequence[Row]) -> list[int]:
    """For each place another one, of the same prompt where there is one."""
    groups = _by_prompt(rows)
    lone = [group[0] for group in groups if len(group) == 1]
    partners = list(range(len(rows)))
    for group in [*(group for group in groups if len(group) > 1), lone]:
        for place, other in zip(group, [*group[1:], *group[:1]], strict=True):
            partners[place] = other
    return partners


def _by_prompt(rows: Sequence[Row]) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for place, (prompt, _) in enumerate(rows):
        groups.setdefault(prompt.id, []).append(place)
    return list(groups.values())


def _named(row: Row, other: Row) -> Row:
    """The row's prompt and text under everything else of the other's answer."""
    prompt, completion = row
    kept = {"prompt_id": prompt.id, "language": completion.language, "text": completion.text}
    return prompt, other[1].model_copy(update=kept)
