"""sft, dpo and reward for a new user: results that load, runs that resume to the byte, wrong input refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from cli_calls import call, sentence
from parts_small import examples, model_folder, pairs, rows, write
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

SHORT = ("--length", 48, "--batch-size", 4, "--learning-rate", 1e-3, "--threads", 1)
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    model_folder(folder / "llama")
    write(folder / "train.jsonl", examples(40))
    write(folder / "pairs.jsonl", pairs(24))
    return folder


def sft(shelf: Path, out: Path, *more: object, model: str = "llama"):
    return call("sft", shelf / model, shelf / "train.jsonl", "--out", out, *SHORT, *more)


def test_sft_makes_a_model_folder_that_transformers_loads(shelf: Path, tmp_path: Path) -> None:
    done = sft(shelf, tmp_path / "tuned", "--steps", 12)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'tuned'}\n"
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "tuned")
    assert AutoTokenizer.from_pretrained(tmp_path / "tuned").chat_template
    before = AutoModelForCausalLM.from_pretrained(shelf / "llama")
    assert not torch.equal(model.lm_head.weight, before.lm_head.weight)
    losses = [row["loss"] for row in rows(tmp_path / "tuned" / "history.jsonl")]
    assert len(losses) == 12 and losses[-1] < losses[0] - 0.1
    record = json.loads((tmp_path / "tuned" / "run.json").read_text())
    assert record["state"] == "complete" and record["options"]["steps"] == 12
    assert record["inputs"]["data"]["rows"] == 40 and record["cost"]["tokens"] > 0
    assert not (tmp_path / "tuned" / "checkpoints").exists()


def test_epochs_count_packed_rows(shelf: Path, tmp_path: Path) -> None:
    assert sft(shelf, tmp_path / "tuned", "--epochs", 2).exit_code == 0
    record = json.loads((tmp_path / "tuned" / "run.json").read_text())
    packed = -(-sum(len(row) for row in _token_rows(shelf)) // 48)
    assert record["options"]["steps"] >= 2 * packed // 4


def _token_rows(shelf: Path) -> list[list[int]]:
    tokenizer = AutoTokenizer.from_pretrained(shelf / "llama")
    return [tokenizer.apply_chat_template(row["messages"])["input_ids"] for row in rows(shelf / "train.jsonl")]


@pytest.mark.parametrize("more", [(), ("--lora-rank", 2), ("--gradient-accumulation", 2), ("--optimizer", "muon")])
def test_a_stopped_run_resumes_to_the_bytes_of_an_undisturbed_one(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[object, ...]
) -> None:
    options = ("--steps", 6, "--checkpoint-every", 2, *more)
    assert sft(shelf, tmp_path / "whole", *options).exit_code == 0
    _stop_at(monkeypatch, 5)
    stopped = sft(shelf, tmp_path / "twice", *options)
    assert stopped.exit_code == 130 and "To go on:" in stopped.stderr
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    resumed = sft(shelf, tmp_path / "twice", *options)
    assert resumed.exit_code == 0 and "checkpoint of step 4" in resumed.stderr
    assert (tmp_path / "twice" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()
    assert rows(tmp_path / "twice" / "history.jsonl") == rows(tmp_path / "whole" / "history.jsonl")


def _stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    from paribus.cli.parts_progress import Steps

    def stopping(self: Steps, done: int, **numbers: float) -> None:
        if done == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(Steps, "__call__", stopping)


def test_a_finished_run_is_left_alone_and_another_one_is_refused(shelf: Path, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    assert sft(shelf, out, "--steps", 1).exit_code == 0
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    again = sft(shelf, out, "--steps", 1)
    assert again.exit_code == 0 and "finished already" in again.stderr
    other = sft(shelf, out, "--steps", 1, "--seed", 5, "--average", "example")
    assert other.exit_code == 2
    assert "- seed: 0 there, 5 asked for" in other.stderr
    assert "- average: 'token' there, 'example' asked for" in other.stderr
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_a_folder_with_other_files_is_refused(shelf: Path, tmp_path: Path) -> None:
    write(tmp_path / "full" / "notes.jsonl", [{"mine": 1}])
    assert "is not empty and holds no run.json" in sentence(sft(shelf, tmp_path / "full", "--steps", 1))
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.jsonl"]


def test_stored_number_format_is_kept(shelf: Path, tmp_path: Path) -> None:
    model_folder(tmp_path / "half", dtype=torch.bfloat16)
    shelf_copy = tmp_path / "shelf"
    shelf_copy.mkdir()
    shutil.copytree(tmp_path / "half", shelf_copy / "half")
    shutil.copy(shelf / "train.jsonl", shelf_copy)
    assert sft(shelf_copy, tmp_path / "a", "--steps", 1, model="half").exit_code == 0
    assert sft(shelf_copy, tmp_path / "b", "--steps", 1, "--save-dtype", "float32", model="half").exit_code == 0
    kept, wide = (AutoModelForCausalLM.from_pretrained(tmp_path / name, dtype="auto") for name in ("a", "b"))
    assert (kept.dtype, wide.dtype) == (torch.bfloat16, torch.float32)


def test_dpo_starts_at_ln_2_and_prefers_the_chosen(shelf: Path, tmp_path: Path) -> None:
    done = call("dpo", shelf / "llama", shelf / "pairs.jsonl", "--out", tmp_path / "p", "--steps", 8, *SHORT)
    assert done.exit_code == 0, done.stderr
    history = rows(tmp_path / "p" / "history.jsonl")
    assert history[0]["loss"] == pytest.approx(0.693147, abs=1e-5)
    assert history[-1]["reward_accuracy"] == 1.0 and history[-1]["reward_margin"] > 0
    AutoModelForCausalLM.from_pretrained(tmp_path / "p")


def test_reward_model_ranks_its_pairs_and_loads_as_an_arbiter(shelf: Path, tmp_path: Path) -> None:
    done = call("reward", shelf / "llama", shelf / "pairs.jsonl", "--out", tmp_path / "r", "--steps", 12, *SHORT)
    assert done.exit_code == 0, done.stderr
    assert rows(tmp_path / "r" / "history.jsonl")[-1]["accuracy"] == 1.0
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "r")
    assert model.config.num_labels == 1


BAD_FILES = {
    "missing.jsonl": (None, "no file"),
    "empty.jsonl": ("", "empty"),
    "columns.jsonl": ('{"question": "x", "reply": "y"}\n', "question, reply"),
    "language.jsonl": ('{"prompt": "x", "completion": "y", "language": "xx"}\n', "'xx'"),
    "broken.jsonl": ('{"prompt": "x",\n', "row 1"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_data_that_cannot_be_used_is_refused_in_a_sentence(shelf: Path, tmp_path: Path, name: str) -> None:
    content, said = BAD_FILES[name]
    if content is not None:
        (tmp_path / name).write_text(content)
    told = sentence(call("sft", shelf / "llama", tmp_path / name, "--out", tmp_path / "out", *SHORT))
    assert name in told and said in told
    assert not (tmp_path / "out").exists()


def test_bad_rows_are_set_aside_and_counted(shelf: Path, tmp_path: Path) -> None:
    mixed = examples(12)
    mixed[3]["language"] = "xx"
    write(tmp_path / "mixed.jsonl", mixed)
    words = ("sft", shelf / "llama", tmp_path / "mixed.jsonl", "--out", tmp_path / "out", "--steps", 1, *SHORT)
    assert "'xx'" in sentence(call(*words))
    done = call(*words, "--on-bad-row", "skip")
    assert done.exit_code == 0 and "1 bad rows set aside" in done.stderr
    assert json.loads((tmp_path / "out" / "run.json").read_text())["inputs"]["data"]["rows"] == 11
    assert len(rows(tmp_path / "out.mixed.jsonl.bad.jsonl")) == 1


def test_a_row_without_a_language_needs_one(shelf: Path, tmp_path: Path) -> None:
    write(tmp_path / "plain.jsonl", [{"prompt": "x", "completion": "y"}])
    words = ("sft", shelf / "llama", tmp_path / "plain.jsonl", "--out", tmp_path / "out", "--steps", 1, *SHORT)
    assert "language" in sentence(call(*words))
    assert "did you mean 'en'" in sentence(call(*words, "--language", "English"))
    assert call(*words, "--language", "en").exit_code == 0


def test_long_rows_stop_the_run_or_are_cut_or_left_out(shelf: Path, tmp_path: Path) -> None:
    long = examples(6)
    long[2]["messages"][1]["content"] = "x" * 200
    write(tmp_path / "long.jsonl", long)

    def run(out: str, *more: object):
        return call(
            "sft", shelf / "llama", tmp_path / "long.jsonl", "--out", tmp_path / out, "--steps", 1, *SHORT, *more
        )

    assert "more than the length 48" in sentence(run("a"))
    cut, left = run("b", "--on-long-row", "truncate"), run("c", "--on-long-row", "skip")
    assert "1 were cut and 0 left out" in cut.stderr and "0 were cut and 1 left out" in left.stderr


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("no-tokenizer", "no tokenizer file"),
        ("no-template", "no chat template"),
        ("pickled", "safetensors"),
        ("no-config", "config.json"),
        ("no-folder", "does not exist"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(shelf: Path, tmp_path: Path, damage: str, said: str) -> None:
    model = tmp_path / "model"
    if damage != "no-folder":
        shutil.copytree(shelf / "llama", model)
    if damage == "no-tokenizer":
        for path in model.glob("tokenizer*"):
            path.unlink()
    if damage == "no-template":
        (model / "chat_template.jinja").unlink()
    if damage == "pickled":
        (model / WEIGHTS).rename(model / "pytorch_model.bin")
    if damage == "no-config":
        (model / "config.json").unlink()
    told = sentence(call("sft", model, shelf / "train.jsonl", "--out", tmp_path / "out", "--steps", 1, *SHORT))
    assert said in told and str(model) in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--steps", 1, "--epochs", 1), "--steps and --epochs"),
        (("--steps", 1, "--learning-rate", -1), "learning"),
        (("--steps", 1, "--batch-size", 3, "--gradient-accumulation", 2), "micro-batches"),
        (("--steps", 1, "--length", 1024), "256 positions"),
        (("--steps", 1, "--warmup", 2), "--warmup"),
        (("--epochs", 0), "--epochs"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    shelf: Path, tmp_path: Path, more: tuple[object, ...], said: str
) -> None:
    done = sft(shelf, tmp_path / "out", *more)
    assert done.exit_code == 2, done.output
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_model_that_mixes_up_packed_conversations_is_trained_one_a_row(shelf: Path, tmp_path: Path) -> None:
    from parts_small import byte_tokenizer
    from transformers import BloomConfig

    config = BloomConfig(vocab_size=272, hidden_size=32, n_layer=2, n_head=4, pad_token_id=0, eos_token_id=2)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "bloom")
    byte_tokenizer().save_pretrained(tmp_path / "bloom")
    words = ("sft", tmp_path / "bloom", shelf / "train.jsonl", "--out", tmp_path / "out", "--steps", 3, *SHORT)
    assert "give --no-packing" in sentence(call(*words))
    for average in ("token", "example"):
        done = call(*words[:4], tmp_path / average, *words[5:], "--no-packing", "--average", average)
        assert done.exit_code == 0, done.stderr
    assert call(*words, "--no-packing").exit_code == 0, "a refusal must not claim the folder"


def test_packed_or_not_the_same_loss_comes_out(shelf: Path, tmp_path: Path) -> None:
    """One step over all 40 rows: the mean over the same targets, whatever their arrangement."""
    losses = []
    for name, more in (("packed", ()), ("single", ("--no-packing", "--batch-size", 40))):
        size = () if more else ("--batch-size", _packed_rows(shelf, tmp_path))
        assert sft(shelf, tmp_path / name, "--steps", 1, *more, *size).exit_code == 0
        losses.append(rows(tmp_path / name / "history.jsonl")[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def _packed_rows(shelf: Path, tmp_path: Path) -> int:
    told = sft(shelf, tmp_path / "count", "--steps", 1).stderr
    return int(told.split(" packed rows")[0].rsplit(" ", 1)[-1])


def test_too_little_memory_is_told_with_what_to_do(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import paribus.training.trainer as trainer

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer, "train", full)
    told = sentence_of_last_line(sft(shelf, tmp_path / "out", "--steps", 1))
    assert "does not hold 4 rows of 48 tokens" in told and "--gradient-accumulation" in told


def sentence_of_last_line(result) -> str:
    assert result.exit_code == 2, (result.output, result.exception)
    return result.stderr.strip().splitlines()[-1]
