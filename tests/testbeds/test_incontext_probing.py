"""Exams and learners from plain words."""

import pytest

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.direct import Asking
from paribus.testbeds.incontext.probing import exams, learners_named

CLASSES = [parse_class(name, dimensions=4, points=9) for name in ("conjunction", "parity", "majority")]


def names_for(words: list[str]) -> dict[str, list[str]]:
    chosen = learners_named(words, CLASSES)
    return {one.name: [learner.name for learner in chosen(one)] for one in CLASSES}


def test_an_exam_for_each_class_and_size() -> None:
    made = exams(["conjunction", "sparse-parity"], [4, 8], examples=8, functions=3, asking=Asking(every=4))
    assert [(e.function_class.name, e.function_class.dimensions) for e in made] == [
        ("conjunction", 4), ("conjunction", 8), ("sparse_parity", 4), ("sparse_parity", 8)
    ]  # fmt: skip
    assert all(len(e.questions) == 3 * 2 and e.prompts.x.shape[1] == 9 for e in made)


def test_few_dimensions_have_the_densities_for_language_models() -> None:
    asked = {"examples": 8, "functions": 2, "asking": Asking()}
    densities = [e.function_class.density for e in exams(["majority"], [7, 8], **asked)]
    assert densities == [0.5, 0.3]
    assert [e.function_class.density for e in exams(["majority"], [7], **asked, paper_densities=True)] == [0.3]


def test_settings_go_to_every_class() -> None:
    (made,) = exams(["sparse_parity"], [6], examples=8, functions=2, asking=Asking(), settings={"size": "3"})
    assert made.function_class.size == 3
    with pytest.raises(ConfigError, match="start"):
        exams(["majority"], [6], asking=Asking(), settings={"start": "3"})


@pytest.mark.parametrize(("classes", "dimensions"), [([], [5]), (["majority"], [])])
def test_nothing_asked_for_is_refused(classes: list[str], dimensions: list[int]) -> None:
    with pytest.raises(ConfigError, match="name one class and one number of dimensions"):
        exams(classes, dimensions, asking=Asking())


def test_learners_by_name_where_a_class_has_them() -> None:
    found = names_for(["1-NN", "elimination"])
    assert all("1-NN" in names for names in found.values())
    assert [len(names) for names in found.values()] == [2, 1, 1]


def test_best_is_what_none_can_beat() -> None:
    found = names_for(["null", "best"])
    assert found["conjunction"] == ["null", "Bayes"] and len(found["parity"]) == 2


def test_all_are_all_and_none_are_none() -> None:
    assert all(len(names) >= 6 for names in names_for(["all"]).values())
    assert not any(names_for([]).values())


def test_an_unknown_learner_is_named() -> None:
    with pytest.raises(ConfigError, match="no learner '2-nn'; take of null, 1-NN"):
        names_for(["2-nn"])
