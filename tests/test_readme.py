"""The README stays true: its two commands, its pictures and links, and the state of every study."""

import re
from pathlib import Path

from paribus.studies.catalogue import CATALOGUE

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_study_is_listed_with_its_state() -> None:
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \|.*\| ([^|]+) \|$", TEXT, re.MULTILINE))
    assert {name: state == "**built**" for name, state in rows.items()} == {e.name: e.built for e in CATALOGUE}


def test_its_links_and_pictures_are_there() -> None:
    found = [target.split("#")[0] for target in re.findall(r"\]\(([^)]+)\)", TEXT) if "://" not in target]
    assert any(target.endswith(".png") for target in found)
    assert [target for target in found if not (ROOT / target).exists()] == []


def test_its_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z-]+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
