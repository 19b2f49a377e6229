"""The chain a newcomer would type, from start to end, on models made by transformers; and a kill while training."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cli_calls import call, command, environment
from parts_server import serving
from parts_small import CONFIGS, examples, model_folder, pairs, questions, rows, write
from transformers import AutoModelForCausalLM

SHORT = ("--length", 48, "--batch-size", 4, "--learning-rate", 1e-3, "--threads", 1)


def done(*words: object) -> str:
    result = call(*words)
    assert result.exit_code == 0, (words[0], result.stderr, result.exception)
    return result.stdout


# The other architectures take the same seconds each; what differs is in transformers.
KINDS = [pytest.param(kind, marks=() if kind in ("llama", "cohere") else pytest.mark.slow) for kind in CONFIGS]


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_base_model_to_a_win_rate(tmp_path: Path, kind: str) -> None:
    base = model_folder(tmp_path / "base", kind)
    prompts = write(tmp_path / "prompts.jsonl", questions(8))
    train, preferred = write(tmp_path / "train.jsonl", examples(16)), write(tmp_path / "pairs.jsonl", pairs(16))
    done("sft", base, train, "--out", "tuned", "--steps", 3, *SHORT)
    # transformers has no Cohere model with a score; an arbiter of another make does as well.
    body = model_folder(tmp_path / "body") if kind == "cohere" else base
    done("reward", body, preferred, "--out", "arbiter", "--steps", 3, *SHORT)
    brief = ("--max-tokens", 6, "--temperature", 1, "--threads", 1)
    for seed, name in enumerate(("base", "tuned")):
        done("generate", name, prompts, "--out", f"{name}.jsonl", "--seed", seed, *brief)
    teachers = ("--teacher", "a=base.jsonl", "--teacher", "b=tuned.jsonl")
    done("arbitrage", prompts, *teachers, "--arbiter", "arbiter", "--out", "routed")
    done("sft", "tuned", "routed/examples.jsonl", "--out", "student", "--steps", 2, "--on-long-row", "skip", *SHORT)
    done("dpo", "student", "routed/pairs.jsonl", "--out", "offline", "--steps", 2, "--on-long-row", "skip", *SHORT)
    done("merge", "student", "offline", "--out", "merged", "--weights", "0.5,0.5")
    AutoModelForCausalLM.from_pretrained("merged")
    done("generate", "merged", prompts, "--out", "merged.jsonl", *brief)

    def prefers_the_first(messages: list[dict[str, str]]) -> str:
        return "[[A>B]]"

    with serving(prefers_the_first) as server:
        words = ("--judge", "served", "--endpoint", server.url, "--arbiter", "arbiter", "--out", "verdicts.jsonl")
        done("judge", prompts, "merged.jsonl", "base.jsonl", *words)
    table = done("winrate", "verdicts.jsonl", "--model", "merged", "--definition", "half_ties", "--resamples", 200)
    assert next(line.split()[1] for line in table.splitlines() if line.strip().startswith("all")) == "50.0%"


@pytest.mark.slow
def test_killed_in_the_middle_a_training_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    model_folder(tmp_path / "base")
    write(tmp_path / "train.jsonl", examples(40))

    def words(out: str) -> list[object]:
        return ["sft", "base", "train.jsonl", "--out", out, "--steps", 60, "--checkpoint-every", 5, *SHORT]

    process = subprocess.Popen(command(*words("twice")), env=environment(), stderr=subprocess.DEVNULL)
    sealed = tmp_path / "twice" / "checkpoints"
    while not list(sealed.glob("checkpoint-*/sealed.json")):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "twice" / "model.safetensors").exists()
    assert json.loads((tmp_path / "twice" / "run.json").read_text())["state"] == "unfinished"
    resumed = call(*words("twice"))
    assert resumed.exit_code == 0 and "went on from the checkpoint" in resumed.stderr
    done(*words("whole"))
    for name in ("model.safetensors", "config.json", "history.jsonl", "tokenizer.json"):
        assert (tmp_path / "twice" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(rows(tmp_path / "twice" / "history.jsonl")) == 60
