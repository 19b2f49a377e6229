"""Small pairs whose truth is written in their text, and scorers that read it."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from paribus.records import Completion, Message, PreferencePair, Prompt


def pair(number: int, chosen: str, rejected: str, *, language: str = "de", question: str | None = None, **meta: object):
    return PreferencePair(
        id=f"pair{number}",
        prompt_id=f"prompt{number}",
        language=language,
        prompt=(Message(role="user", content=f"Frage {number}?"),),
        chosen=chosen,
        rejected=rejected,
        meta={"question_id": question or f"q{number}", **meta},
    )


class By:
    """A scorer by a rule on the answer's text."""

    def __init__(self, rule: Callable[[str], float], name: str = "rule") -> None:
        self.rule, self.identity = rule, name
        self.seen: list[Completion] = []

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> NDArray[np.float64]:
        assert len(prompts) == len(completions)
        self.seen += completions
        return np.array([self.rule(row.text) for row in completions], dtype=np.float64)


def number_in(text: str) -> float:
    """The planted score of an answer such as ``"good 3.5"``."""
    return float(text.split()[-1])
