"""Keeps the values in the paper index equal to the code: ``python tests/docs/settings_tables.py`` writes them anew.

In a table whose first two columns are called ``setting`` and ``here``, the second cell of each row is made from the
first: a field of the settings of the study whose section the table is in, or a parameter of a part with its default,
such as ``merge(trim)``.
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
from paribus.studies.stages.models import Recipe, Shape

SECTIONS: dict[str, type[Settings]] = {"Aya Expanse": AyaExpanse, "BAM": Bam}
"""The page's sections that are about a study, by heading."""
PAGE = DOCS / "paper-index.md"
HEAD = "| setting | here |"
FIRST = "pocket"
HOMES = {
    "AverageConfig": "paribus.studies.stages.merging",
    "DPO": "paribus.training.objectives.dpo",
    "EngineJudge": "paribus.feedback.judges",
    "LearnedRouter.fit": "paribus.feedback.learned_router",
    "MergeConfig": "paribus.studies.stages.merging",
    "PARALLEL": "paribus.weights.methods.slerp",
    "RLOO": "paribus.training.objectives.rloo",
    "TrainSettings": "paribus.training.settings",
    "bradley_terry": "paribus.evaluation.bradley_terry",
    "merge": "paribus.weights",
    "style_control": "paribus.evaluation.style_control",
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
    """The default of a parameter (``merge(trim)``), or a constant (``PARALLEL``)."""
    target, _, parameter = name.rstrip(")").partition("(")
    found = found_by_name(f"{HOMES[target]}.{target}")
    return inspect.signature(found).parameters[parameter].default if parameter else found


def show(value: Any) -> str:
    """A value as a reader wants it: recipes and shapes in one line, long lists by their length."""
    if isinstance(value, Recipe):
        rows = f"{value.steps} steps x {value.rows} rows x {value.length}"
        return f"{rows}, {value.learning_rate:g}, {value.optimizer}"
    if isinstance(value, Shape):
        heads = f"{value.heads}/{value.key_value_heads} heads"
        return f"d {value.hidden_size}, {value.layers} layers, {heads}, f {value.intermediate_size}"
    if isinstance(value, BaseModel):
        return ", ".join(f"{key} {show(item)}" for key, item in value)
    if value is inspect.Parameter.empty:
        return "to be given"
    if isinstance(value, (tuple, dict)):
        return ", ".join(map(str, value)) if 0 < len(value) <= 7 else str(len(value) or "none")
    if isinstance(value, bool) or value in (None, ""):
        return {True: "yes", False: "no"}.get(value, "none") if value is not None and value != "" else "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    old = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(refreshed(old), encoding="utf-8")
    sys.stdout.write("changed\n" if refreshed(old) != old else "already as the code says\n")
