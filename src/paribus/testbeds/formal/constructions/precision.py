"""At which precision and size a construction breaks: certificates and runs in float64, float32, bfloat16 and float16.

The bounds on transformers speak of O(log N) bits a number. This shows how many bits the codes need in practice: unit
codes hold in every precision, while the two numbers a position of the quadratic code need twice log2 N bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from paribus.testbeds.formal.constructions.construction import Construction, certify
from paribus.testbeds.formal.constructions.verifying import verify

PRECISIONS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def precision_rows(
    build: Callable[[int], Construction],
    sizes: Iterable[int],
    *,
    precisions: Sequence[torch.dtype] = PRECISIONS,
    samples: int = 0,
    seed: int = 0,
) -> list[dict[str, object]]:
    """A row for each size and precision.

    ``build`` makes the construction of a size; let it build in float64, so that weights are rounded once. A row has
    ``construction``, ``size``, ``width``, ``dtype``; ``mass``, ``tolerated`` and ``holds`` of the certificate (None for
    recurrent nets); and, with ``samples`` above 0, ``checked``, ``errors`` and ``measured_margin`` of a run on every
    input or on that many samples. float16 is slow on most CPUs.
    """
    rows = []
    for size in sizes:
        construction = build(size)
        rows += [_row(construction, size, dtype, samples, seed) for dtype in precisions]
    return rows


def _row(construction: Construction, size: int, dtype: torch.dtype, samples: int, seed: int) -> dict[str, object]:
    certificate = certify(construction, dtype=dtype)
    row: dict[str, object] = {
        "construction": construction.name,
        "size": size,
        "width": construction.width,
        "dtype": str(dtype).removeprefix("torch."),
        "mass": certificate.mass if certificate else None,
        "tolerated": certificate.tolerated if certificate else None,
        "holds": certificate.holds if certificate else None,
    }
    if samples:
        found = verify(construction, samples=samples, seed=seed, dtype=dtype)
        row |= {"checked": found.checked, "errors": found.errors, "measured_margin": found.margin}
    return row
