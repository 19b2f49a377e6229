"""Planted truth: a reward model learns to read critiques, and a small model learns to write them.

Whether an answer is good cannot be seen in it, only in what a critic says: without critiques nothing can be learned,
and what each control leaves of them is known.
"""

import random
from collections.abc import Sequence
from itertools import permutations, product
from typing import Any

import pytest
import torch
from critiques_toy import Voice, asked, pair, said

from paribus.data.chat import encode_many
from paribus.data.pairs import PairDataset, encode_pairs, padding_id
from paribus.data.stream import BatchStream
from paribus.data.tokenizer import train_tokenizer
from paribus.data.unpacked import one_a_row
from paribus.evaluation.reward_models import score_pairs
from paribus.feedback.arbiters import RewardModelArbiter, unit_noise
from paribus.feedback.critiques import (
    SHORT_TEMPLATE,
    CritiquedArbiter,
    CritiquedPair,
    CritiqueIndex,
    EngineCritic,
    RuleCritic,
    Stated,
    assert_pointwise,
    controlled,
    critic_examples,
    critique_pairs,
    join,
    pairs_to_read,
)
from paribus.inference.local import LocalEngine
from paribus.models.decoder import DecoderConfig, DecoderForCausalLM, DecoderForSequenceClassification
from paribus.records import PreferencePair, Prompt
from paribus.training.compute import FP32
from paribus.training.objectives.causal import Causal
from paribus.training.objectives.reward import Reward
from paribus.training.settings import TrainSettings
from paribus.training.trainer import train

SHAPE = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 128,
}
TARGETS = ("one", "two", "three")


def hidden(prompt: Prompt, text: str) -> list[Stated]:
    """Three claims whose truth stands nowhere."""
    return [Stated("correctness", target, unit_noise(prompt.id, text, target) < 0.5) for target in TARGETS]


def plainly(claim: Stated, language: str, dice: random.Random) -> str:
    return f"{claim.target} {'fine' if claim.holds else 'bad'}"


VOICE = Voice(plainly, lambda language: " ")


def hidden_pairs(start: int, count: int) -> list[PreferencePair]:
    """Pairs of equal words, ordered by how many hidden claims hold."""
    found, dice = [], random.Random(start)
    for number in range(start, start + count):
        prompt = asked(number)
        while True:
            texts = [" ".join(dice.sample("abcdefgh", 3)) for _ in range(2)]
            marks = [sum(claim.holds for claim in hidden(prompt, text)) for text in texts]
            if marks[0] != marks[1]:
                break
        chosen, rejected = texts if marks[0] > marks[1] else reversed(texts)
        found.append(pair(number, chosen, rejected))
    return found


TRAINING, TESTS = hidden_pairs(0, 160), hidden_pairs(1000, 120)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    texts = ["question 12 in en", "one fine two bad three fine", "[critique] [answer]", "a b c d e f g h 0 1"]
    return train_tokenizer(texts * 5, vocab_size=330)


def critiqued(pairs: Sequence[PreferencePair], accuracy: float) -> tuple[CritiquedPair, ...]:
    return join(pairs, critique_pairs(RuleCritic(hidden, VOICE, accuracy), pairs)).rows


def reader(tokenizer: Any, rows: Sequence[CritiquedPair], steps: int = 120) -> RewardModelArbiter:
    dataset: PairDataset = encode_pairs(tokenizer, pairs_to_read(rows)[0])
    torch.manual_seed(0)
    config = DecoderConfig(**SHAPE, vocab_size=len(tokenizer), num_labels=1, pad_token_id=tokenizer.pad_token_id)
    settings = TrainSettings(steps=steps, batch_size=16, learning_rate=3e-3, warmup_steps=10)
    stream = BatchStream(dataset, 16, 0)
    model = train(DecoderForSequenceClassification(config), stream, Reward(), settings, compute=FP32).model
    return RewardModelArbiter(model, tokenizer, identity="reader")


def accuracy(arbiter: RewardModelArbiter, rows: Sequence[CritiquedPair]) -> float:
    shown, _ = pairs_to_read(rows)
    return float(score_pairs(arbiter, shown).outcomes().value.mean())


@pytest.fixture(scope="module")
def good_reader(tokenizer: Any) -> RewardModelArbiter:
    return reader(tokenizer, critiqued(TRAINING, 1.0))


def test_a_reader_orders_by_what_the_critic_says(good_reader: RewardModelArbiter) -> None:
    rows = critiqued(TESTS, 1.0)
    assert accuracy(good_reader, rows) > 0.95
    assert accuracy(good_reader, controlled(rows, "swapped")) < 0.05
    assert accuracy(good_reader, controlled(rows, "shuffled")) == pytest.approx(0.5, abs=0.15)


def test_a_worse_critic_is_worth_less_to_the_same_reader(good_reader: RewardModelArbiter) -> None:
    found = [accuracy(good_reader, critiqued(TESTS, q)) for q in (1.0, 0.8, 0.5)]
    assert found[0] > found[1] + 0.05 > found[2] + 0.1
    assert found[2] == pytest.approx(0.5, abs=0.15)


def test_filler_is_the_same_on_both_sides_and_so_worth_nothing(good_reader: RewardModelArbiter) -> None:
    assert accuracy(good_reader, controlled(critiqued(TESTS, 1.0), "filler")) == pytest.approx(0.5, abs=0.15)


def test_without_critiques_there_is_nothing_to_learn(tokenizer: Any) -> None:
    plain = reader(tokenizer, [CritiquedPair(row) for row in TRAINING])
    assert accuracy(plain, [CritiquedPair(row) for row in TESTS]) == pytest.approx(0.5, abs=0.15)


def test_the_arbiter_that_reads_critiques_scores_as_its_model_does(good_reader: RewardModelArbiter) -> None:
    rows = critiqued(TESTS, 1.0)
    index = CritiqueIndex(critique_pairs(RuleCritic(hidden, VOICE), TESTS))
    scored = score_pairs(CritiquedArbiter(good_reader, index), TESTS)
    shown = score_pairs(good_reader, pairs_to_read(rows)[0])
    torch.testing.assert_close(torch.tensor(scored.margins), torch.tensor(shown.margins), atol=1e-5, rtol=1e-5)


def visible(prompt: Prompt, text: str) -> list[Stated]:
    """``"c 1 a 0"``: a claim about every letter, which holds where a 1 stands behind it."""
    words = text.split()
    return [Stated("correctness", key, mark == "1") for key, mark in zip(words[::2], words[1::2], strict=True)]


@pytest.mark.slow
def test_a_small_model_learns_to_write_critiques(tokenizer: Any) -> None:
    """Fine-tuned on a verifier's critiques, it judges answers it has not seen, through the ordinary engine."""
    dice, prompts = random.Random(0), [asked(number) for number in range(340)]
    patterns = list(product(permutations("abcdefgh", 3), product("01", repeat=3)))
    texts = [" ".join(f"{key} {mark}" for key, mark in zip(*row, strict=True)) for row in dice.sample(patterns, 340)]
    answers = [said(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
    true = RuleCritic(visible, VOICE).critique(prompts, answers)
    examples = critic_examples(prompts[:300], answers[:300], true[:300])
    torch.manual_seed(0)
    config = DecoderConfig(**SHAPE, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    encoded = encode_many(tokenizer, [row.messages for row in examples])
    dataset = one_a_row(encoded, 64, pad_id=padding_id(tokenizer))
    settings = TrainSettings(steps=240, batch_size=16, learning_rate=5e-3, warmup_steps=10, optimizer="muon")
    model = train(DecoderForCausalLM(config), BatchStream(dataset, 16, 0), Causal(), settings, compute=FP32).model
    critic = EngineCritic(LocalEngine(model, tokenizer, name="small"), template=SHORT_TEMPLATE, max_tokens=24)
    written = critic.critique(prompts[300:], answers[300:])
    right = [a.text == b.text for a, b in zip(written, true[300:], strict=True)]
    assert sum(right) > 32
    assert_pointwise(critic, prompts[300:], answers[300:])
