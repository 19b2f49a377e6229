"""The paper index: its values are the code's, every setting of each study is in it, every row says where it is from."""

import re

import pytest
import settings_tables
from pages import DOCS
from settings_tables import PAGE, SECTIONS, refreshed

from paribus.lab.identity import flatten
from paribus.studies.catalogue import CATALOGUE, load

STATUS = {"same", "differs", "not given", "ours"}
# Names of things, which no paper could give.
NAMES = {"scale", "judge.model", "judge.baseline", "judge.endpoint", "judge.api_key_variable"}
NAMES |= {"machine.model", "machine.endpoint", "machine.api_key_variable"}


def rows(section: str | None = None) -> list[list[str]]:
    """Cells of every row of the settings tables, or of those of one section."""
    found = settings_tables.rows(PAGE.read_text(encoding="utf-8"))
    return [
        [cell.strip() for cell in line.strip("| \n").split(" | ")]
        for _, owner, line in found
        if section in (None, owner)
    ]


def test_values_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for old, new in zip(text.splitlines(), refreshed(text).splitlines(), strict=True):
        assert old == new, "run `python tests/docs/settings_tables.py`"


def test_every_study_that_is_built_has_a_section() -> None:
    assert {load(entry.name).settings for entry in CATALOGUE if entry.built} == set(SECTIONS.values())


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_of_the_study_is_listed(section: str) -> None:
    listed = {row[0].strip("`") for row in rows(section)}
    leaves = flatten(SECTIONS[section]().model_dump(mode="json"))
    missing = [leaf for leaf in leaves if not any(leaf == name or leaf.startswith(f"{name}.") for name in listed)]
    assert [leaf for leaf in missing if leaf not in NAMES] == []


def test_every_row_has_evidence_and_a_status() -> None:
    for row in rows():
        assert len(row) == 5, row
        assert row[3] == "" or set(row[3].split(", ")) <= set("BSVPDR"), row
        assert any(row[4].startswith(status) for status in STATUS), row
        assert row[4].startswith(("not given", "ours")) or row[3], f"{row[0]} claims agreement without evidence"


def test_what_is_only_recalled_says_so() -> None:
    for line in (DOCS / "paper-index.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if line.startswith("|") and any(re.fullmatch(r"R(, [BSVPD])*|([BSVPD], )+R", cell) for cell in cells):
            assert "recalled" in line, line
