"""The room's public face."""

import subprocess
import sys

import pytest

import paribus.statistics as statistics


def test_every_public_name_loads() -> None:
    for name in statistics.__all__:
        assert callable(getattr(statistics, name)), name
    assert set(statistics.__all__) == set(statistics._HOMES)


def test_unknown_names_raise_attribute_error() -> None:
    with pytest.raises(AttributeError, match="bonferroni"):
        _ = statistics.bonferroni


def test_importing_the_room_loads_no_scipy() -> None:
    code = (
        "import sys, paribus.statistics as s\n"
        "[getattr(s, n) for n in s.__all__]\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('scipy', 'sklearn', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
