"""Keeps the values in the paper index equal to the code: ``python tests/docs/settings_tables.py`` writes them anew.

In a table whose first two columns are called ``setting`` and ``here``, the second cell of each row is made from the
first: a field of the settings of the study whose section the table is in, or a parameter of a part with its default,
such as ``merge(trim)`` or ``Conjunction(dimensions, points)``.
"""

import inspect
import sys
from collections.abc import Iterator
from typing import Any

from pages import DOCS, found_by_name
from pydantic import BaseModel

from paribus.lab import Settings
from paribus.studies.aya_expanse_settings import AyaExpanse
from paribus.studies.bam_settings import Bam
from paribus.studies.human_feedback_settings import HumanFeedback
from paribus.studies.icl_discrete_settings import IclDiscrete
from paribus.studies.reward_critiques_settings import RewardCritiques
from paribus.studies.separations_settings import Separations
from paribus.studies.stages.annotation import CrowdConfig
from paribus.studies.stages.models import Recipe, Shape
from paribus.studies.stages.sequences import SequenceRecipe
from paribus.testbeds.formal.tasks import FormalTask

SECTIONS: dict[str, type[Settings]] = {
    "Aya Expanse": AyaExpanse,
    "BAM": Bam,
    "Separations": Separations,
    "ICL-Discrete": IclDiscrete,
    "Reward critiques": RewardCritiques,
    "Human feedback": HumanFeedback,
}
"""The page's sections that are about a study, by heading."""
PAGE = DOCS / "paper-index.md"
HEAD = "| setting | here |"
FIRST = "pocket"
_FORMAL, _IN_CONTEXT = "paribus.testbeds.formal", "paribus.testbeds.incontext"
_ANNOTATION = "paribus.feedback.annotation"
HOMES = {
    "AT_ONCE": "paribus.studies.stages.incontext",
    "Asking": f"{_IN_CONTEXT}.direct",
    "AssociativeRecall": f"{_FORMAL}.recall",
    "AverageConfig": "paribus.studies.stages.merging",
    "Averaging": f"{_IN_CONTEXT}.learners_linear",
    "BoostedTrees": f"{_IN_CONTEXT}.learners_trees",
    "BoundedDyck": f"{_FORMAL}.dyck",
    "CNF": f"{_IN_CONTEXT}.classes_formulas",
    "Conjunction": f"{_IN_CONTEXT}.classes_terms",
    "DNF": f"{_IN_CONTEXT}.classes_formulas",
    "DPO": "paribus.training.objectives.dpo",
    "Design": f"{_ANNOTATION}.design",
    "Disjunction": f"{_IN_CONTEXT}.classes_terms",
    "EngineCritic": "paribus.feedback.critiques",
    "EngineJudge": "paribus.feedback.judges",
    "EngineRater": f"{_ANNOTATION}.machine",
    "FOUND": f"{_IN_CONTEXT}.heads",
    "GAMED_WEIGHT": "paribus.evaluation.length_control",
    "Halfspace": f"{_IN_CONTEXT}.classes_linear",
    "IndexLookup": f"{_FORMAL}.index_lookup",
    "LEVELS": "paribus.evaluation.arena_hard",
    "Lasso": f"{_IN_CONTEXT}.learners_fitted",
    "LearnedRouter.fit": "paribus.feedback.learned_router",
    "Majority": f"{_IN_CONTEXT}.classes_linear",
    "MaxMargin": f"{_IN_CONTEXT}.learners_fitted",
    "MergeConfig": "paribus.studies.stages.merging",
    "NearestNeighbours": f"{_IN_CONTEXT}.learners_neighbours",
    "PARALLEL": "paribus.weights.methods.slerp",
    "Parity": f"{_IN_CONTEXT}.classes_parity",
    "RESAMPLES": "paribus.evaluation.arena_hard",
    "RLOO": "paribus.training.objectives.rloo",
    "Reward": "paribus.training.objectives.reward",
    "RuleCritic": "paribus.feedback.critiques",
    "SURE": "paribus.evaluation.language_check",
    "SequenceRecipe": "paribus.studies.stages.sequences",
    "SequenceShape": "paribus.models.sequence_shape",
    "SparseDisjunction": f"{_IN_CONTEXT}.classes_terms",
    "SparseParity": f"{_IN_CONTEXT}.classes_parity",
    "Threshold": f"{_IN_CONTEXT}.classes_linear",
    "TrainSettings": "paribus.training.settings",
    "TrainedNetwork": f"{_IN_CONTEXT}.learners_networks",
    "_NUMBERS_PER_WIDTH": f"{_FORMAL}.bounds",
    "aggregate": f"{_ANNOTATION}.aggregation",
    "associative_recall": f"{_FORMAL}.constructions.neighbour",
    "best_of_n_rows": "paribus.evaluation.best_of_n",
    "bradley_terry": "paribus.evaluation.bradley_terry",
    "certify_code": f"{_FORMAL}.constructions.certificates",
    "classes_neighbour.NearestNeighbour": _IN_CONTEXT,
    "crowd_minus_expert": f"{_ANNOTATION}.confounders",
    "curve": f"{_IN_CONTEXT}.curves",
    "data_ratios": "paribus.evaluation.data_efficiency",
    "deal_cells": f"{_ANNOTATION}.design",
    "draw_groups": "paribus.evaluation.significance",
    "index_lookup": f"{_FORMAL}.constructions.lookup",
    "length_controlled": "paribus.evaluation.length_control",
    "merge": "paribus.weights",
    "nearest_neighbour_scores": f"{_IN_CONTEXT}.heads",
    "neighbour.NearestNeighbour": _FORMAL,
    "no_violation": f"{_FORMAL}.constructions.pairwise",
    "rater_checks": f"{_ANNOTATION}.checks",
    "regress": f"{_ANNOTATION}.regression",
    "select": f"{_ANNOTATION}.preambles",
    "shorten_inputs": "paribus.feedback.critiques",
    "sign_code": f"{_FORMAL}.constructions.codes",
    "style_control": "paribus.evaluation.style_control",
    "three_way_rows": "paribus.evaluation.pandalm",
    "upcycle": "paribus.weights",
    "win_rate": "paribus.evaluation.winrate",
}
"""Where the parts live that the page names shortly."""


def rows(text: str) -> Iterator[tuple[int, str, str]]:
    """Every row of a settings table: the number of its line, the section it is in, and the line."""
    section, inside = "", False
    for number, line in enumerate(text.splitlines(keepends=True)):
        section = line.removeprefix("## ").strip() if line.startswith("## ") else section
        inside = line.startswith(HEAD) or (inside and line.startswith("|"))
        if inside and line.startswith("| `"):
            yield number, section, line


def refreshed(text: str) -> str:
    """The page with every ``here`` cell made from the code."""
    lines = text.splitlines(keepends=True)
    for number, section, line in rows(text):
        cells = line.split(" | ")
        lines[number] = " | ".join([cells[0], here(section, cells[0].strip("| `")), *cells[2:]])
    return "".join(lines)


def here(section: str, name: str) -> str:
    """What the code says: one value, or the pocket scale's and those of the scales that differ from it."""
    if name.partition("(")[0] in HOMES:
        return show(default_of(name))
    settings = SECTIONS[section]
    values = {scale: show(value_at(settings, scale, name)) for scale in settings.presets}
    others = [f"{scale}: {value}" for scale, value in values.items() if value != values[FIRST]]
    return "<br>".join([values[FIRST], *others])


def value_at(settings: type[Settings], scale: str, name: str) -> Any:
    """A setting at a scale."""
    value: Any = settings.at(scale)
    for part in name.split("."):
        value = getattr(value, part)
    return value


def default_of(name: str) -> Any:
    """The default of a parameter (``merge(trim)``), those of several, or a constant (``PARALLEL``)."""
    target, _, named = name.rstrip(")").partition("(")
    found = found_by_name(f"{HOMES[target]}.{target}")
    if not named:
        return found
    defaults = tuple(inspect.signature(found).parameters[parameter].default for parameter in named.split(", "))
    return defaults if len(defaults) > 1 else defaults[0]


def show(value: Any) -> str:
    """A value as a reader wants it: recipes, shapes and tasks in one line, long lists by their length."""
    if isinstance(value, Recipe):
        rows = f"{value.steps} steps x {value.rows} rows x {value.length}"
        return f"{rows}, {value.learning_rate:g}, {value.optimizer}"
    if isinstance(value, SequenceRecipe):
        tried = f"{', '.join(f'{rate:g}' for rate in value.rates)} tried over {value.sweep_share:.0%}"
        return f"{value.steps} steps x {value.rows} rows, {tried}"
    if isinstance(value, Shape):
        heads = f"{value.heads}/{value.key_value_heads} heads"
        return f"d {value.hidden_size}, {value.layers} layers, {heads}, f {value.intermediate_size}"
    if isinstance(value, FormalTask):
        return value.name
    if value == CrowdConfig():
        return "as `crowd`"
    if isinstance(value, BaseModel):
        return ", ".join(f"{key} {show(item)}" for key, item in value)
    if value is inspect.Parameter.empty:
        return "to be given"
    if isinstance(value, dict) and value and all(isinstance(item, int | float) for item in value.values()):
        return ", ".join(f"{key} {show(item)}" for key, item in value.items())
    if isinstance(value, (tuple, dict)):
        names = [str(getattr(item, "name", item)) for item in value]
        return ", ".join(names) if 0 < len(names) <= 7 else str(len(names) or "none")
    if isinstance(value, bool) or value in (None, ""):
        return {True: "yes", False: "no"}.get(value, "none") if value is not None and value != "" else "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    old = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(refreshed(old), encoding="utf-8")
    sys.stdout.write("changed\n" if refreshed(old) != old else "already as the code says\n")
