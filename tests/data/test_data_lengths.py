"""Long rows: refused with their number, cut at the end, or left out; always counted."""

from types import SimpleNamespace

import numpy as np
import pytest

from paribus.data.chat import Encoded
from paribus.data.lengths import Shortened, check_fit, context_of, shorten, shorten_pairs
from paribus.data.pairs import PairDataset
from paribus.errors import DataError


def row(prompt: int, answer: int) -> Encoded:
    return Encoded(np.arange(prompt + answer, dtype=np.int32), np.array([False] * prompt + [True] * answer))


ROWS = [row(2, 3), row(2, 8), row(9, 2)]  # fits; its answer is too long; its prompt alone is


def test_fail_names_the_first_long_row() -> None:
    with pytest.raises(DataError, match=r"conversation 2 has 10 tokens, more than the length 6"):
        shorten(ROWS, 6, "fail", what="conversation")


def test_truncate_cuts_the_end_and_drops_what_has_no_answer_left() -> None:
    kept, report = shorten(ROWS, 6, "truncate")
    assert [len(one) for one in kept] == [5, 6]
    assert kept[1].completion_mask.sum() == 4
    assert report == Shortened(rows=3, longest=11, cut=1, skipped=1)


def test_skip_leaves_long_rows_out() -> None:
    kept, report = shorten(ROWS, 6, "skip")
    assert [len(one) for one in kept] == [5]
    assert report == Shortened(rows=3, longest=11, cut=0, skipped=2)


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(DataError, match=r"None of 1 rows keeps an answer within 6 tokens \(the longest has 11\)"):
        shorten(ROWS[2:], 6, "truncate")


def test_pairs_go_together_and_keep_their_margins() -> None:
    pairs = PairDataset((row(2, 3), row(2, 8), row(2, 2)), (row(2, 2), row(2, 1), row(2, 3)), np.array([1, 2, 3], "f4"))
    kept, report = shorten_pairs(pairs, 6, "skip")
    assert kept.margins.tolist() == [1, 3] and len(kept) == 2
    assert report.skipped == 1
    cut, _ = shorten_pairs(pairs, 6, "truncate")
    assert [len(one) for one in cut.chosen] == [5, 6, 4] and cut.margins.tolist() == [1, 2, 3]
    assert kept.data_hash != pairs.data_hash


def test_prompts_must_leave_room_for_the_answer() -> None:
    check_fit(["a", "b"], [4, 6], 4, 10, "m")
    check_fit(["a"], [10_000], 4, None, "m")
    with pytest.raises(DataError, match=r"1 of 2 prompts are too long for m: 'b' has 7 tokens"):
        check_fit(["a", "b"], [4, 7], 4, 10, "m")


def test_context_is_that_of_the_text_model() -> None:
    inner = SimpleNamespace(max_position_embeddings=64)
    assert context_of(SimpleNamespace(get_text_config=lambda: inner)) == 64
    assert context_of(SimpleNamespace()) is None
