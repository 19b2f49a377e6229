"""merge: what comes out is the merge asked for, and models that do not fit are refused with every difference."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from cli_calls import call, sentence
from parts_small import model_folder
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    for seed, name in enumerate(("base", "a", "b")):
        model_folder(folder / name, seed=seed)
    model_folder(folder / "gemma", "gemma")
    return folder


def merge(shelf: Path, out: Path, *more: object, models: tuple[str, ...] = ("a", "b")):
    return call("merge", *(shelf / name for name in models), "--out", out, *more)


def test_linear_is_the_weighted_mean_and_the_folder_loads(shelf: Path, tmp_path: Path) -> None:
    done = merge(shelf, tmp_path / "m", "--weights", "0.25,0.75")
    assert done.exit_code == 0, done.stderr
    a, b, merged = (load_file(path / WEIGHTS) for path in (shelf / "a", shelf / "b", tmp_path / "m"))
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, 0.25 * a[name] + 0.75 * b[name])
    AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert AutoTokenizer.from_pretrained(tmp_path / "m").chat_template
    record = json.loads((tmp_path / "m" / "run.json").read_text())
    assert record["options"]["weights"] == [0.25, 0.75] and record["state"] == "complete"


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("slerp", ("--t", 0.5)),
        ("slerp", ("--layer-gradient", "0/0.5/1")),
        ("linear", ("--layer-gradient", "1,0/0,1")),
        ("ties", ("--density", "0.5", "--trim", "model", "--scale", 0.7)),
        ("dare_ties", ("--density", "0.5,0.7", "--seed", 3, "--rescale", "l1")),
    ],
)
def test_every_method_runs_and_differs_from_its_sources(
    shelf: Path, tmp_path: Path, method: str, more: tuple[object, ...]
) -> None:
    base = ("--base", shelf / "base") if method in ("ties", "dare_ties") else ()
    done = merge(shelf, tmp_path / "m", "--method", method, *base, *more)
    assert done.exit_code == 0, done.stderr
    merged = load_file(tmp_path / "m" / WEIGHTS)
    sources = [load_file(shelf / name / WEIGHTS) for name in ("a", "b", "base")]
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.isfinite(merged[name]).all()
    if "--layer-gradient" not in more:
        assert not any(torch.equal(merged[name], source[name]) for source in sources)


def test_ends_of_slerp_are_the_models(shelf: Path, tmp_path: Path) -> None:
    for t, name in ((0, "a"), (1, "b")):
        assert merge(shelf, tmp_path / name, "--method", "slerp", "--t", t).exit_code == 0
        merged, source = load_file(tmp_path / name / WEIGHTS), load_file(shelf / name / WEIGHTS)
        assert all(torch.allclose(merged[key], source[key], atol=1e-6) for key in source)


def test_models_that_do_not_fit_are_refused_with_every_difference(shelf: Path, tmp_path: Path) -> None:
    done = merge(shelf, tmp_path / "m", models=("a", "gemma"))
    assert done.exit_code == 2
    assert "tensor 'lm_head.weight' is missing" in done.stderr and "model_type" in done.stderr
    assert not (tmp_path / "m").exists()


def test_pickled_weights_and_missing_folders_are_refused(shelf: Path, tmp_path: Path) -> None:
    shutil.copytree(shelf / "a", tmp_path / "pickled")
    (tmp_path / "pickled" / WEIGHTS).rename(tmp_path / "pickled" / "pytorch_model.bin")
    told = sentence(call("merge", shelf / "a", tmp_path / "pickled", "--out", tmp_path / "m"))
    assert "pytorch_model.bin" in told and "safetensors" in told
    assert "no model directory" in sentence(call("merge", shelf / "a", tmp_path / "gone", "--out", tmp_path / "m"))


def test_a_folder_that_is_there_is_not_overwritten(shelf: Path, tmp_path: Path) -> None:
    shutil.copytree(shelf / "b", tmp_path / "m")
    before = (tmp_path / "m" / WEIGHTS).read_bytes()
    assert "not an empty directory" in sentence(merge(shelf, tmp_path / "m"))
    assert (tmp_path / "m" / WEIGHTS).read_bytes() == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--method", "ties"), "base"),
        (("--method", "slerp"), "slerp"),
        (("--method", "average"), "--method"),
        (("--weights", "1"), "weights"),
        (("--weights", "a,b"), "--weights"),
        (("--weights", "1,1"), "sum"),
        (("--density", "0.5"), "density"),
        (("--dtype", "int8"), "int8"),
    ],
)
def test_options_that_do_not_fit_the_method(shelf: Path, tmp_path: Path, more: tuple[object, ...], said: str) -> None:
    done = merge(shelf, tmp_path / "m", *more)
    assert done.exit_code == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "m").exists()
