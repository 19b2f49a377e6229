"""Pairs as batches: chosen first, rejected second, each with its own prompt and mask."""

import numpy as np
import pytest

from paribus.data.chat import Encoded, encode
from paribus.data.pairs import PairDataset, collate, encode_pairs, padding_id
from paribus.errors import DataError
from paribus.records import Message, PreferencePair


def pair(name: str, chosen: str, rejected: str, margin: float | None = None) -> PreferencePair:
    prompt = (Message(role="user", content=f"Ask {name}"),)
    return PreferencePair(
        id=name, prompt_id=name, language="en", prompt=prompt, chosen=chosen, rejected=rejected, margin=margin
    )


PAIRS = [pair("a", "yes", "no", 0.5), pair("b", "a longer answer", "short"), pair("c", "здесь", "", 2.0)]


def test_chosen_come_first_and_rejected_second(tokenizer):
    batch = encode_pairs(tokenizer, PAIRS).batch(np.array([2, 0]))
    rows = zip(batch["input_ids"], batch["completion_mask"].bool(), strict=True)
    end = tokenizer.eos_token
    assert [tokenizer.decode(ids[mask]) for ids, mask in rows] == [f"здесь{end}", f"yes{end}", end, f"no{end}"]
    assert batch["margins"].tolist() == [2.0, 0.5]
    assert "reference" not in batch


def test_rows_are_the_encoded_conversations_padded_on_the_right(tokenizer):
    batch = encode_pairs(tokenizer, PAIRS, pad_to=50).batch(np.array([1]))
    assert batch["input_ids"].shape == (2, 50)
    for row, text in enumerate(("a longer answer", "short")):
        alone = encode(tokenizer, (*PAIRS[1].prompt, Message(role="assistant", content=text)))
        size = len(alone)
        assert batch["input_ids"][row, :size].tolist() == alone.input_ids.tolist()
        assert batch["attention_mask"][row].tolist() == [1] * size + [0] * (50 - size)
        assert batch["completion_mask"][row, :size].bool().tolist() == alone.completion_mask.tolist()
        assert not batch["completion_mask"][row, size:].any()
        assert set(batch["input_ids"][row, size:].tolist()) == {tokenizer.pad_token_id}


def test_unknown_margins_are_nan(tokenizer):
    assert np.isnan(encode_pairs(tokenizer, PAIRS).margins).tolist() == [False, True, False]


def test_reference_log_probabilities_travel_with_their_pairs(tokenizer):
    dataset = encode_pairs(tokenizer, PAIRS)
    known = dataset.with_reference(np.arange(6.0).reshape(3, 2))
    assert known.batch(np.array([2, 0]))["reference"].tolist() == [[4, 5], [0, 1]]
    assert dataset.reference is None
    with pytest.raises(DataError, match=r"shape \(6,\); 3 pairs need \(3, 2\)"):
        dataset.with_reference(np.zeros(6))


def test_the_hash_covers_both_sides_and_margins_but_not_the_reference(tokenizer):
    def data_hash(**change) -> str:
        return encode_pairs(tokenizer, [PAIRS[0].model_copy(update=change), *PAIRS[1:]]).data_hash

    changes = [
        {},
        {"chosen": "yes!"},
        {"rejected": "no!"},
        {"margin": 0.6},
        {"margin": None},
        {"prompt": PAIRS[1].prompt},
    ]
    assert len({data_hash(**change) for change in changes}) == len(changes)
    dataset = encode_pairs(tokenizer, PAIRS)
    assert dataset.with_reference(np.zeros((3, 2))).data_hash == dataset.data_hash
    swapped = encode_pairs(
        tokenizer, [p.model_copy(update={"chosen": p.rejected, "rejected": p.chosen}) for p in PAIRS]
    )
    assert swapped.data_hash != dataset.data_hash


def test_the_hash_sees_where_one_row_ends(tokenizer):
    """Moving a boundary between rows must change it although the joined bytes stay."""
    dataset = encode_pairs(tokenizer, PAIRS[:1])
    one, two = dataset.chosen[0], dataset.rejected[0]
    ids, mask = np.append(one.input_ids, two.input_ids[:1]), np.append(one.completion_mask, two.completion_mask[:1])
    rest = Encoded(two.input_ids[1:], two.completion_mask[1:])
    assert PairDataset((Encoded(ids, mask),), (rest,), dataset.margins).data_hash != dataset.data_hash


def test_padding_falls_back_to_the_end_of_sequence(with_template):
    tokenizer = with_template("block")
    assert padding_id(tokenizer) == tokenizer.pad_token_id
    tokenizer.pad_token = None
    assert padding_id(tokenizer) == tokenizer.eos_token_id


def test_collating_pads_to_the_longest(tokenizer):
    rows = encode_pairs(tokenizer, PAIRS).chosen
    assert collate(rows, 0)["input_ids"].shape == (3, max(map(len, rows)))


def test_no_pairs_are_refused(tokenizer):
    with pytest.raises(DataError, match="no preference pairs"):
        encode_pairs(tokenizer, [])
