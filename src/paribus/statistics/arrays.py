"""Checks on the arrays that come in, so that every function refuses bad input in the same words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.errors import ConfigError, DataError

Rng = np.random.Generator | int


def generator(rng: Rng) -> np.random.Generator:
    """A numpy ``Generator``: the one given, or a new one seeded by the integer given."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer) or rng < 0:
        raise ConfigError(f"rng is {rng!r}; give a numpy Generator or a non-negative integer seed.")
    return np.random.default_rng(int(rng))


def finite_vector(values: ArrayLike, name: str = "values") -> NDArray[np.float64]:
    """``values`` as float64 of shape ``(n,)``, n >= 1, all finite; ``DataError`` says what is wrong and where."""
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} cannot be read as numbers ({error}); give a list of numbers.") from error
    if vector.ndim != 1:
        raise DataError(f"{name} has shape {vector.shape}; give a one-dimensional list of numbers.")
    return _finite(vector, name)


def finite_table(values: ArrayLike, name: str = "values") -> NDArray[np.float64]:
    """``values`` as float64 of shape ``(seeds, n)``, both >= 1, all finite; a vector is read as one seed."""
    try:
        table = np.atleast_2d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} cannot be read as a table of (seeds, items); are the seeds equally long?") from error
    if table.ndim != 2:
        raise DataError(f"{name} has shape {table.shape}; give a table of (seeds, items).")
    return _finite(table, name)


def _finite(array: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    if array.size == 0:
        raise DataError(f"{name} is empty; at least one value is needed.")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise DataError(
            f"{name} holds {bad.size} value(s) that are not finite, the first at position {bad[0]} "
            f"({array.flat[bad[0]]}); drop or repair these rows before the analysis."
        )
    return array


def same_length(
    first: Sequence[Any] | NDArray[Any], second: Sequence[Any] | NDArray[Any], names: tuple[str, str]
) -> None:
    """Raise ``DataError`` unless both have the same length."""
    if len(first) != len(second):
        raise DataError(
            f"{names[0]} has {len(first)} entries and {names[1]} has {len(second)}; they must be paired one to one."
        )


def positive_count(count: int, name: str) -> int:
    """Return ``count`` if it is a whole number of at least 1; raise ``ConfigError`` otherwise."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise ConfigError(f"{name} is {count!r}; give a whole number of at least 1.")
    return int(count)
