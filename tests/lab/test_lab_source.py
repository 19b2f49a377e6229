"""Source digests: what a stage can reach, no more, found without importing it."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from paribus.lab import source as module
from paribus.lab.source import changed, sources

FILES = {
    "__init__.py": "",
    "stages.py": (
        "import os\nfrom demo_pack.shared import x\n"
        "def one(out):\n    from demo_pack.parts import alpha\n"
        "def two(out):\n    from .parts.beta import b\n"
    ),
    "shared.py": "x = 1\n",
    "unrelated.py": "boom = 1 / 0\n",
    "parts/__init__.py": "",
    "parts/alpha.py": "from . import gamma\nraise RuntimeError('must not be imported')\n",
    "parts/beta.py": "b = 2\n",
    "parts/gamma.py": "from demo_pack.parts.alpha import something\n",
}


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "demo_pack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [n for n in sys.modules if n.startswith("demo_pack")]:
        monkeypatch.delitem(sys.modules, name)
    _forget()
    return tmp_path / "demo_pack"


def _forget() -> None:
    for cached in (module._find, module._tree, module._file_digest, module._imports_of, module._sources):
        cached.cache_clear()


def stages(pack: Path) -> ModuleType:
    import importlib

    return importlib.import_module("demo_pack.stages")


def test_each_stage_reaches_its_own_parts_and_what_these_reach(pack: Path) -> None:
    both = stages(pack)
    shared = {"demo_pack", "demo_pack.stages", "demo_pack.shared", "demo_pack.parts"}
    assert set(sources(both.one)) - {"demo_pack"} == (shared | {"demo_pack.parts.alpha", "demo_pack.parts.gamma"}) - {
        "demo_pack"
    }
    assert "demo_pack.parts.beta" in sources(both.two) and "demo_pack.parts.alpha" not in sources(both.two)
    assert "demo_pack.unrelated" not in sources(both.one)


def test_a_change_far_below_is_seen_where_it_matters(pack: Path) -> None:
    both = stages(pack)
    before = {name: sources(getattr(both, name)) for name in ("one", "two")}
    (pack / "parts" / "gamma.py").write_text("y = 3\n")
    _forget()
    assert changed(before["one"], sources(both.one)) == ["demo_pack.parts.gamma"]
    assert changed(before["two"], sources(both.two)) == []


def test_modules_that_come_and_go_are_marked() -> None:
    assert changed({"a": "1", "b": "2"}, {"a": "1", "c": "3"}) == ["+c", "-b"]


def test_functions_without_source_have_none() -> None:
    space: dict[str, object] = {"__name__": "nowhere"}
    exec("def f(out): pass", space)
    assert sources(space["f"]) == {}  # type: ignore[arg-type]
