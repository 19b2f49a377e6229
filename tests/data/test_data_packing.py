"""A packed row is its conversations side by side and blind to each other; nothing is learned twice or lost."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.data.chat import Encoded, encode_many
from paribus.data.packing import IGNORE, PackedDataset, array_hash, block_mask, pack
from paribus.errors import DataError
from paribus.training.objectives.causal import model_inputs

LENGTH = 16


@st.composite
def conversations(draw, longest=LENGTH):
    """Token ids are unique over all rows, so that every token can be told apart."""
    sizes = draw(st.lists(st.integers(1, longest), min_size=1, max_size=20))
    starts = np.cumsum([1, *sizes])
    masks = [draw(st.lists(st.booleans(), min_size=size, max_size=size)) for size in sizes]
    return [
        Encoded(np.arange(start, start + size, dtype=np.int32), np.asarray(mask, bool))
        for start, size, mask in zip(starts, sizes, masks, strict=False)
    ]


def segments(dataset: PackedDataset):
    """(row, slice) of every segment."""
    for number, ids in enumerate(dataset.segment_ids):
        for segment in range(1, ids.max() + 1):
            places = np.flatnonzero(ids == segment)
            assert (np.diff(places) == 1).all()
            yield number, slice(places[0], places[-1] + 1)


@settings(max_examples=40, deadline=None)
@given(conversations())
def test_every_conversation_is_there_once_and_whole(rows):
    dataset = pack(rows, LENGTH)
    found = sorted(dataset.input_ids[number, part].tolist() for number, part in segments(dataset))
    assert found == sorted(row.input_ids.tolist() for row in rows)
    for number, part in segments(dataset):
        assert dataset.position_ids[number, part].tolist() == list(range(part.stop - part.start))


@settings(max_examples=40, deadline=None)
@given(conversations())
def test_completion_tokens_carry_loss_once_and_prompt_tokens_never(rows):
    dataset = pack(rows, LENGTH)
    labels = dataset.labels[dataset.labels != IGNORE].tolist()
    # The first token of a conversation has nothing before it to be predicted from.
    expected = [token for row in rows for token in row.input_ids[1:][row.completion_mask[1:]].tolist()]
    assert sorted(labels) == sorted(expected)
    placed = dataset.labels != IGNORE
    assert (dataset.labels[placed] == dataset.input_ids[placed]).all()
    pads = dataset.segment_ids == 0
    assert (dataset.labels[pads] == IGNORE).all() and (dataset.input_ids[pads] == 0).all()


@settings(max_examples=40, deadline=None)
@given(conversations())
def test_best_fit_leaves_no_two_rows_that_would_fit_in_one(rows):
    dataset = pack(rows, LENGTH)
    filled = (dataset.segment_ids > 0).sum(1)
    assert filled.sum() == sum(map(len, rows))
    if len(filled) > 1:
        assert np.sort(filled)[:2].sum() > LENGTH


@settings(max_examples=30, deadline=None)
@given(conversations(longest=24))
def test_long_conversations_are_refused_or_cut(rows):
    long = [number for number, row in enumerate(rows) if len(row) > LENGTH]
    if long:
        with pytest.raises(DataError, match=f"Conversation {long[0]} has {len(rows[long[0]])} tokens, more than .* 16"):
            pack(rows, LENGTH)
    dataset = pack(rows, LENGTH, drop="truncate")
    found = sorted(dataset.input_ids[number, part].tolist() for number, part in segments(dataset))
    assert found == sorted(row.input_ids[:LENGTH].tolist() for row in rows)


def test_nothing_to_pack_is_refused():
    with pytest.raises(DataError, match="nothing to pack"):
        pack([], 8)


def test_the_mask_by_hand():
    """Segments 1 1 2 and a pad: each token sees itself and what is before it in its own segment."""
    assert block_mask(torch.tensor([[1, 1, 2, 0]]))[0, 0].tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [False, False, True, False],
        [False, False, False, True],
    ]


def test_no_row_of_a_mask_is_empty():
    assert block_mask(torch.zeros(2, 5, dtype=torch.long)).any(-1).all()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_packed_row_gives_the_logits_of_its_conversations_alone(model, tokenizer, attention):
    talks = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        for question, answer in (("Hi", "Hello"), ("3 + 4?", "7"), ("Сегодня?", "понедельник"))
    ]
    encoded = encode_many(tokenizer, talks)
    dataset = pack(encoded, sum(map(len, encoded)) + 3)
    assert len(dataset) == 1
    model.set_attn_implementation(attention)
    with torch.inference_mode():
        packed = model(**model_inputs(model, dataset.batch(np.array([0])))).logits[0]
        assert torch.isfinite(packed).all()
        for _, part in segments(dataset):
            alone = model(torch.from_numpy(dataset.input_ids[:, part].astype(np.int64))).logits[0]
            torch.testing.assert_close(packed[part], alone, rtol=1e-4, atol=1e-5)
        # A model that looked across segments would answer otherwise: the check can fail.
        blurred = model(torch.from_numpy(dataset.input_ids.astype(np.int64))).logits[0]
    last = list(segments(dataset))[-1][1]
    assert not torch.allclose(blurred[last], packed[last], rtol=1e-4, atol=1e-3)


def test_batches_are_the_rows_asked_for():
    rows = [Encoded(np.full(5, token, np.int32), np.ones(5, bool)) for token in (1, 2, 3)]
    dataset = pack(rows, 5)
    batch = dataset.batch(np.array([2, 0]))
    assert batch["input_ids"].tolist() == dataset.input_ids[[2, 0]].tolist()
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}
    assert {tuple(tensor.shape) for tensor in batch.values()} == {(2, dataset.length)}


def test_hashes_see_values_shapes_types_and_every_array():
    base = np.arange(6, dtype=np.int32)
    hashes = {
        array_hash(base), array_hash(base.reshape(2, 3)), array_hash(base.astype(np.int64)), array_hash(base[:5]),
        array_hash(base[:3], base[3:]), array_hash(base[:2], base[2:]), array_hash(base[::-1]),
    }  # fmt: skip
    assert len(hashes) == 7
    assert array_hash(base[::2]) == array_hash(np.array([0, 2, 4], np.int32))


def test_the_data_hash_covers_all_that_a_model_sees():
    row = Encoded(np.arange(1, 6, dtype=np.int32), np.array([0, 0, 1, 1, 1], bool))
    other = Encoded(row.input_ids, np.array([0, 0, 0, 1, 1], bool))
    assert pack([row], 5).data_hash == pack([row], 5).data_hash
    assert len({pack([row], 5).data_hash, pack([other], 5).data_hash, pack([row], 6).data_hash}) == 3
