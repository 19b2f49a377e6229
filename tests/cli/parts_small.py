"""Small model folders made by transformers itself (random weights, a byte tokenizer from memory), and small files."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    CohereConfig,
    GemmaConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

TEMPLATE = (
    "{{ '<bos>' }}{% for message in messages %}{{ '<' + message['role'] + '>' + message['content'] + '<end>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TEMPLATE
)
SPECIAL = ["<pad>", "<bos>", "<end>", "<system>", "<user>", "<assistant>"]
CONFIGS = {
    "llama": LlamaConfig,
    "gemma": GemmaConfig,
    "qwen2": Qwen2Config,
    "qwen3": Qwen3Config,
    "cohere": CohereConfig,
}


def byte_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate([*SPECIAL, *letters])}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<bos>", eos_token="<end>", pad_token="<pad>", extra_special_tokens=SPECIAL[3:]
    )
    tokenizer.chat_template = template
    return tokenizer


def config(kind: str = "llama", **changes: Any) -> Any:
    shape = {
        "vocab_size": 272,  # padded: transformers gives some tokenizers (Qwen) a token of its own
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    return CONFIGS[kind](**{**shape, **changes})


def model_folder(
    folder: Path,
    kind: str = "llama",
    *,
    seed: int = 0,
    reward: bool = False,
    template: str | None = TEMPLATE,
    dtype: torch.dtype = torch.float32,
    **changes: Any,
) -> Path:
    """A model with its tokenizer, as a user would have it on disk."""
    torch.manual_seed(seed)
    auto = AutoModelForSequenceClassification if reward else AutoModelForCausalLM
    more = {"num_labels": 1} if reward else {}
    auto.from_config(config(kind, **more, **changes)).to(dtype).save_pretrained(folder)
    byte_tokenizer(template).save_pretrained(folder)
    return folder


LANGUAGES = ("de", "sw")


def questions(count: int = 12, start: int = 0) -> list[dict[str, Any]]:
    """Prompt rows in two languages; the same question has the same number in both."""
    return [
        {
            "id": f"q{n}/{code}",
            "language": code,
            "messages": [{"role": "user", "content": f"{code} {n}?"}],
            "meta": {"question_id": f"q{n}"},
        }
        for n in range(start, start + count // 2)
        for code in LANGUAGES
    ]


def examples(count: int = 12) -> list[dict[str, Any]]:
    return [
        {**row, "messages": [*row["messages"], {"role": "assistant", "content": f"yes {n}"}]}
        for n, row in enumerate(questions(count))
    ]


def pairs(count: int = 12) -> list[dict[str, Any]]:
    return [
        {"id": row["id"], "language": row["language"], "prompt": row["messages"], "chosen": "good", "rejected": "bad !"}
        for row in questions(count)
    ]


def answers(model: str, count: int = 12, start: int = 0, **fields: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{model}/{row['id']}#0",
            "prompt_id": row["id"],
            "language": row["language"],
            "model": model,
            "text": f"{model} says {n}",
            "tokens": 5,
            **{name: value(n, row) if callable(value) else value for name, value in fields.items()},
        }
        for n, row in enumerate(questions(count, start))
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
