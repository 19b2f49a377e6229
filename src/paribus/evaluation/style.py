"""How an answer looks: markdown counters and the style features that a judge may be swayed by.

Source: Arena-Hard-Auto (arXiv 2406.11939) and its repository, as described in papers/aya-expanse.md section 3.1. The
two published feature sets are both here and differ:

- ``v0.1``: for tokens, headers, lists, bold: (a - b) / (a + b + 1).
- ``v2.0``: length (a - b) / (a + b); the markdown counts first as density q = count / (tokens + 1), then
  (qa - qb) / (qa + qb + 1).
"""

import re
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError, DataError
from paribus.records import Completion

FeatureSet = Literal["v0.1", "v2.0"]
StyleKey = tuple[str, str, str]

FEATURES = ("length", "headers", "lists", "bold")

_FENCED = re.compile(r"```[^`]*```")
_HEADER = re.compile(r"^#{1,6}\s", re.MULTILINE)
_ORDERED = re.compile(r"^\s*\d+\.\s", re.MULTILINE)
_UNORDERED = re.compile(r"^\s*[-*+]\s", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")


class Style(NamedTuple):
    """Counts of one answer."""

    tokens: int
    headers: int
    lists: int
    bold: int


def count_style(text: str, tokens: int) -> Style:
    """Count markdown in ``text`` outside fenced code: headers (1-6 hash signs and a space), ordered and unordered list
    items, and bold spans within one line. ``tokens`` is the length of the whole answer by the tokenizer of your choice
    (the published code uses the judge's).
    """
    prose = _FENCED.sub("", text)
    lists = len(_ORDERED.findall(prose)) + len(_UNORDERED.findall(prose))
    return Style(tokens, len(_HEADER.findall(prose)), lists, len(_BOLD.findall(prose)))


def completion_styles(
    completions: Iterable[Completion], count_tokens: Callable[[str], int] | None = None
) -> dict[StyleKey, Style]:
    """Styles keyed by (model, prompt id, language), as ``style_control`` takes them.

    Without ``count_tokens`` the length is ``Completion.tokens``; use one counter for all models, since two tokenizers
    give two lengths of the same text. Raises ``DataError`` for a completion without a length, or a repeated key.
    """
    styles: dict[StyleKey, Style] = {}
    for completion in completions:
        key = (completion.model, completion.prompt_id, completion.language)
        tokens = completion.tokens if count_tokens is None else count_tokens(completion.text)
        if tokens is None:
            raise DataError(f"The completion {completion.id!r} has no token count; give count_tokens.")
        if key in styles:
            raise DataError(
                f"{key[0]!r} has two completions for the prompt {key[1]!r} ({key[2]}); keep the judged one."
            )
        styles[key] = count_style(completion.text, tokens)
    return styles


def style_gaps(a: NDArray[np.float64], b: NDArray[np.float64], features: FeatureSet) -> NDArray[np.float64]:
    """Raw features of games, shape ``(n, 4)``, from the counts of both answers, ``(n, 4)`` each in ``Style`` order.

    Positive where ``a`` is longer or more marked up. Two empty answers have gap 0.
    """
    if features == "v0.1":
        return (a - b) / (a + b + 1.0)
    if features != "v2.0":
        raise ConfigError(f"The style features are {features!r}; use 'v0.1' or 'v2.0'.")
    length = (a[:, :1] - b[:, :1]) / np.maximum(a[:, :1] + b[:, :1], 1.0)
    dense_a, dense_b = a[:, 1:] / (a[:, :1] + 1.0), b[:, 1:] / (b[:, :1] + 1.0)
    return np.concatenate([length, (dense_a - dense_b) / (dense_a + dense_b + 1.0)], axis=1)
