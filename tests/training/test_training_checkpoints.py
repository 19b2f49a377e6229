import logging

import pytest

from paribus.errors import ConfigError
from paribus.training.checkpoints import keep_newest, latest, seal

IDENTITY = {"steps": 9, "betas": (0.9, 0.95)}


def written(directory, step, content="weights"):
    folder = directory / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model").write_text(content)
    seal(folder, IDENTITY, {"step": step})
    return folder


def test_the_newest_by_number_wins(tmp_path):
    for step in (9, 10, 2):
        written(tmp_path, step)
    found = latest(tmp_path, IDENTITY)
    assert (found.path, found.step, found.extra) == (tmp_path / "checkpoint-10", 10, {"step": 10})


def test_nothing_there_is_none(tmp_path):
    assert latest(tmp_path, IDENTITY) is None
    assert latest(tmp_path / "nowhere", IDENTITY) is None
    (tmp_path / "checkpoint-best").mkdir()
    assert latest(tmp_path, IDENTITY) is None


@pytest.mark.parametrize("problem", ["changed", "gone", "unsealed"])
def test_an_unsound_one_is_named_and_passed_over(tmp_path, caplog, problem):
    older, newer = written(tmp_path, 1), written(tmp_path, 2)
    if problem == "changed":
        (newer / "model").write_text("weightz")
    elif problem == "gone":
        (newer / "model").unlink()
    else:
        (newer / "sealed.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert latest(tmp_path, IDENTITY).path == older
    reason = "it was not finished" if problem == "unsealed" else "its file model is missing or damaged"
    assert f"{newer} is not used: {reason}" in caplog.text


def test_another_run_s_is_refused_with_the_difference(tmp_path):
    written(tmp_path, 1)
    with pytest.raises(ConfigError, match=r"checkpoint-1 belongs to another run \(steps=9 then, 8 now\)"):
        latest(tmp_path, IDENTITY | {"steps": 8})


def test_two_are_kept_and_later_leftovers_go(tmp_path):
    for step in (2, 4, 6, 8, 10):
        written(tmp_path, step)
    keep_newest(tmp_path, 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-6", "checkpoint-8"]
    keep_newest(tmp_path, 6)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-6"]
