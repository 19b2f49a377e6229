"""The catalogue names the ten studies, and says of each whether it can be run."""

import subprocess
import sys

import pytest

from paribus.errors import ConfigError
from paribus.studies.catalogue import CATALOGUE, entry, load

NAMES = [
    "aya-101",
    "aya-23",
    "aya-expanse",
    "bam",
    "separations",
    "icl-discrete",
    "reward-critiques",
    "human-feedback",
    "structural-transfer",
    "scientific-debt",
]


def test_the_ten_studies_are_there_in_order() -> None:
    assert [row.name for row in CATALOGUE] == NAMES
    assert all(row.question.endswith("?") and "arXiv" in row.paper for row in CATALOGUE)


def test_every_built_study_loads_under_its_own_name() -> None:
    built = [row for row in CATALOGUE if row.built]
    assert "aya-expanse" in {row.name for row in built}
    for row in built:
        assert load(row.name).name == row.name


def test_an_unbuilt_study_says_so_and_names_those_that_are() -> None:
    name = next(row.name for row in CATALOGUE if not row.built)
    with pytest.raises(ConfigError, match=f"{name}.*is not built yet.*aya-expanse"):
        load(name)


def test_an_unknown_study_gets_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"'aya-expans'\. Did you mean 'aya-expanse'"):
        entry("aya-expans")
    assert entry("aya_expanse").name == "aya-expanse"


def test_building_a_graph_imports_no_torch() -> None:
    code = (
        "import sys; from paribus.studies.catalogue import load; s = load('aya-expanse'); "
        "p = s.plan(s.at('desk')); "
        "print(len(p.graph.nodes), [m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    stages, heavy = done.stdout.split(maxsplit=1)
    assert int(stages) > 500 and heavy.strip() == "[]"
