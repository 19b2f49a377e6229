"""One conversation a row: the same targets as packed, nothing of a neighbour, pads behind."""

import numpy as np
import pytest

from paribus.data.chat import Encoded
from paribus.data.packing import IGNORE, pack
from paribus.data.unpacked import one_a_row
from paribus.errors import DataError

ROWS = [
    Encoded(np.array([5, 6, 7, 8], np.int32), np.array([False, False, True, True])),
    Encoded(np.array([9, 4], np.int32), np.array([True, True])),
]


def test_rows_are_padded_to_the_longest_of_the_batch() -> None:
    dataset = one_a_row(ROWS, 10, pad_id=3)
    batch = dataset.batch(np.array([1, 0]))
    assert batch["input_ids"].tolist() == [[9, 4, 3, 3], [5, 6, 7, 8]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[IGNORE, 4, IGNORE, IGNORE], [IGNORE, IGNORE, 7, 8]]
    assert dataset.batch(np.array([1]))["input_ids"].shape == (1, 2)


def test_targets_are_those_of_packed_rows() -> None:
    def targets(labels) -> list[int]:
        return sorted(label for row in labels.tolist() for label in row if label != IGNORE)

    packed = pack(ROWS, 10)
    assert targets(packed.labels) == targets(one_a_row(ROWS, 10).batch(np.arange(2))["labels"])


def test_the_hash_sees_tokens_masks_and_bounds() -> None:
    other = [Encoded(ROWS[0].input_ids, ~ROWS[0].completion_mask), ROWS[1]]
    assert one_a_row(ROWS, 10).data_hash == one_a_row(ROWS, 4, pad_id=1).data_hash
    assert len({one_a_row(rows, 10).data_hash for rows in (ROWS, other, ROWS[::-1])}) == 3


@pytest.mark.parametrize(("rows", "length"), [([], 10), (ROWS, 3)])
def test_none_and_too_long_are_refused(rows: list[Encoded], length: int) -> None:
    with pytest.raises(DataError, match="conversations, the longest has"):
        one_a_row(rows, length)
