"""Many tests at once."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paribus.errors import DataError
from paribus.statistics.arrays import finite_vector


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down adjusted p-values (Holm 1979), shape ``(m,)``, in the order given.

    Rejecting where the adjusted value is at most alpha keeps the chance of any false rejection at alpha, whatever the
    dependence between the tests. Raises ``DataError`` for an empty list or a value outside [0, 1].
    """
    p = finite_vector(p_values, "p_values")
    outside = np.flatnonzero((p < 0) | (p > 1))
    if outside.size:
        raise DataError(f"The p-value at position {outside[0]} is {p[outside[0]]}; p-values lie between 0 and 1.")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted
