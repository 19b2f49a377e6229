"""A trained Bradley-Terry model as arbiter: scores as transformers gives them, accuracy by language, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feedback_toy import answer, prompt, prompts_in
from transformers import LlamaConfig, LlamaForSequenceClassification

from paribus.data.chat import encode_many
from paribus.data.pairs import encode_pairs
from paribus.data.stream import BatchStream
from paribus.data.tokenizer import train_tokenizer
from paribus.errors import ConfigError, DataError, ModelError
from paribus.feedback.arbiters import RewardModelArbiter, arbiter_accuracy, ensure_distinct
from paribus.models.decoder import DecoderConfig, DecoderForSequenceClassification
from paribus.models.load import load_reward
from paribus.records import Completion, Message, PreferencePair, Prompt
from paribus.training.compute import FP32
from paribus.training.objectives.reward import Reward
from paribus.training.settings import TrainSettings
from paribus.training.trainer import train

WORDS = {"en": ("yes indeed", "no never"), "ar": ("نعم حقا", "لا أبدا")}
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "num_labels": 1,
    "max_position_embeddings": 64,
}


def truth(asked: Prompt, text: str) -> float:
    """Planted: the first phrase of a language is right."""
    return float(text.startswith(WORDS[asked.language][0]))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    texts = [text for row in WORDS.values() for text in row] + [p.text for p in prompts_in(list(WORDS), 20)]
    return train_tokenizer(texts, vocab_size=300)


def _fresh(kind: str, tokenizer: Any, **more: Any) -> Any:
    torch.manual_seed(0)
    special = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": 1,
        "eos_token_id": 3,
    }
    shape = {**SHAPE, **special, **more}
    if kind == "decoder":
        return DecoderForSequenceClassification(DecoderConfig(**shape))
    return LlamaForSequenceClassification(LlamaConfig(**shape))


def _answers(asked: list[Prompt]) -> tuple[list[Prompt], list[Completion]]:
    rows = [answer(p, f"m{i}", f"{WORDS[p.language][i]} {p.id}") for p in asked for i in range(2)]
    return [p for p in asked for _ in range(2)], rows


@pytest.fixture(scope="module")
def trained(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model of 20 thousand parameters, fitted on pairs of other questions in about a second."""
    asked = [prompt(number, language) for number in range(1000, 1040) for language in WORDS]
    pairs = [
        PreferencePair(
            id=p.id,
            prompt_id=p.id,
            language=p.language,
            prompt=p.messages,
            chosen=f"{WORDS[p.language][0]} {p.id}",
            rejected=f"{WORDS[p.language][1]} {p.id}",
        )
        for p in asked
    ]
    model = _fresh("decoder", tokenizer)
    settings = TrainSettings(steps=30, batch_size=16, learning_rate=1e-2)
    train(model, BatchStream(encode_pairs(tokenizer, pairs), 16, seed=0), Reward(), settings, compute=FP32)
    folder = tmp_path_factory.mktemp("reward")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_trained_arbiter_knows_right_from_wrong_in_every_language(trained: Path) -> None:
    asked = prompts_in(list(WORDS), 30)
    owners, rows = _answers(asked)
    arbiter = RewardModelArbiter.load(trained, batch_size=16)
    scores = arbiter.score(owners, rows)
    scored = [row.model_copy(update={"score": float(s)}) for row, s in zip(rows, scores, strict=True)]
    table = {row.language: row for row in arbiter_accuracy({p.id: p for p in asked}, scored, truth)}
    assert set(table) == {"all", "ar", "en"}
    for row in table.values():
        assert row.accuracy > 0.95
        assert row.low < row.accuracy <= row.high
    assert (table["all"].pairs, table["ar"].pairs) == (60, 30)


def test_an_untrained_arbiter_is_shown_to_be_none(tokenizer: Any) -> None:
    """Nothing is found where nothing is: random weights do not know the planted phrases of both languages."""
    asked = prompts_in(list(WORDS), 30)
    owners, rows = _answers(asked)
    found = []
    for seed in range(6):
        torch.manual_seed(seed)
        model = DecoderForSequenceClassification(DecoderConfig(**SHAPE, vocab_size=len(tokenizer), pad_token_id=0))
        scores = RewardModelArbiter(model, tokenizer, identity="random").score(owners, rows)
        scored = [row.model_copy(update={"score": float(s)}) for row, s in zip(rows, scores, strict=True)]
        found += [row.accuracy for row in arbiter_accuracy({p.id: p for p in asked}, scored, truth)[1:]]
    assert 0.2 < np.mean(found) < 0.8


@pytest.mark.parametrize("kind", ["decoder", "llama"])
def test_scores_are_those_of_the_model_alone_in_any_order_and_batch(kind: str, tokenizer: Any) -> None:
    model = _fresh(kind, tokenizer).eval()
    owners, rows = _answers(prompts_in(list(WORDS), 6))
    rows = [row.model_copy(update={"text": row.text * (1 + i % 3)}) for i, row in enumerate(rows)]
    alone = []
    for asked, row in zip(owners, rows, strict=True):
        (encoded,) = encode_many(tokenizer, [(*asked.messages, Message(role="assistant", content=row.text))])
        with torch.inference_mode():
            alone.append(model(input_ids=torch.tensor(encoded.input_ids.tolist())[None]).logits.item())
    assert np.std(alone) > 1e-4
    for batch_size in (1, 5, 128):
        arbiter = RewardModelArbiter(model, tokenizer, identity="m", batch_size=batch_size)
        np.testing.assert_allclose(arbiter.score(owners, rows), alone, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(arbiter.score(owners[::-1], rows[::-1]), alone[::-1], rtol=1e-4, atol=1e-6)
    assert arbiter.score([], []).shape == (0,)


def test_a_model_without_padding_id_is_given_the_tokenizers(tokenizer: Any) -> None:
    owners, rows = _answers(prompts_in(["en"], 4))
    known, unknown = _fresh("llama", tokenizer), _fresh("llama", tokenizer, pad_token_id=None)
    unknown.load_state_dict(known.state_dict())
    expected = RewardModelArbiter(known, tokenizer, identity="a").score(owners, rows)
    np.testing.assert_allclose(
        RewardModelArbiter(unknown, tokenizer, identity="b").score(owners, rows), expected, rtol=1e-5
    )


def test_an_empty_answer_gets_a_score(trained: Path) -> None:
    asked = prompt(0)
    scores = RewardModelArbiter.load(trained).score(
        [asked] * 2, [answer(asked, "a", ""), answer(asked, "b", "yes indeed")]
    )
    assert np.isfinite(scores).all() and scores[0] != scores[1]


def test_what_is_too_long_is_refused_not_cut(trained: Path) -> None:
    asked = prompt(0)
    rows = [answer(asked, "a", "yes indeed"), answer(asked, "b", "xyz " * 40)]
    with pytest.raises(
        DataError, match=r"'b/q0/en#0' makes a conversation of \d+ tokens; the reward model .* reads 64"
    ):
        RewardModelArbiter.load(trained).score([asked] * 2, rows)


def test_only_one_output_is_a_reward(tokenizer: Any) -> None:
    with pytest.raises(ModelError, match="has 2 outputs"):
        RewardModelArbiter(_fresh("decoder", tokenizer, num_labels=2), tokenizer, identity="two")


def test_the_trained_arbiter_may_not_be_the_judge(trained: Path, tmp_path: Path) -> None:
    arbiter = RewardModelArbiter.load(trained)
    load_reward(trained).save_pretrained(tmp_path / "same-weights")
    for judge in (str(trained), f"{trained}/", str(tmp_path / "same-weights")):
        with pytest.raises(ConfigError, match="are the same"):
            ensure_distinct(arbiter, judge)
    ensure_distinct(arbiter, "org/judge")
