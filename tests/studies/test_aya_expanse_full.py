"""Full scale end to end, with small stand-ins: models and prompts from directories, a judge behind HTTP.

Nothing in the study file changes: the settings that name hub models, prompt sets and a judge name local ones here.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerBase

from paribus.data.tokenizer import train_tokenizer
from paribus.lab import Store, run_study
from paribus.studies.aya_expanse import STUDY

TEXTS = {
    "en": ["Write a line about rivers.", "Name three colours.", "What is rain?", "Describe a chair.", "Count to two."],
    "tr": ["Nehirler hakkında yaz.", "Üç renk say.", "Yağmur nedir?", "Bir sandalye anlat.", "İkiye kadar say."],
    "ru": ["Напиши о реках.", "Назови три цвета.", "Что такое дождь?", "Опиши стул.", "Сосчитай до двух."],
}


class Judge(BaseHTTPRequestHandler):
    """Prefers the longer answer, whatever the order; counts what it was asked."""

    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        self.asked.append(text)
        parts = text.split("--- ")
        first, second = (len(part) for part in parts if part.startswith("ANSWER"))
        label = "A>B" if first > second else "B>A" if second > first else "A=B"
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": f"So: [[{label}]]"}}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        reply = json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def judge() -> Iterator[str]:
    Judge.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def shape(vocabulary: PreTrainedTokenizerBase, **extra: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        pad_token_id=vocabulary.pad_token_id,
        eos_token_id=vocabulary.eos_token_id,
        bos_token_id=vocabulary.bos_token_id,
        **extra,
    )


@pytest.fixture
def zoo(tmp_path: Path) -> dict[str, Path]:
    """Llama models of transformers' own, random weights; a reward model; prompt sets as files."""
    vocabulary = train_tokenizer((text for rows in TEXTS.values() for text in rows), vocab_size=400)
    places = {}
    for number, name in enumerate(("base", "teacher-a", "teacher-b", "reward")):
        torch.manual_seed(number)
        if name == "reward":
            model = LlamaForSequenceClassification(shape(vocabulary, num_labels=1))
        else:
            model = LlamaForCausalLM(shape(vocabulary))
        places[name] = tmp_path / name
        model.save_pretrained(places[name])
        vocabulary.save_pretrained(places[name])
    for name, copies in (("prompts", 6), ("tests", 1)):
        rows = [
            {"question_id": f"{name}-{n}-{copy}", "language": code, "prompt": f"{text} ({name} {copy})"}
            for code, texts in TEXTS.items()
            for n, text in enumerate(texts)
            for copy in range(copies)
        ]
        places[name] = tmp_path / f"{name}.jsonl"
        places[name].write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return places


def overrides(zoo: dict[str, Path], judge: str) -> list[str]:
    recipe = {"steps": 2, "rows": 2, "length": 96, "learning_rate": 1e-3, "lora_rank": 2}
    wanted = {
        "seeds": [0],
        "data.languages": list(TEXTS),
        "data.bridge": ["en"],
        "data.prompts": str(zoo["prompts"]),
        "data.tests": str(zoo["tests"]),
        "data.train_prompts": 8,
        "data.dev_prompts": 4,
        "data.round_prompts": 4,
        "data.test_prompts": 5,
        "data.max_tokens": 6,
        "models.base": str(zoo["base"]),
        "models.teachers": {"a": str(zoo["teacher-a"]), "b": str(zoo["teacher-b"])},
        "models.reward": str(zoo["reward"]),
        "training.student": recipe,
        "training.cluster": recipe,
        "preferences.offline": recipe | {"steps": 4},
        "preferences.round": recipe,
        "preferences.best_of_n": recipe,
        "preferences.reinforce": recipe,
        "preferences.rounds": 2,
        "preferences.samples": 3,
        "judge.endpoint": judge,
    }
    return [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in wanted.items()]


@pytest.mark.slow
def test_the_same_study_runs_on_models_and_prompts_that_exist(
    zoo: dict[str, Path], judge: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-for-the-judge")
    store = Store(tmp_path / "store")
    result = run_study(STUDY, store, scale="full", overrides=overrides(zoo, judge), workers=1)
    assert {arm.name for arm in result.arms} >= {"base", "reward", "merge_dare_ties", "offline", "recipe", "rloo"}
    assert all(contrast.measure == "win_rate" for contrast in result.contrasts)
    panels = {panel.id: panel for panel in result.panels}
    assert "not known" in panels["arbiter"].rows[0]["text"] and "arbiter-sweep" not in panels
    assert "exact_match" not in panels["errors"].columns
    assert {row["facet"] for row in panels["monitors"].rows} >= {"kl", "drift"}
    assert "gap" not in {row["facet"] for row in panels["monitors"].rows}
    assert Judge.asked, "the judge was never asked"
    secret = b"sk-secret-for-the-judge"
    assert not [path for path in store.root.rglob("*") if path.is_file() and secret in path.read_bytes()]
