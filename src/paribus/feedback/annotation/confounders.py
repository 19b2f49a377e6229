"""Where the crowd's error labels are wrong: against experts, by preamble, and by how the text sounds.

A rate of errors that is lower than the experts' means errors that the crowd overlooked. The paper's second claim is
that it overlooks more of them the more assertive a text is; that is the difference between the gaps under the two
assertive preambles (``GapContrast``), which has an interval of its own. Source: arXiv 2309.16349, section 3, Figure 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paribus.errors import DataError
from paribus.feedback.annotation.aggregation import By, Outputs
from paribus.feedback.annotation.columns import Output
from paribus.feedback.annotation.groups import REFUSAL, in_order, refused
from paribus.statistics import Interval, bootstrap_of_sums
from paribus.statistics.arrays import Rng
from paribus.statistics.sums import Floats

Population = Literal["all", "labelled"]
SIDES = (("assertive_high", "assertive_low"), ("complex_high", "complex_low"))
"""Preambles whose gaps are subtracted, the first from what the second has."""


@dataclass(frozen=True)
class Gap:
    """The crowd's rate of one error minus the experts', in one group.

    ``crowd`` and ``expert`` are shares of their outputs (so many of each). ``difference`` has no ends (NaN) where both
    are 0 or 1: resampling outputs that are all alike says nothing about others.
    """

    error: str
    group: str
    crowd: float
    expert: float
    difference: Interval
    crowd_outputs: int
    expert_outputs: int


@dataclass(frozen=True)
class GapContrast:
    """How much larger (below 0: more overlooked) the gap is under one preamble than under another."""

    error: str
    group: str
    baseline: str
    difference: Interval


@dataclass(frozen=True)
class Gaps:
    """Crowd minus expert for every error and group.

    ``population`` says whose outputs the crowd's rate is over: ``"all"`` of the group, as in the paper, or those that
    experts labelled. ``missing`` counts expert-labelled outputs that the crowd did not rate.
    """

    population: Population
    without_refusals: bool
    rows: tuple[Gap, ...]
    contrasts: tuple[GapContrast, ...]
    missing: int

    def of(self, error: str, group: str) -> Gap:
        """The gap of one error in one group. Raises ``DataError`` if there is none."""
        for row in self.rows:
            if (row.error, row.group) == (error, group):
                return row
        groups = ", ".join(dict.fromkeys(row.group for row in self.rows))
        raise DataError(f"There is no gap of {error!r} in {group!r}; the groups are {groups}.")


@dataclass(frozen=True)
class Detection:
    """The crowd's majority as a detector of an error that experts see, on outputs both labelled.

    ``found`` of ``crowd`` positives and of ``expert`` positives agree: precision and recall, NaN where undefined.
    """

    error: str
    outputs: int
    crowd: int
    expert: int
    found: int
    precision: Interval
    recall: Interval


def crowd_minus_expert(
    crowd: Outputs,
    experts: Outputs,
    *,
    by: By = "preamble",
    without_refusals: bool = True,
    population: Population = "all",
    resamples: int = 1_000,
    level: float = 0.95,
    rng: Rng = 0,
) -> Gaps:
    """Rates of errors by the crowd minus by experts, in each group, with intervals over inputs.

    Args:
        crowd, experts: aggregated labels; errors that only one of them has are left out.
        by: what groups outputs.
        without_refusals: leave out, on each side, the outputs that this side calls a refusal: they have nothing to be
            wrong about, and preambles differ in how often they cause one. Refusals then have no row themselves.
        population: see ``Gaps``. ``"labelled"`` compares the same outputs, so differences between outputs cancel.

    Raises:
        DataError: no error or no group in common.
    """
    sides = join(crowd, experts, without=(REFUSAL,) if without_refusals else ())
    counted = [sides.in_groups(mask, by) for mask in sides.masks(population, without_refusals)]
    used = [g for g, _ in enumerate(sides.groups(by)) if all(side[:, g].any() for side in counted)]
    groups = [sides.groups(by)[g] for g in used]
    if not groups:
        raise DataError(f"No {by} has labels of crowd and experts; do the files speak of the same outputs?")
    pairs = [(groups.index(a), groups.index(b)) for a, b in SIDES if a in groups and b in groups]
    members = counted[0][:, used], counted[1][:, used]
    terms = np.concatenate([_rates(sides.crowd, members[0]), _rates(sides.expert, members[1])], axis=1)
    shape = (len(groups), len(sides.errors))
    found = bootstrap_of_sums(
        terms, lambda s: _gaps(s, shape, pairs), sides.clusters, resamples=resamples, level=level, rng=rng
    )
    rows = _rows(sides, groups, members, terms.sum(axis=0), found)
    contrasts = _contrasts(sides.errors, groups, pairs, found[shape[0] * shape[1] :])
    return Gaps(population, without_refusals, rows, contrasts, int((sides.labelled & ~sides.rated).sum()))


@dataclass(frozen=True)
class Sides:
    """Labels of crowd and experts on the union of their outputs (u): shape ``(u, errors)``, NaN where one has none."""

    keys: tuple[Output, ...]
    errors: tuple[str, ...]
    crowd: Floats
    expert: Floats
    refused: tuple[NDArray[np.bool_], NDArray[np.bool_]]

    @property
    def rated(self) -> NDArray[np.bool_]:
        """Outputs with labels of the crowd."""
        return np.asarray(np.isfinite(self.crowd).any(axis=1))

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Outputs with labels of experts."""
        return np.asarray(np.isfinite(self.expert).any(axis=1))

    @property
    def clusters(self) -> list[str]:
        """The input of every output."""
        return [key.cluster for key in self.keys]

    def groups(self, by: By) -> list[str]:
        """Names of the groups, in order."""
        return in_order({getattr(key, by) for key in self.keys} - {""})

    def in_groups(self, mask: NDArray[np.bool_], by: By) -> NDArray[np.bool_]:
        """Which outputs of ``mask`` are in which group, shape ``(u, groups)``."""
        labels = np.array([getattr(key, by) for key in self.keys], dtype=np.str_)
        return np.asarray(mask[:, None] & (labels[:, None] == np.array(self.groups(by), dtype=np.str_)[None, :]))

    def masks(self, population: Population, without_refusals: bool) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """The outputs that count on the crowd's and on the experts' side."""
        both = self.rated & self.labelled
        crowd, expert = (both, both) if population == "labelled" else (self.rated, self.labelled)
        return (crowd & ~self.refused[0], expert & ~self.refused[1]) if without_refusals else (crowd, expert)


def join(crowd: Outputs, experts: Outputs, *, without: Sequence[str] = ()) -> Sides:
    """Both sides' labels of the errors they share. Raises ``DataError`` where they share none."""
    names = tuple(name for name in crowd.errors if name in experts.errors and name not in without)
    if not names:
        raise DataError(f"Crowd ({', '.join(crowd.errors)}) and experts ({', '.join(experts.errors)}) share no error.")
    keys = tuple(dict.fromkeys([*crowd.keys, *experts.keys]))
    numbers = {key: number for number, key in enumerate(keys)}
    columns, refusals = [], []
    for side in (crowd, experts):
        place = np.array([numbers[key] for key in side.keys], dtype=np.int64)
        table, refusal = np.full((len(keys), len(names)), np.nan), np.zeros(len(keys), dtype=bool)
        table[place] = np.stack([side.errors[name] for name in names], axis=1)
        refusal[place] = refused(side)
        columns.append(table)
        refusals.append(refusal)
    return Sides(keys, names, columns[0], columns[1], (refusals[0], refusals[1]))


def _rates(values: Floats, members: NDArray[np.bool_]) -> Floats:
    """Terms of rates: sums, then counts, each by group and error, flat."""
    given = members[:, :, None] & np.isfinite(values)[:, None, :]
    sums = given * np.nan_to_num(values)[:, None, :]
    return np.concatenate([sums.reshape(len(values), -1), given.reshape(len(values), -1)], axis=1).astype(np.float64)


def _gaps(sums: Floats, shape: tuple[int, int], pairs: Sequence[tuple[int, int]]) -> Floats:
    parts = sums.reshape(*sums.shape[:-1], 4, *shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        gaps = parts[..., 0, :, :] / parts[..., 1, :, :] - parts[..., 2, :, :] / parts[..., 3, :, :]
    contrasts = [gaps[..., a, :] - gaps[..., b, :] for a, b in pairs]
    return np.concatenate([gaps.reshape(*sums.shape[:-1], -1), *contrasts], axis=-1)


def _rows(
    sides: Sides,
    groups: Sequence[str],
    members: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    total: Floats,
    found: Sequence[Interval],
) -> tuple[Gap, ...]:
    p = len(sides.errors)
    parts = total.reshape(4, len(groups), p)
    with np.errstate(divide="ignore", invalid="ignore"):
        crowd, expert = parts[0] / parts[1], parts[2] / parts[3]
    return tuple(
        Gap(
            error,
            group,
            float(crowd[g, j]),
            float(expert[g, j]),
            _without_false_certainty(found[g * p + j]),
            int(members[0][:, g].sum()),
            int(members[1][:, g].sum()),
        )
        for g, group in enumerate(groups)
        for j, error in enumerate(sides.errors)
    )


def _without_false_certainty(interval: Interval) -> Interval:
    return replace(interval, low=float("nan"), high=float("nan")) if interval.width == 0 else interval


def _contrasts(
    errors: Sequence[str], groups: Sequence[str], pairs: Sequence[tuple[int, int]], found: Sequence[Interval]
) -> tuple[GapContrast, ...]:
    return tuple(
        GapContrast(error, groups[a], groups[b], _without_false_certainty(found[k * len(errors) + j]))
        for k, (a, b) in enumerate(pairs)
        for j, error in enumerate(errors)
    )


def detection(
    crowd: Outputs, experts: Outputs, *, resamples: int = 1_000, level: float = 0.95, rng: Rng = 0
) -> tuple[Detection, ...]:
    """Precision and recall of the crowd's majority for every error, on the outputs that experts labelled.

    The crowd says yes where more than half of its modes do; a tie (0.5) is a no. Raises ``DataError`` where crowd and
    experts share no error or no output.
    """
    sides = join(crowd, experts)
    both = np.isfinite(sides.crowd) & np.isfinite(sides.expert)
    if not both.any():
        raise DataError("Crowd and experts labelled no output in common; do the files speak of the same outputs?")
    yes, true = both & (sides.crowd > 0.5), both & (sides.expert > 0.5)
    terms = np.concatenate([yes & true, yes, true], axis=1).astype(np.float64)
    intervals = bootstrap_of_sums(terms, _shares, sides.clusters, resamples=resamples, level=level, rng=rng)
    counts, p = terms.sum(axis=0).astype(int).reshape(3, -1), len(sides.errors)
    return tuple(
        Detection(
            error,
            int(both[:, j].sum()),
            int(counts[1, j]),
            int(counts[2, j]),
            int(counts[0, j]),
            _without_false_certainty(intervals[j]),
            _without_false_certainty(intervals[p + j]),
        )
        for j, error in enumerate(sides.errors)
    )


def _shares(sums: Floats) -> Floats:
    found, crowd, expert = np.split(sums, 3, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate([found / crowd, found / expert], axis=-1)
