"""SLERP of more than two models: folded pair by pair, since a sphere has geodesics between two points only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from paribus.errors import ConfigError
from paribus.weights.merging import MergeReport, merge


def slerp_all(
    models: Sequence[str | Path], out: str | Path, *, weights: Sequence[float] | None = None, dtype: str | None = None
) -> MergeReport:
    """Interpolate models one after the other: the n-th joins with t = its weight over the weights so far.

    With equal weights the models after the first join with t = 1/2, 1/3, ...: where the angles are small this is the
    plain average. Unlike an average, the result depends on the order. The report is that of the last step. Raises
    ``ConfigError`` for fewer than two models or weights that are not positive numbers, one a model; else as ``merge``.
    """
    shares = [1.0] * len(models) if weights is None else [float(weight) for weight in weights]
    if len(models) < 2 or len(shares) != len(models) or min(shares) <= 0:
        raise ConfigError(
            f"SLERP got {len(models)} models and the weights {shares}; give at least two models, and a positive weight "
            "for each."
        )
    with TemporaryDirectory(prefix=".slerp-", dir=Path(out).absolute().parent) as scratch:
        current, total = models[0], shares[0]
        for number, (model, share) in enumerate(zip(models[1:], shares[1:], strict=True), start=1):
            total += share
            last = number == len(models) - 1
            target = Path(out) if last else Path(scratch) / str(number)
            report = merge("slerp", [current, model], target, t=share / total, dtype=dtype)
            current = target
    return report
