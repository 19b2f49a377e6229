"""Everything a user can mistype is answered with one sentence that names the value and the next action."""

from pathlib import Path

import pytest
from cli_calls import TOY, call, sentence

from paribus.studies.catalogue import CATALOGUE

VERBS = ("run", "plan", "status", "report")


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_study_names_the_nearest(verb: str) -> None:
    assert "'aya-expans'. Did you mean 'aya-expanse'?" in sentence(call(verb, "aya-expans"))


@pytest.mark.parametrize("verb", VERBS)
def test_a_study_that_is_not_built_says_so(verb: str) -> None:
    name = next(entry.name for entry in CATALOGUE if not entry.built)
    assert f"The study {name!r} is not built yet" in sentence(call(verb, name))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--scale", "smok"], "no scale 'smok' in AyaExpanse. Did you mean 'smoke'?"),
        (["--set", "data.numbrs=3"], "no setting 'data.numbrs'. Did you mean 'data.numbers'?"),
        (["--set", "data.numbers"], "'data.numbers' is not of the form field=value"),
        (["--set", "data.numbers=many"], "data.numbers=many cannot be used"),
        (["--seed-count", "2", "--set", "seeds=[4]"], "--seed-count and --set seeds=... both choose the seeds"),
    ],
)
@pytest.mark.parametrize("verb", VERBS)
def test_wrong_settings(verb: str, words: list[str], expected: str) -> None:
    assert expected in sentence(call(verb, "aya-expanse", *words))


@pytest.mark.parametrize("option", ["--workers", "--threads", "--seed-count"])
@pytest.mark.parametrize("value", ["0", "-2", "two"])
def test_counts_start_at_one(option: str, value: str) -> None:
    answer = call("run", TOY, "--scale", "smoke", option, value)
    assert answer.exit_code == 2
    assert answer.stderr.splitlines()[-1].startswith(f"Error: Invalid value for '{option}'")
    assert not Path("paribus-store").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_a_store_that_is_a_file(verb: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert f"{tmp_path / 'file'} is a file" in sentence(call(verb, TOY, "--store", tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "give a writable folder" in sentence(call("run", TOY, "--store", tmp_path / "file" / "store"))


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_with_other_things_is_left_alone(verb: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").touch()
    assert "is no store and holds 'one.png'" in sentence(call(verb, TOY, "--store", tmp_path / "photos"))
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["one.png"]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("nowhere:STUDY", "no module 'nowhere'"),
        (":STUDY", "write module:NAME"),
        ("lab_toy:STUDI", "Did you mean 'STUDY'?"),
        ("lab_toy:", "names no Study"),
        ("json:loads", "names no Study"),
    ],
)
def test_own_studies_that_are_none(reference: str, expected: str) -> None:
    assert expected in sentence(call("plan", reference))


def test_an_import_that_fails_inside_an_own_study_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "cli_broken_study.py").write_text("import nothing_of_this_name\n")
    failure = call("plan", "cli_broken_study:STUDY").exception
    assert isinstance(failure, ModuleNotFoundError) and failure.name == "nothing_of_this_name"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--launcher", "slrm"], "no launcher 'slrm'. Did you mean 'slurm'?"),
        (["--launcher", "inline", "--workers", "3"], "one stage at a time, not 3"),
        (["--launcher", "inline", "--devices", "cuda:0,cuda:1"], "takes one device, not cuda:0, cuda:1"),
        (["--launcher-option", "gpus=1"], "The pool launcher has no option 'gpus'"),
        (["--launcher", "slurm", "--launcher-option", "gpus"], "'gpus' is not of the form key=value"),
    ],
)
def test_launchers(words: list[str], expected: str) -> None:
    assert expected in sentence(call("run", TOY, "--scale", "smoke", *words))


@pytest.mark.parametrize("words", [["report", TOY], ["scoreboard"]])
def test_nothing_to_report_names_the_store_and_makes_none(words: list[str], tmp_path: Path) -> None:
    assert "none/here holds no store" in sentence(call(*words, "--store", "none/here"))
    assert not (tmp_path / "none").exists()


def test_a_report_that_cannot_be_written(finished: Path) -> None:
    (finished / "reports" / "toy-smoke.html").unlink()
    (finished / "reports").rmdir()
    (finished / "reports").touch()
    assert "toy-smoke.html cannot be written" in sentence(call("report", TOY, "--scale", "smoke", "--store", finished))


def test_a_report_of_other_settings_asks_for_a_run(finished: Path) -> None:
    words = ["report", TOY, "--scale", "smoke", "--store", finished, "--seed-count", "7"]
    assert "has no result at this scale and setting" in sentence(call(*words))


def test_a_report_of_a_scale_that_was_never_run(finished: Path) -> None:
    assert "has no finished run at scale 'pocket'" in sentence(call("report", TOY, "--store", finished))
