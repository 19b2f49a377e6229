"""Ratings of planted answers by planted raters, as records: what the audit reads, with a known truth behind it.

How such raters act is in ``crowd``; here forms are given to them, experts label exactly, and attention checks are
answered.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from paribus.errors import DataError
from paribus.feedback.annotation.checks import attention_result
from paribus.feedback.annotation.crowd import (
    CROWD,
    Ints,
    Judgements,
    Planted,
    PlantedOutputs,
    RaterModel,
    Truth,
    judge_outputs,
)
from paribus.feedback.annotation.design import Assignment, Form, FormItem
from paribus.feedback.annotation.schema import DISTRACTOR, ERRORS, EXPERT, PASSES
from paribus.feedback.arbiters import unit_noise
from paribus.records import Completion, Rating

__all__ = [
    "CROWD",
    "Judgements",
    "Planted",
    "PlantedOutputs",
    "RaterModel",
    "Truth",
    "experts",
    "judge_outputs",
    "simulate",
    "truths_of",
]


def simulate(
    assignments: Sequence[Assignment], truths: Mapping[str, Planted], model: RaterModel | None = None
) -> list[Rating]:
    """Ratings of all forms by their raters, two a form, in the order of the assignments.

    Give the forms of all passes in one call: then an input's own spread is the same in all of them.

    Args:
        assignments: who rates which form (``design.assign``).
        truths: the truth of each completion by its id; that of a distractor is of the text it shows.

    Raises ``DataError`` for a completion whose truth is missing.
    """
    model = model or RaterModel()
    numbers, outputs = _outputs([given.form for given in assignments], truths)
    ratings: dict[int, list[Rating]] = {}
    for pass_ in PASSES:
        places = [place for place, given in enumerate(assignments) if given.form.pass_ == pass_]
        own = [assignments[place] for place in places]
        judged = judge_outputs(model, pass_, outputs, *_judgements(numbers, own))
        ratings |= {place: _records(model, own[n], judged, 2 * n) for n, place in enumerate(places)}
    return [rating for place in range(len(assignments)) for rating in ratings[place]]


def experts(forms: Iterable[Form], truths: Mapping[str, Planted]) -> list[Rating]:
    """Exact labels of every genuine output on the forms: pass ``errors``, rater ``expert``, in order of appearance.

    Of the errors that a form asks for, all of them where it asks for none. Raises as ``simulate``.
    """
    found: dict[str, Rating] = {}
    for form in forms:
        for item in form.items:
            if item.id in found or item.meta.get("distractor"):
                continue
            asked = form.asked or ERRORS
            errors = [name for name in asked if name in _truth(item, truths).errors]
            beside = ("other_model", "other_preamble")
            meta = {key: value for key, value in item.meta.items() if key not in beside} | {"asked": list(asked)}
            row = {"item": item.id, "rater": EXPERT, "pass": "errors", "errors": errors, "meta": meta}
            found[item.id] = Rating.model_validate(row)
    return list(found.values())


def truths_of(completions: Iterable[Completion]) -> dict[str, Planted]:
    """Truths by completion id from ``meta`` (errors, assertiveness, complexity), as graded answers carry them.

    Raises ``DataError`` for a completion without ``errors`` in its meta.
    """
    found: dict[str, Planted] = {}
    for row in completions:
        if "errors" not in row.meta:
            raise DataError(f"The completion {row.id!r} has no errors in its meta; only planted answers have a truth.")
        style = (float(row.meta.get(name, 0.0)) for name in ("assertiveness", "complexity"))
        found[row.id] = Truth(frozenset(row.meta["errors"]), *style)
    return found


def _outputs(forms: Sequence[Form], truths: Mapping[str, Planted]) -> tuple[dict[tuple[str, str], int], PlantedOutputs]:
    """Numbers of the items shown, by name and completion, and their columns. Sorted: order of forms decides nothing."""
    shown = dict(sorted({_key(item): item for form in forms for item in form.items}.items()))
    inputs = sorted({_input(item) for item in shown.values()})
    places = {name: number for number, name in enumerate(inputs)}
    outputs = PlantedOutputs.of(
        [_truth(item, truths) for item in shown.values()],
        np.array([places[_input(item)] for item in shown.values()], dtype=np.int64),
        np.array([item.meta.get("model") == DISTRACTOR for item in shown.values()], dtype=bool),
    )
    return {key: number for number, key in enumerate(shown)}, outputs


def _truth(item: FormItem, truths: Mapping[str, Planted]) -> Planted:
    """A distractor strays from the request on top of what is wrong with it."""
    completion = str(item.meta.get("completion"))
    if completion not in truths:
        raise DataError(f"The truth of the completion {completion!r} (item {item.id!r}) is missing; add it to truths.")
    truth = truths[completion]
    if item.meta.get("model") != DISTRACTOR:
        return truth
    return Truth(truth.errors | {"relevance"}, truth.assertiveness, truth.complexity)


def _key(item: FormItem) -> tuple[str, str]:
    return item.id, str(item.meta.get("completion"))


def _input(item: FormItem) -> tuple[str, str]:
    return str(item.meta.get("dataset")), str(item.meta.get("input"))


def _judgements(numbers: Mapping[tuple[str, str], int], given: Sequence[Assignment]) -> tuple[Ints, Ints, list[str]]:
    """PlantedOutputs and raters of the judgements, two a form, and the raters' names."""
    names = sorted({assignment.rater for assignment in given})
    places = {name: number for number, name in enumerate(names)}
    item = np.array([numbers[_key(item)] for assignment in given for item in assignment.form.items], dtype=np.int64)
    rater = np.repeat(np.array([places[assignment.rater] for assignment in given], dtype=np.int64), 2)
    return item, rater, names


def _records(model: RaterModel, given: Assignment, judged: Judgements, row: int) -> list[Rating]:
    """The two ratings of a form; the first is judgement ``row``."""
    form, rater = given
    attention = _attention(model, form, rater)
    ratings = []
    for place in (0, 1):
        found = [ERRORS[number] for number in np.flatnonzero(judged.errors[row + place])]
        scores = {name: float(values[row + place]) for name, values in judged.scores.items()}
        asked = [name for name in found if name in form.asked]
        ratings.append(form.rating(place, rater, scores=scores, errors=asked, attention=attention))
    return ratings


def _attention(model: RaterModel, form: Form, rater: str) -> str | None:
    """Careful raters do as told; random ones toss a coin, straight ones say no and their favourite number."""
    habit = model.habit(rater)
    replies = []
    for number, told in enumerate(form.attention):
        options = ("yes", "no") if told in ("yes", "no") else ("1", "2", "3", "4", "5")
        drawn = options[int(len(options) * unit_noise("attention", model.seed, rater, form.id, number))]
        straight = "no" if told in ("yes", "no") else str(model.favourite(rater))
        replies.append({"careful": told, "random": drawn, "straight": straight}[habit])
    return attention_result(form.attention, replies)
