"""The published package ``alpaca_eval`` as an oracle, without the network and without ``pkg_resources``."""

import importlib.util
import sys
import types
from importlib.metadata import version
from pathlib import Path

import pytest

PACKAGE = importlib.util.find_spec("alpaca_eval")


def metrics(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """``alpaca_eval.metrics``; skips where the package is not installed. ``pkg_resources``, which newer setuptools no
    longer ship, is stood in for by what the package asks of it.
    """
    pytest.importorskip("packaging")
    if PACKAGE is None:
        pytest.skip("the package alpaca_eval, an oracle of these numbers, is not installed")
    from packaging.version import Version

    stub = types.ModuleType("pkg_resources")
    stub.parse_version = Version
    stub.get_distribution = lambda name: types.SimpleNamespace(version=version(name))
    monkeypatch.setitem(sys.modules, "pkg_resources", stub)
    import alpaca_eval.metrics

    return alpaca_eval.metrics


def leaderboards() -> list[Path]:
    """The published leaderboards, which the package carries."""
    if PACKAGE is None or PACKAGE.origin is None:
        return []
    return sorted((Path(PACKAGE.origin).parent / "leaderboards").glob("data_AlpacaEval*/*.csv"))
