"""Exams for a language model from plain words: names of classes, numbers of dimensions, names of learners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import CLASSES, parse_class
from paribus.testbeds.incontext.direct import Asking, Exam
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.learner import Learner
from paribus.testbeds.incontext.learners import learners_for, optimal_for


def exams(
    classes: Sequence[str],
    dimensions: Sequence[int],
    *,
    examples: int = 50,
    functions: int = 100,
    asking: Asking,
    seed: int = 0,
    paper_densities: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> list[Exam]:
    """An exam for each class and each number of dimensions, of ``examples`` examples and the query after them.

    ``paper_densities``: as few variables in use as in the paper's trained models, where direct evaluation of up to 7
    dimensions uses half of them. ``settings``: further fields of all classes. Raises ``ConfigError`` for what cannot be
    made, and where nothing is asked for.
    """
    if not classes or not dimensions:
        raise ConfigError(
            f"classes={list(classes)}, dimensions={list(dimensions)}: name one class and one number of dimensions at "
            f"least; the classes are {', '.join(CLASSES)}."
        )
    made = [
        parse_class(name, dimensions=size, points=examples + 1, **(settings or {}))
        for name in dict.fromkeys(classes)
        for size in dict.fromkeys(dimensions)
    ]
    chosen = made if paper_densities else [function_class.llm() for function_class in made]
    return [Exam.of(function_class, asking, functions=functions, seed=seed) for function_class in chosen]


def learners_named(
    names: Sequence[str], function_classes: Iterable[FunctionClass]
) -> Callable[[FunctionClass], list[Learner]]:
    """For each class those of its learners (``learners_for``) that are named, in any case of letters.

    "all" are all of a class; "best" is the one that nothing beats, where it can be computed. A learner that only some
    of the classes have is asked about those. Raises ``ConfigError`` for a name that none of the classes has.
    """
    wanted = {name.lower() for name in names}
    known = {learner.name.lower(): learner.name for one in function_classes for learner in learners_for(one)}
    unknown = [name for name in names if name.lower() not in {*known, "all", "best"}]
    if unknown:
        raise ConfigError(f"There is no learner {unknown[0]!r}; take of {', '.join(known.values())}, best, all.")

    def chosen(function_class: FunctionClass) -> list[Learner]:
        found = [one for one in learners_for(function_class) if wanted & {"all", one.name.lower()}]
        best = optimal_for(function_class) if "best" in wanted else None
        return list({one.name: one for one in [*found, *([best] if best else [])]}.values())

    return chosen
