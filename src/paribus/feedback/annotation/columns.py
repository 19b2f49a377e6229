"""Ratings in columns: one table of arrays a pass, which aggregation and agreement read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.feedback.annotation.schema import ERRORS, EXPERT, PASSES, SCORES_OF, SEVEN, Pass
from paribus.records import Rating

Floats = NDArray[np.float64]


class Output(NamedTuple):
    """What is rated: one model's answer to one input under one preamble. Empty text is unknown."""

    dataset: str
    input: str
    language: str
    model: str
    preamble: str

    @property
    def cluster(self) -> str:
        """The input, which all its outputs (in all languages) share: what intervals resample."""
        return f"{self.dataset}/{self.input}"


@dataclass(frozen=True)
class RatingTable:
    """Ratings of one pass in columns, one row a rating (n), without distractors.

    Attributes:
        outputs: the u outputs that are rated. of: which of them each row rates, shape ``(n,)``.
        beside: number of the pair (output, the one shown beside it), shape ``(n,)``; rows of one pair in one place of
            the form share it. -1 where it is not known.
        raters: who rated, n names.
        errors: names of errors, which are columns of 0 and 1. columns: all columns, shape ``(n,)`` each, NaN where a
            rater was not asked.
        words: length of each output, shape ``(u,)``, NaN if unknown.
    """

    pass_: Pass
    outputs: tuple[Output, ...]
    of: NDArray[np.int64]
    beside: NDArray[np.int64]
    raters: tuple[str, ...]
    errors: tuple[str, ...]
    columns: dict[str, Floats]
    words: Floats

    def __len__(self) -> int:
        return len(self.of)

    def in_language(self, code: str) -> "RatingTable":
        """The rows whose output is in one language (outputs of other languages go too)."""
        mine = [number for number, output in enumerate(self.outputs) if output.language == code]
        rows, place = np.isin(self.of, mine), np.full(len(self.outputs), -1)
        place[mine] = np.arange(len(mine))
        return replace(
            self,
            outputs=tuple(self.outputs[number] for number in mine),
            of=place[self.of[rows]],
            beside=self.beside[rows],
            raters=tuple(rater for rater, row in zip(self.raters, rows, strict=True) if row),
            columns={name: values[rows] for name, values in self.columns.items()},
            words=self.words[mine],
        )


def tables_of(ratings: Iterable[Rating], *, errors: Sequence[str] | None = None) -> dict[Pass, RatingTable]:
    """Ratings in columns, a table for each pass they hold; distractors and experts' labels are left out.

    Args:
        ratings: of any passes, in any order.
        errors: names of the errors that were asked for; ``None`` takes those that rows say they were asked (``asked``
            in their meta), else the seven of the paper and whatever else was ever flagged.

    Raises:
        DataError: a rating whose pass is unknown.
    """
    rows: dict[Pass, list[Rating]] = {}
    for rating in ratings:
        if not rating.meta.get("distractor") and rating.rater != EXPERT:
            rows.setdefault(_pass(rating), []).append(rating)
    return {name: _table(rows[name], name, errors) for name in PASSES if name in rows}


def expert_table(ratings: Iterable[Rating], *, errors: Sequence[str] | None = None) -> RatingTable | None:
    """Experts' error labels (rater ``"expert"``) in columns, or None if there are none."""
    rows = [r for r in ratings if r.rater == EXPERT and r.pass_ == "errors" and not r.meta.get("distractor")]
    return _table(rows, "errors", errors) if rows else None


def _pass(rating: Rating) -> Pass:
    for name in PASSES:
        if rating.pass_ == name:
            return name
    raise DataError(f"The rating of {rating.item!r} by {rating.rater!r} has pass {rating.pass_!r}; use {PASSES}.")


def _table(rows: Sequence[Rating], name: Pass, errors: Sequence[str] | None) -> RatingTable:
    numbers: dict[Output, int] = {}
    of = [numbers.setdefault(output_of(row), len(numbers)) for row in rows]
    pairs: dict[Any, int] = {}
    beside = [
        pairs.setdefault((out, *_other(row)), len(pairs)) if _other(row)[0] else -1
        for out, row in zip(of, rows, strict=True)
    ]
    words = np.full(len(numbers), np.nan)
    for out, row in zip(of, rows, strict=True):
        if row.meta.get("words") is not None:
            words[out] = float(row.meta["words"])
    asked = asked_errors(rows, errors) if name == "errors" else ()
    columns = {error: _flags(rows, error) for error in asked}
    for score in SCORES_OF[name]:
        if any(score in row.scores for row in rows):
            columns[score] = np.array([row.scores.get(score, np.nan) for row in rows], dtype=np.float64)
    raters = tuple(row.rater for row in rows)
    return RatingTable(name, tuple(numbers), np.array(of), np.array(beside), raters, asked, columns, words)


def with_languages(*groups: Sequence[Rating]) -> tuple[list[Rating], ...]:
    """The same ratings, where one without a language takes that of the others on its output, if they agree on one.

    Passes and experts then meet on an output although only some of their files tell its language.
    """
    known: dict[Output, set[str]] = {}
    for rating in (rating for group in groups for rating in group):
        output = output_of(rating)
        if output.language:
            known.setdefault(output._replace(language=""), set()).add(output.language)
    return tuple([_spoken(rating, known) for rating in group] if known else list(group) for group in groups)


def _spoken(rating: Rating, known: Mapping[Output, set[str]]) -> Rating:
    codes = known.get(output_of(rating), set())
    if len(codes) != 1:
        return rating
    return rating.model_copy(update={"meta": {**rating.meta, "language": next(iter(codes))}})


def output_of(rating: Rating) -> Output:
    """The output a rating speaks of, from its meta; without an ``input`` there the item stands for it."""
    meta = rating.meta
    texts = [str(meta.get(key) or "") for key in ("dataset", "input", "language", "model", "preamble")]
    return Output(texts[0], texts[1] or rating.item, *texts[2:])


def _other(rating: Rating) -> tuple[str, str]:
    return str(rating.meta.get("other_model") or ""), str(rating.meta.get("other_preamble") or "")


def asked_errors(rows: Sequence[Rating], errors: Sequence[str] | None = None) -> tuple[str, ...]:
    """The errors that ratings of the pass ``errors`` were asked for (see ``tables_of``), in the schema's order."""
    if errors is not None:
        return tuple(errors)
    said = {name for row in rows for name in row.meta.get("asked", ())}
    found = (said or set(SEVEN)) | {name for row in rows for name in row.errors}
    return (*(name for name in ERRORS if name in found), *sorted(found.difference(ERRORS)))


def _flags(rows: Sequence[Rating], error: str) -> Floats:
    return np.array(
        [float(error in row.errors) if error in row.meta.get("asked", (error,)) else np.nan for row in rows]
    )
