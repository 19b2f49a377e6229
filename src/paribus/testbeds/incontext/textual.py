"""Prompts as text, for language models that are asked directly (ICL-Discrete, section on direct evaluation).

One request shows the first i labelled points of a prompt and asks for the label of the next; -1 and +1 are written 0
and 1. The functions are drawn anew from a seed, so no model can have read them before. The protocol is the paper's (an
instruction that only 0 or 1 may be answered, one line "Input: 0 1 1" and one line "Label: 1" a point, an open label at
the end, temperature 0, two new tokens); its wording is ours, since the paper's own is not public for every variant.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from paribus.errors import ConfigError
from paribus.records import Message
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.prompts import Prompts

Variant = Literal["basic", "description", "algorithm", "steps"]
"""What a prompt tells: the examples alone, the class too, how to find the function, or to reason before the answer."""

NEW_TOKENS: dict[Variant, int] = {"basic": 2, "description": 2, "algorithm": 2, "steps": 512}
"""Tokens of an answer at most: two, as published, or room to reason."""

PLAIN_CHAT = (
    "{% for turn in messages %}{% if not loop.first %}{{ ' ' if turn.role == 'assistant' else '\\n\\n' }}{% endif %}"
    "{{ turn.content }}{% endfor %}"
)
"""A chat template that adds no marks, for models that were never taught to chat: the label follows after a space."""

_RULE = (
    "You learn a Boolean function from examples. Each example is an input of bits and its label, which the same "
    "function gave to every input. "
)
_ONLY = "Say what label the last input has. Answer with 0 or 1 and nothing else."
_STEPS = (
    "Say what label the last input has. Think step by step about which functions fit all examples, then end with the "
    "label, 0 or 1, as the last number of your answer."
)
_TASK = "The examples, and the input whose label is wanted:"

_DESCRIPTIONS = {
    "conjunction": "The function is a conjunction: some variables are in use, each as it is or negated, and the label "
    "is 1 if all of these literals are true, else 0.",
    "disjunction": "The function is a disjunction: some variables are in use, each as it is or negated, and the label "
    "is 1 if at least one of these literals is true, else 0.",
    "sparse_disjunction": "The function is a disjunction of {size} variables, none negated: the label is 1 if at "
    "least one of them is 1, else 0.",
    "dnf": "The function is a disjunction of {terms} conjunctions of literals: the label is 1 if all literals of at "
    "least one conjunction are true, else 0.",
    "cnf": "The function is a conjunction of {terms} disjunctions of literals: the label is 1 if each disjunction has "
    "at least one true literal, else 0.",
    "majority": "The function is a majority over some of the variables: the label is 1 if more of these are 1 than "
    "are 0, else 0.",
    "threshold": "The function is a threshold: some variables are in use, each as it is or negated, a true one counts "
    "+1 and a false one -1, and the label is 1 if their sum exceeds a fixed number, else 0.",
    "halfspace": "The function is a weighted vote: each variable has a whole number from -{largest} to {largest} as "
    "its weight, which is added where the variable is 1 and subtracted where it is 0, and the label is 1 if the sum is "
    "above 0, else 0.",
    "parity": "The function is a parity: the label is 1 if an odd number of certain variables are 1, else 0.",
    "sparse_parity": "The function is a parity of {size} variables: the label is 1 if an odd number of them are 1, "
    "else 0.",
    "nearest_neighbour": "The first {start} labels are random. After these, the label of an input is the label of the "
    "earlier input that agrees with it in the most positions; of several such inputs the earliest counts.",
}

_ALGORITHMS = {
    "conjunction": "To find the label: begin with all literals, every variable and its negation. For each example with "
    "label 1, strike out the literals that are false in it. The label is 1 if all literals that are left are true in "
    "the last input, else 0.",
    "disjunction": "To find the label: begin with all literals, every variable and its negation. For each example with "
    "label 0, strike out the literals that are true in it. The label is 1 if any literal that is left is true in the "
    "last input, else 0.",
    "sparse_disjunction": "To find the label: begin with all variables. For each example with label 0, strike out the "
    "variables that are 1 in it. The label is 1 if any variable that is left is 1 in the last input, else 0.",
    "majority": "To guess the label: for each variable, count the examples in which it equals the label, less those in "
    "which it does not. Add up these numbers, positively for variables that are 1 in the last input and negatively for "
    "those that are 0. The label is 1 if the sum is positive, else 0.",
    "parity": "To find the label: treat each example as an equation modulo 2 over unknown bits, one a variable, that "
    "say whether it is in use. Solve the equations by elimination, and evaluate the solution on the last input.",
    "sparse_parity": "To find the label: go through all sets of {size} variables, keep those whose "
    "parity is the label in every example, and evaluate a kept set on the last input.",
    "nearest_neighbour": "To find the label: for each example count the positions in which its input equals the last "
    "input. The label is that of the example with the most, the earliest of several.",
}
_POINT = re.compile(r"^Input: ([01](?: [01])*)\nLabel:(?: ([01]))?$", re.MULTILINE)


@dataclass(frozen=True)
class Question:
    """One request: prompt ``function`` of the set, with ``shown`` examples, and the bit that is right.

    ``id`` ends in a hash of the text, so that answers to other prompts are never taken for answers to these.
    """

    id: str
    function: int
    shown: int
    messages: tuple[Message, ...]
    label: int


def questions(
    prompts: Prompts, function_class: FunctionClass, *, every: int = 5, variant: Variant = "basic"
) -> list[Question]:
    """Requests for the label after ``every``, 2 ``every``, ... examples of each prompt, prompt by prompt.

    Raises ``ConfigError`` for an unknown variant, a class without the text it needs, and prompts of ``every`` points or
    fewer.
    """
    system = Message(role="system", content=instruction(function_class, variant))
    x, y = (prompts.x > 0).int().tolist(), (prompts.y > 0).int().tolist()
    places = asked_after(len(x[0]), every)
    return [
        _question(system, function, shown, x[function], y[function]) for function in range(len(x)) for shown in places
    ]


def _question(system: Message, function: int, shown: int, x: list[list[int]], y: list[int]) -> Question:
    user = Message(role="user", content=written(x[: shown + 1], y[:shown]))
    digest = hashlib.sha256(f"{system.content}\0{user.content}".encode()).hexdigest()
    return Question(f"{function}/{shown}/{digest[:12]}", function, shown, (system, user), y[shown])


def asked_after(points: int, every: int) -> list[int]:
    """Numbers of examples after which a prompt of ``points`` points is asked on; ``ConfigError`` if there is none."""
    places = list(range(every, points, every)) if every >= 1 else []
    if not places:
        raise ConfigError(
            f"every={every} asks nothing of prompts of {points} points, whose last point is never an example; give "
            f"a number from 1 to {points - 1}."
        )
    return places


def instruction(function_class: FunctionClass, variant: Variant) -> str:
    """The system turn of a variant. Raises ``ConfigError`` for an unknown one, or a class that it has no text for."""
    if variant not in get_args(Variant):
        raise ConfigError(f"The variant is {variant!r}; use one of {', '.join(get_args(Variant))}.")
    described = "" if variant in ("basic", "steps") else _text(_DESCRIPTIONS, function_class, variant)
    taught = _text(_ALGORITHMS, function_class, variant) if variant == "algorithm" else ""
    return _RULE + described + taught + (_STEPS if variant == "steps" else _ONLY)


def _text(texts: dict[str, str], function_class: FunctionClass, variant: str) -> str:
    fields = function_class.model_dump()
    if function_class.name not in texts:
        raise ConfigError(
            f"There is no text for the class {function_class.name!r} in the variant {variant!r} (known: "
            f"{', '.join(texts)}); use the variant 'basic' or 'steps'."
        )
    no_negation = "No variable is negated. " if fields.get("monotone") and texts is _DESCRIPTIONS else ""
    return f"{texts[function_class.name].format(**fields)} {no_negation}"


def written(x: Sequence[Sequence[int]], y: Sequence[int]) -> str:
    """The user turn: bits of all points, labels of all but the last."""
    labels = [*(f" {label}" for label in y), ""]
    lines = [f"Input: {' '.join(map(str, bits))}\nLabel:{label}" for bits, label in zip(x, labels, strict=True)]
    return "\n".join([_TASK, *lines])


def read(text: str) -> tuple[list[list[int]], list[int]]:
    """The opposite of ``written``: bits of all points, labels of all but the last. ``ConfigError`` for another text."""
    found = _POINT.findall(text)
    x, y = [[int(bit) for bit in bits.split()] for bits, _ in found], [int(label) for _, label in found if label]
    if not found or len(y) != len(x) - 1 or found[-1][1]:
        raise ConfigError(f"The text {text[:80]!r} is no prompt of examples with one open label at its end.")
    return x, y


def parse_bit(reply: str, variant: Variant) -> int | None:
    """The label a reply gives, or None where it gives none.

    A direct answer is the bit alone on the first line; what a model writes after that line, or in place of the next
    input, is not read. After reasoning the last number counts, and must be 0 or 1.
    """
    if variant == "steps":
        numbers = re.findall(r"-?\d+(?:\.\d+)?", reply)
        said = numbers[-1] if numbers else ""
    else:
        said = re.split(r"\n|Input", reply.strip(), maxsplit=1)[0].strip()
    return int(said) if said in ("0", "1") else None


def nearest_neighbour_answer(text: str) -> int:
    """What 1-NN says about a prompt that it reads as text; the offline stand-in for a model, and a check of the path.

    The nearest earlier points vote; if they are even, or there are none, the commoner label so far decides, and 0 where
    there is none. That is ``NearestNeighbours(1)`` of ``learners_neighbours``.
    """
    x, y = read(text)
    near = [sum(a == b for a, b in zip(bits, x[-1], strict=True)) for bits in x[:-1]]
    votes = sum(2 * label - 1 for label, agreed in zip(y, near, strict=True) if agreed == max(near))
    return int(votes > 0 or (votes == 0 and 2 * sum(y) > len(y)))


def chat_without_marks(tokenizer: Any) -> None:
    """Give a tokenizer that has no chat template the plain one; one that has its own keeps it."""
    tokenizer.chat_template = tokenizer.chat_template or PLAIN_CHAT
