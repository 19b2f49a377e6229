"""Rows that are too long: refused, cut or left out, and always counted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from paribus.data.chat import Encoded
from paribus.data.pairs import PairDataset
from paribus.errors import DataError

OnLong = Literal["fail", "truncate", "skip"]


@dataclass(frozen=True)
class Shortened:
    """What was done about long rows: how many there were, how many were cut, how many left out; the longest seen."""

    rows: int
    longest: int
    cut: int = 0
    skipped: int = 0


def shorten(
    rows: Sequence[Encoded], length: int, on_long: OnLong, *, what: str = "row"
) -> tuple[list[Encoded], Shortened]:
    """Rows of at most ``length`` tokens, in order.

    ``truncate`` cuts the end; a row whose answer was cut off whole teaches nothing and is left out like those of
    ``skip``. Raises ``DataError`` on ``fail``, naming the first, and when nothing is left.
    """
    kept, report = _shorten([(row,) for row in rows], length, on_long, what)
    return [row for (row,) in kept.values()], report


def shorten_pairs(dataset: PairDataset, length: int, on_long: OnLong) -> tuple[PairDataset, Shortened]:
    """The same for pairs: one of which either side is too long is refused, cut on that side, or left out."""
    kept, report = _shorten(list(zip(dataset.chosen, dataset.rejected, strict=True)), length, on_long, "pair")
    chosen, rejected = zip(*kept.values(), strict=True)
    return replace(dataset, chosen=chosen, rejected=rejected, margins=dataset.margins[list(kept)]), report


def _shorten(
    rows: Sequence[tuple[Encoded, ...]], length: int, on_long: OnLong, what: str
) -> tuple[dict[int, tuple[Encoded, ...]], Shortened]:
    kept: dict[int, tuple[Encoded, ...]] = {}
    cut = 0
    for number, sides in enumerate(rows):
        fits = max(map(len, sides)) <= length
        if not fits and on_long == "fail":
            raise DataError(
                f"The {what} {number + 1} has {max(map(len, sides))} tokens, more than the length {length}; raise the "
                "length, or choose to truncate or skip long rows."
            )
        if not fits and on_long == "skip":
            continue
        shorter = tuple(Encoded(side.input_ids[:length], side.completion_mask[:length]) for side in sides)
        if all(side.completion_mask[1:].any() for side in shorter):
            kept[number] = shorter
            cut += not fits
    longest = max((len(side) for sides in rows for side in sides), default=0)
    if not kept:
        raise DataError(
            f"None of {len(rows)} rows keeps an answer within {length} tokens (the longest has {longest}); "
            "raise the length."
        )
    return kept, Shortened(len(rows), longest, cut, len(rows) - len(kept))


def context_of(config: Any) -> int | None:
    """Positions a model has (Hugging Face configuration), or None where it names no limit."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    limit = getattr(text, "max_position_embeddings", None)
    return int(limit) if limit else None


def check_fit(ids: Sequence[str], lengths: Sequence[int], answer: int, context: int | None, name: str) -> None:
    """Raise ``DataError`` for the prompts (ids and lengths in tokens) that leave no room for ``answer`` more tokens.

    Checked before the first answer is made: a run should not stop at its longest prompt after an hour.
    """
    long = [(size, key) for key, size in zip(ids, lengths, strict=True) if context and size + answer > context]
    if long:
        size, key = max(long)
        raise DataError(
            f"{len(long)} of {len(ids)} prompts are too long for {name}: {key!r} has {size} tokens, and with {answer} "
            f"for the answer that exceeds its {context} positions. Shorten or remove them, or lower the answer's limit."
        )
