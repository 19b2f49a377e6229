"""Exams for a language model from plain words: names of classes, numbers of dimensions, names of learners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import CLASSES, parse_class
from paribus.testbeds.incontext.direct import Asking, Exam
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.learner import Learner, Null
from paribus.testbeds.incontext.learners_linear import Averaging
from paribus.testbeds.incontext.learners_neighbours import NearestNeighbours

LEARNERS: Mapping[str, Callable[[], Learner]] = {
    "null": Null,
    "1-nn": NearestNeighbours,
    "3-nn": lambda: NearestNeighbours(3),
    "averaging": Averaging,
}
"""The learners that are asked beside a model by name: the paper's, for any class."""


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
        for name in classes
        for size in dimensions
    ]
    chosen = made if paper_densities else [function_class.llm() for function_class in made]
    return [Exam.of(function_class, asking, functions=functions, seed=seed) for function_class in chosen]


def learners_named(names: Iterable[str]) -> Callable[[FunctionClass], list[Learner]]:
    """The learners of some names, for any class. Raises ``ConfigError`` for an unknown name."""
    made = []
    for name in names:
        if name.lower() not in LEARNERS:
            raise ConfigError(f"There is no learner {name!r}; take of {', '.join(LEARNERS)}.")
        made.append(LEARNERS[name.lower()]())
    return lambda function_class: made
