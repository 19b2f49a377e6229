"""Mixtures of data sources by weight, temperature or cap, with an exact account of what was taken from where.

Which rows of a source are taken depends on the seed and the source alone: adding or reweighting another source changes
how many rows it gives, never which come first. So two arms that differ in a mixture share all the rows they can.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from paribus.errors import ConfigError, DataError
from paribus.records import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Field = Literal["source", "dataset", "language", "task"]
Length = Callable[[Example], int]


@dataclass(frozen=True)
class Cap:
    """At most ``most`` rows of each cell, a cell being rows alike in ``per``.

    ``source`` is the name a source has in the mixture, ``dataset`` a row's own ``source`` field. Aya-101 (arXiv
    2402.07827) caps examples per data set in this way: ``Cap(3000, per=("source", "dataset"))``.
    """

    most: int
    per: tuple[Field, ...] = ("source",)

    def __post_init__(self) -> None:
        if self.most < 1 or not self.per:
            raise ConfigError(f"{self} cannot be used; give most >= 1 and at least one field in per.")


@dataclass(frozen=True)
class Cell:
    """What one source gave in one language: rows offered, left after the caps, drawn, distinct, and their tokens."""

    source: str
    language: str
    offered: int
    available: int
    rows: int
    distinct: int
    tokens: int | None


@dataclass(frozen=True)
class Share:
    """Sums over cells. ``epochs`` = rows / available; ``tokens`` is None when no length function was given."""

    offered: int
    available: int
    rows: int
    distinct: int
    tokens: int | None

    @property
    def epochs(self) -> float:
        """How often the rows left after the caps were passed over."""
        return self.rows / self.available if self.available else 0.0


@dataclass(frozen=True)
class MixtureReport:
    """The exact account of a mixture, by (source, language)."""

    cells: tuple[Cell, ...]

    @property
    def total(self) -> Share:
        """The whole mixture."""
        return _share(self.cells)

    @property
    def by_source(self) -> dict[str, Share]:
        """Sums by source, in the order given."""
        names = dict.fromkeys(cell.source for cell in self.cells)
        return {name: _share(cell for cell in self.cells if cell.source == name) for name in names}

    @property
    def by_language(self) -> dict[str, Share]:
        """Sums by language, sorted."""
        names = sorted({cell.language for cell in self.cells})
        return {name: _share(cell for cell in self.cells if cell.language == name) for name in names}

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        sums = {"by_source": self.by_source, "by_language": self.by_language}
        tables = {name: {key: _plain(share) for key, share in table.items()} for name, table in sums.items()}
        return {"total": _plain(self.total), **tables, "cells": [asdict(cell) for cell in self.cells]}


@dataclass(frozen=True)
class _Offer:
    """A row with its place in the mixture. ``key`` orders the rows of a source at random."""

    key: bytes
    source: str
    row: Example

    def cell(self, per: Sequence[Field]) -> tuple[str, ...]:
        """The row's values of these fields."""
        return tuple(self.value(name) for name in per)

    def value(self, name: Field) -> str:
        """One field."""
        if name == "source":
            return self.source
        return self.row.source if name == "dataset" else str(getattr(self.row, name))


def mix(
    sources: Mapping[str, Sequence[Example]],
    *,
    total: int | None = None,
    weights: Mapping[str, float] | None = None,
    temperature: float | None = None,
    by: Literal["source", "language"] = "source",
    caps: Sequence[Cap] = (),
    repeat: bool = False,
    seed: int = 0,
    length: Length | None = None,
) -> tuple[list[Example], MixtureReport]:
    """Draw a mixture; the same arguments give the same rows in the same order.

    Args:
        sources: rows by source name; ids are unique within a source.
        total: rows to draw; left out, all that the caps leave are taken (then neither weights nor a temperature).
        weights: share of each group; they need not add to 1, and every group is named.
        temperature: shares proportional to n ** (1 / temperature), n being a group's rows after the caps: 1 keeps the
            sizes, ``math.inf`` makes groups equal.
        by: what a group is: a source, or a language over all sources.
        caps: applied first, one after the other.
        repeat: whether a group may give more rows than it has. If so, it is passed over whole as often as fits, and a
            random part once more; otherwise rows are drawn without replacement.
        seed: of the draw and of the order.
        length: tokens of a row, for the account (see ``token_length``).

    Counts are exact: shares times ``total``, rounded down, the rest to the largest remainders (among equals to earlier
    sources, or to languages earlier in the alphabet). Rows get the id ``<source>/<id>``, further copies ``#2``, ``#3``
    behind it; an empty ``source`` field is filled with the source's name.

    Raises ``ConfigError`` for contradicting or missing arguments, ``DataError`` for empty sources, an id that stands
    twice, and a group with too few rows.
    """
    _check(sources, total, weights, temperature)
    offers = [_Offer(_key(seed, name, row.id), name, row) for name, rows in sources.items() for row in rows]
    left = offers
    for cap in caps:
        left = _capped(left, cap)
    names = sources if by == "source" else sorted({offer.value(by) for offer in offers})
    groups: dict[str, list[_Offer]] = {name: [] for name in names}
    for offer in left:
        groups[offer.value(by)].append(offer)
    sizes = {name: len(members) for name, members in groups.items()}
    counts = sizes if total is None else _counts(sizes, total, weights, temperature)
    if not repeat:
        _enough(sizes, counts)
    drawn = [pair for name, count in counts.items() for pair in _drawn(groups[name], count)]
    drawn.sort(key=lambda pair: _key(seed, "order", pair[0].source, pair[0].row.id, pair[1]))
    rows = [_named(offer, copy) for offer, copy in drawn]
    if len({row.id for row in rows}) < len(rows):
        raise DataError(f"Ids of the sources {', '.join(sources)} meet when joined by '/'; rename a source.")
    return rows, _report(offers, left, drawn, length)


def token_length(tokenizer: "PreTrainedTokenizerBase") -> Length:
    """Tokens of a row as the tokenizer's chat template writes it."""
    from paribus.data.chat import encode

    return lambda row: len(encode(tokenizer, row.messages))


def largest_remainder(shares: Sequence[Fraction], total: int) -> list[int]:
    """Whole numbers that add to ``total`` and differ from ``total * share`` by less than 1; shares add to 1."""
    exact = [share * total for share in shares]
    counts = [int(value) for value in exact]
    order = sorted(range(len(shares)), key=lambda place: (counts[place] - exact[place], place))
    for place in order[: total - sum(counts)]:
        counts[place] += 1
    return counts


def _check(sources: Mapping[str, Any], total: int | None, weights: Any, temperature: float | None) -> None:
    if not sources or not any(len(rows) for rows in sources.values()):
        raise DataError("There is nothing to mix; give at least one source with rows.")
    if weights is not None and temperature is not None:
        raise ConfigError("Give weights or a temperature, not both.")
    if (weights is not None or temperature is not None) != (total is not None):
        raise ConfigError(
            f"total={total} with weights={weights} and temperature={temperature}: a total needs weights or a "
            "temperature (1 keeps the sizes), and these need a total."
        )
    if total is not None and total < 1:
        raise ConfigError(f"total={total} cannot be drawn; it must be at least 1.")
    if temperature is not None and not temperature > 0:
        raise ConfigError(f"temperature={temperature} cannot be used; it must be above 0 (math.inf for equal shares).")
    for name, rows in sources.items():
        twice = [key for key, count in Counter(row.id for row in rows).items() if count > 1]
        if twice:
            raise DataError(f"In the source {name!r} the id {twice[0]!r} stands twice; give every row its own.")


def _key(*parts: object) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _capped(offers: list[_Offer], cap: Cap) -> list[_Offer]:
    cells: dict[Hashable, list[_Offer]] = defaultdict(list)
    for offer in offers:
        cells[offer.cell(cap.per)].append(offer)
    return [offer for members in cells.values() for offer in sorted(members, key=lambda o: o.key)[: cap.most]]


def _counts(
    sizes: Mapping[str, int], total: int, weights: Mapping[str, float] | None, temperature: float | None
) -> dict[str, int]:
    if weights is None:
        assert temperature is not None  # _check has seen to it
        # Scaled where powers would overflow; unscaled above, so that temperature 1 keeps sizes to the last row.
        scale = max(sizes.values()) if temperature < 1 else 1
        weights = {name: (size / scale) ** (1 / temperature) if size else 0.0 for name, size in sizes.items()}
    if set(weights) != set(sizes):
        raise ConfigError(
            f"Weights are for {', '.join(sorted(weights))}, the groups are {', '.join(sorted(sizes))}; name each once "
            "(0 leaves one out)."
        )
    if not all(0 <= weight < inf for weight in weights.values()) or not any(weights.values()):
        raise ConfigError(f"The weights {dict(weights)} cannot be used; give numbers from 0 up, not all 0.")
    exact = {name: Fraction(float(weights[name])) for name in sizes}
    whole = sum(exact.values())
    return dict(zip(sizes, largest_remainder([share / whole for share in exact.values()], total), strict=True))


def _enough(sizes: Mapping[str, int], counts: Mapping[str, int]) -> None:
    short = {name: count for name, count in counts.items() if count > sizes[name]}
    if short:
        name, count = next(iter(short.items()))
        raise DataError(
            f"{len(short)} groups have too few rows: {name!r} has {sizes[name]}, and {count} are asked of it. Lower "
            "the total or the share, loosen a cap, or pass repeat=True."
        )


def _drawn(members: list[_Offer], count: int) -> Iterable[tuple[_Offer, int]]:
    """(row, number of the copy) so that no row is drawn twice more often than another is once."""
    if count and not members:
        raise DataError(f"{count} rows are asked of a group that has none; give it the weight 0.")
    ordered = sorted(members, key=lambda offer: offer.key)
    return [(ordered[place % len(ordered)], place // len(ordered) + 1) for place in range(count)]


def _named(offer: _Offer, copy: int) -> Example:
    name = f"{offer.source}/{offer.row.id}" + (f"#{copy}" if copy > 1 else "")
    return offer.row.model_copy(update={"id": name, "source": offer.row.source or offer.source})


def _report(
    offers: Sequence[_Offer], left: Sequence[_Offer], drawn: Sequence[tuple[_Offer, int]], length: Length | None
) -> MixtureReport:
    place: tuple[Field, ...] = ("source", "language")
    offered, available = (Counter(offer.cell(place) for offer in rows) for rows in (offers, left))
    rows = Counter(offer.cell(place) for offer, _ in drawn)
    firsts = [offer for offer, copy in drawn if copy == 1]
    distinct = Counter(offer.cell(place) for offer in firsts)
    tokens: Counter[tuple[str, ...]] = Counter()
    if length is not None:
        sizes = {(offer.source, offer.row.id): length(offer.row) for offer in firsts}
        for offer, _ in drawn:
            tokens[offer.cell(place)] += sizes[offer.source, offer.row.id]
    return MixtureReport(
        tuple(
            Cell(
                source=cell[0],
                language=cell[1],
                offered=offered[cell],
                available=available[cell],
                rows=rows[cell],
                distinct=distinct[cell],
                tokens=None if length is None else tokens[cell],
            )
            for cell in offered
        )
    )


def _share(cells: Iterable[Cell]) -> Share:
    members = list(cells)
    tokens = [cell.tokens for cell in members if cell.tokens is not None]
    return Share(
        offered=sum(cell.offered for cell in members),
        available=sum(cell.available for cell in members),
        rows=sum(cell.rows for cell in members),
        distinct=sum(cell.distinct for cell in members),
        tokens=sum(tokens) if len(tokens) == len(members) else None,
    )


def _plain(share: Share) -> dict[str, Any]:
    return {**asdict(share), "epochs": share.epochs}
