"""The toy study within reach, and one finished store of it."""

import shutil
from pathlib import Path

import pytest
from cli_calls import LAB_TESTS, TOY, process


@pytest.fixture(autouse=True)
def toy_in_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(LAB_TESTS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("PARIBUS_STORE", "TOY_FAIL", "TOY_COUNTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("finished") / "store"
    done = process("run", TOY, "--scale", "smoke", "--store", store, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(store / "reports" / "toy-smoke.html")
    return store


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path) -> Path:
    """A copy of a store in which the toy study is finished at smoke scale."""
    return Path(shutil.copytree(finished_once, tmp_path / "done"))
