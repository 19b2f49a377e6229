"""Plain documents to token rows: loading, encoding, cutting to length, and mixing domains by shares of tokens.

A document is BOS, its text, EOS; every token but the first is learned. Mixing is by tokens, not by rows, since domains
differ in length: a tenth of the tokens is a tenth of what a model learns from.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count as counter
from itertools import pairwise
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from paribus.data.chat import Encoded
from paribus.data.sources import LoadOptions, load_records
from paribus.errors import ConfigError, DataError
from paribus.records import Document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


# ---- Loading ---------------------------------------------------------------------------------------------------------


def load_documents(source: str | Path, *, domain: str | None = None, **options: Unpack[LoadOptions]) -> list[Document]:
    """Documents of a file, a directory or a hub data set with a ``text`` (or ``content``) column.

    ``domain`` is that of rows that carry none. Errors as ``paribus.data.sources.load_examples``; rows without a domain
    are bad rows.
    """
    defaults = {} if domain is None else {"domain": domain}
    return load_records(source, Document, options, defaults)


# ---- Encoding --------------------------------------------------------------------------------------------------------


def encode_documents(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], *, length: int | None = None
) -> list[Encoded]:
    """BOS, text, EOS of every text, all tokens learned but the first; with ``length``, long ones are ``cut``.

    What looks like a special token inside a text is encoded as text. A tokenizer without BOS opens with its EOS, as
    those of the GPT-2 kind were trained.

    Raises ``DataError`` for an empty text, and for a tokenizer without EOS.
    """
    opening, closing = boundary_ids(tokenizer)
    rows = [
        Encoded(np.asarray([opening, *ids, closing], np.int32), np.arange(len(ids) + 2) > 0)
        for ids in encode_texts(tokenizer, texts)
    ]
    return rows if length is None else [part for row in rows for part in cut(row, length)]


def encode_texts(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts alone, without special tokens. Raises ``DataError`` for an empty text."""
    empty = next((place for place, text in enumerate(texts) if not text), None)
    if empty is not None:
        raise DataError(f"Text {empty} of {len(texts)} is empty; leave it out.")
    if not texts:
        return []
    out: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return out


def boundary_ids(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, int]:
    """The tokens that open and close a document. Raises ``DataError`` for a tokenizer without EOS."""
    opening, closing = tokenizer.bos_token_id, tokenizer.eos_token_id
    if not isinstance(closing, int):
        name = tokenizer.name_or_path or type(tokenizer).__name__
        raise DataError(f"The tokenizer {name!r} has no end-of-sequence token; set tokenizer.eos_token.")
    return opening if isinstance(opening, int) else closing, closing


def cut(row: Encoded, length: int) -> list[Encoded]:
    """Cut a row into the fewest parts of at most ``length`` tokens, about equally long; none is lost or learned twice.

    A part opens with the last token of the one before it, which is context there: so all that was to be learned still
    is, though the first tokens of a part have little to go by. Raises ``ConfigError`` for a length below 2.
    """
    if length < 2:
        raise ConfigError(f"length={length} leaves no room for a token and the one it predicts; use at least 2.")
    steps = max(len(row) - 1, 1)
    parts = -(-steps // (length - 1))
    edges = [steps * part // parts for part in range(parts + 1)]
    return [_part(row, start, stop) for start, stop in pairwise(edges)]


def _part(row: Encoded, start: int, stop: int) -> Encoded:
    mask = row.completion_mask[start : stop + 1].copy()
    if start:
        mask[0] = False
    return Encoded(row.input_ids[start : stop + 1], mask)


# ---- Mixing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DomainShare:
    """What one domain gave: its tokens and rows, its share of all tokens, and the share that was asked for.

    ``epochs`` = tokens given / tokens there are; up to 1, no row was given twice.
    """

    tokens: int
    rows: int
    share: float
    wanted: float
    epochs: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def mix_documents(
    sources: Mapping[str, Sequence[Encoded]],
    shares: Mapping[str, float],
    *,
    tokens: int | None = None,
    repeat: bool = False,
    seed: int = 0,
) -> tuple[list[Encoded], dict[str, DomainShare]]:
    """Draw rows of domains so that each gives its share of the tokens; the same arguments give the same rows.

    Args:
        sources: encoded rows by domain.
        shares: domain to its share; they add to 1, and a domain that is not named gives nothing.
        tokens: tokens to draw; left out, as many as the shares allow without giving a row twice.
        repeat: whether a domain may be passed over again when it has too few tokens; each pass is a new order.
        seed: of the draw and of the order. A domain's order depends on its own name and rows' places alone, so another
            share takes more or fewer of the same rows.

    A domain stops at the row that brings it nearest to its tokens, so shares are met within half a row.

    Raises ``ConfigError`` for shares that do not add to 1 or name no source, ``DataError`` for a domain with too few
    tokens (unless ``repeat``) or whose share is less than one row.
    """
    _check_shares(sources, shares)
    there = {name: sum(map(len, sources[name])) for name, share in shares.items() if share}
    empty = next((name for name, count in there.items() if not count), None)
    if empty is not None:
        raise DataError(f"The domain {empty!r} has no tokens; give it rows, or the share 0.")
    total = min(count / shares[name] for name, count in there.items()) if tokens is None else tokens
    wanted = {name: shares[name] * total for name in there}
    if not repeat:
        _enough(there, wanted)
    taken = {name: _taken(name, sources[name], wanted[name], seed) for name in there}
    places = [(name, turn, place) for name, picked in taken.items() for turn, place in picked]
    places.sort(key=lambda where: _key(seed, "order", *where))
    rows = [sources[name][place] for name, _, place in places]
    return rows, _account(sources, shares, taken, there)


def _check_shares(sources: Mapping[str, Any], shares: Mapping[str, float]) -> None:
    unknown = [name for name in shares if name not in sources]
    if unknown:
        raise ConfigError(f"There are no documents of the domain {unknown[0]!r}; there are {', '.join(sources)}.")
    if any(share < 0 for share in shares.values()) or not isclose(sum(shares.values()), 1.0, abs_tol=1e-6):
        raise ConfigError(f"The shares {dict(shares)} cannot be used; give numbers from 0 up that add to 1.")


def _enough(there: Mapping[str, int], wanted: Mapping[str, float]) -> None:
    for name, count in there.items():
        if wanted[name] > count + 0.5:  # shares are floats: a whole source may come out a hair above itself
            raise DataError(
                f"The domain {name!r} has {count} tokens, and {wanted[name]:.0f} are asked of it. Give it more "
                "documents, lower tokens or its share, or pass repeat=True."
            )


def _key(*parts: object) -> bytes:
    return hashlib.sha256("|".join(map(str, parts)).encode()).digest()


def _taken(name: str, rows: Sequence[Encoded], tokens: float, seed: int) -> list[tuple[int, int]]:
    """(pass, place) of rows in random order, up to the one that brings their tokens nearest to ``tokens``."""
    picked: list[tuple[int, int]] = []
    left = tokens
    for turn, place in _endless(name, len(rows), seed):
        if abs(left - len(rows[place])) > abs(left):
            break
        picked.append((turn, place))
        left -= len(rows[place])
    if not picked:
        raise DataError(
            f"The share of {name!r} is {tokens:.0f} tokens, less than half a row; raise tokens or the share."
        )
    return picked


def _endless(name: str, rows: int, seed: int) -> Iterator[tuple[int, int]]:
    """Passes over all places, each in its own order."""
    for turn in counter():
        for place in sorted(range(rows), key=lambda row: _key(seed, name, turn, row)):
            yield turn, place


def _account(
    sources: Mapping[str, Sequence[Encoded]],
    shares: Mapping[str, float],
    taken: Mapping[str, list[tuple[int, int]]],
    there: Mapping[str, int],
) -> dict[str, DomainShare]:
    given = {name: sum(len(sources[name][place]) for _, place in picked) for name, picked in taken.items()}
    total = sum(given.values())
    return {
        name: DomainShare(
            tokens=given[name],
            rows=len(picked),
            share=given[name] / total,
            wanted=shares[name],
            epochs=given[name] / there[name],
        )
        for name, picked in taken.items()
    }
