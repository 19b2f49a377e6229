"""Samples of a prompt stay side by side with their scores, and nothing unscored or uneven gets in."""

import numpy as np
import pytest
import torch

from paribus.data.chat import encode
from paribus.data.samples import encode_samples
from paribus.data.stream import BatchStream
from paribus.errors import DataError
from paribus.records import Completion, Message, Prompt
from paribus.training.objectives.rloo import RLOO


def prompt(name: str) -> Prompt:
    return Prompt(id=name, language="en", messages=(Message(role="user", content=f"Say {name}."),))


def answer(prompt_id: str, number: int, score: float | None, **changes) -> Completion:
    fields = {"id": f"{prompt_id}#{number}", "prompt_id": prompt_id, "language": "en", "model": "m"}
    return Completion(**{**fields, "text": f"{prompt_id} is number {number}", "score": score, **changes})


PROMPTS = [prompt("a"), prompt("b"), prompt("c")]
POOL = [answer(p.id, n, 10.0 * i + n) for n in range(2) for i, p in enumerate(PROMPTS)]


def texts(tokenizer, batch) -> list[str]:
    return [
        tokenizer.decode(ids[mask.bool()])
        for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)
    ]


def test_the_samples_of_a_prompt_are_adjacent_and_carry_their_own_scores(tokenizer):
    dataset = encode_samples(tokenizer, PROMPTS, POOL, 2)
    assert len(dataset) == 3
    batch = dataset.batch(np.array([2, 0]))
    assert batch["rewards"].tolist() == [20.0, 21.0, 0.0, 1.0]
    end = "<|END_OF_TURN_TOKEN|>"
    said = [f"c is number 0{end}", f"c is number 1{end}", f"a is number 0{end}", f"a is number 1{end}"]
    assert texts(tokenizer, batch) == said
    assert "reference" not in batch and "sampled_logprobs" not in batch


def test_a_row_is_the_conversation_padded_on_the_right(tokenizer):
    dataset = encode_samples(tokenizer, PROMPTS, POOL, 2, pad_to=64)
    batch = dataset.batch(np.array([1]))
    alone = encode(tokenizer, (*PROMPTS[1].messages, Message(role="assistant", content="b is number 1")))
    assert batch["input_ids"].shape == (2, 64)
    assert batch["input_ids"][1, : len(alone)].tolist() == alone.input_ids.tolist()
    assert batch["attention_mask"][1].sum() == len(alone)
    assert batch["completion_mask"][1].sum() == alone.completion_mask.sum()
    assert set(batch["input_ids"][1, len(alone) :].tolist()) == {tokenizer.pad_token_id}


@pytest.mark.parametrize("template", ["block", "prefix", "prefix-newline"])
def test_an_answer_cut_by_the_length_limit_does_not_learn_to_end(with_template, template):
    tokenizer = with_template(template)
    pool = [answer("a", 0, 1.0), answer("a", 1, 0.0, text="a is number 0", finish="length")]
    stopped, cut = encode_samples(tokenizer, PROMPTS[:1], pool, 2).answers
    assert tokenizer.decode(cut.input_ids[cut.completion_mask]) == "a is number 0"
    assert stopped.input_ids[: len(cut)].tolist() == cut.input_ids.tolist()
    assert len(stopped) == len(cut) + 1
    assert stopped.input_ids[-1] == tokenizer.convert_tokens_to_ids("<|END_OF_TURN_TOKEN|>")


def test_templates_whose_answers_have_no_learned_end_are_left_whole(with_template):
    tokenizer = with_template("block-without-end")
    pool = [answer("a", 0, 1.0), answer("a", 1, 0.0, text="a is number 0", finish="length")]
    stopped, cut = encode_samples(tokenizer, PROMPTS[:1], pool, 2).answers
    for row in (stopped, cut):
        assert tokenizer.decode(row.input_ids[row.completion_mask]) == "a is number 0"


def test_an_empty_answer_learns_its_end_only(tokenizer):
    row = encode_samples(tokenizer, PROMPTS[:1], [answer("a", 0, 0.0, text=""), answer("a", 1, 1.0)], 2).answers[0]
    assert row.input_ids[row.completion_mask].tolist() == [tokenizer.eos_token_id]


def test_log_probabilities_travel_with_their_samples(tokenizer):
    sampled, reference = np.arange(6.0).reshape(3, 2), -np.arange(6.0).reshape(3, 2)
    batch = encode_samples(tokenizer, PROMPTS, POOL, 2).with_logprobs(sampled, reference).batch(np.array([2, 1]))
    assert batch["sampled_logprobs"].tolist() == [4, 5, 2, 3]
    assert batch["reference"].tolist() == [-4, -5, -2, -3]


def test_log_probabilities_of_another_shape_are_refused(tokenizer):
    dataset = encode_samples(tokenizer, PROMPTS, POOL, 2)
    with pytest.raises(DataError, match=r"Reference .*shape \(6,\); 3 prompts with 2 samples each need \(3, 2\)"):
        dataset.with_logprobs(np.zeros((3, 2)), np.zeros(6))


def test_the_hash_covers_tokens_and_rewards_but_not_log_probabilities(tokenizer):
    dataset = encode_samples(tokenizer, PROMPTS, POOL, 2)
    other_score = [POOL[0].model_copy(update={"score": 0.5}), *POOL[1:]]
    other_text = [POOL[0].model_copy(update={"text": "no"}), *POOL[1:]]
    cut = [POOL[0].model_copy(update={"finish": "length"}), *POOL[1:]]
    changed = [encode_samples(tokenizer, PROMPTS, pool, 2).data_hash for pool in (other_score, other_text, cut)]
    assert len({dataset.data_hash, *changed}) == 4
    known = dataset.with_logprobs(np.ones((3, 2)), np.zeros((3, 2)))
    assert known.data_hash == dataset.data_hash
    assert dataset.data_hash == encode_samples(tokenizer, PROMPTS, POOL, 2).data_hash


def test_answers_to_other_prompts_are_left_out(tokenizer):
    assert encode_samples(tokenizer, PROMPTS[:2], POOL, 2).rewards.tolist() == [[0, 1], [10, 11]]


@pytest.mark.parametrize(
    ("prompts", "pool", "message"),
    [
        ([], POOL, "no prompts"),
        ([*PROMPTS, PROMPTS[0]], POOL, "4 prompts share 3 ids"),
        (PROMPTS, POOL[1:], "'a' has 1 answers in the pool, expected 2"),
        (PROMPTS, [*POOL, answer("b", 2, 0.0)], "'b' has 3 answers in the pool, expected 2"),
        (PROMPTS[:1], [answer("a", 0, None), answer("a", 1, 0.0)], "'a#0' has the score None"),
        (PROMPTS[:1], [answer("a", 0, float("nan")), answer("a", 1, 0.0)], "'a#0' has the score nan"),
        (PROMPTS[:1], [answer("a", 0, 1.0, finish="error"), answer("a", 1, 0.0)], "'a#0' comes from a failed request"),
    ],
)
def test_uneven_or_unscored_pools_are_refused(tokenizer, prompts, pool, message):
    with pytest.raises(DataError, match=message):
        encode_samples(tokenizer, prompts, pool, 2)


def test_a_batch_is_what_rloo_takes(tokenizer, model):
    """Equal rewards, equal policies: no advantage, no loss. The better sample is pushed up otherwise."""
    known = np.zeros((3, 2))
    even = encode_samples(tokenizer, PROMPTS, [row.model_copy(update={"score": 1.0}) for row in POOL], 2)
    stream = BatchStream(even.with_logprobs(known, known), 2, seed=0)
    assert RLOO(samples=2).loss(model, stream.batch(0)).value.item() == 0
    dataset = encode_samples(tokenizer, PROMPTS, POOL, 2).with_logprobs(known, known)
    batch = BatchStream(dataset, 3, seed=0).batch(0)
    loss = RLOO(samples=2).loss(model, batch)
    assert RLOO(samples=2).weight(batch) == 6
    hidden = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.log_softmax(-1)
    token = hidden[:, :-1].gather(-1, batch["input_ids"][:, 1:, None])[..., 0] * batch["completion_mask"][:, 1:]
    expected = -(torch.tensor([-1.0, 1.0]).repeat(3) * token.sum(1)).mean()
    assert torch.allclose(loss.value, expected, rtol=1e-4)
