"""Does a construction, or any model, solve its task: on every input where they can be counted, else on samples.

A pass over every input is a proof for that size. A pass over samples bounds the failure rate: the bound stated is that
of Clopper and Pearson, exact at 95% confidence for any number of errors; with no error in n it is 1 - 0.05^(1/n), about
3/n (the rule of three).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from paribus.errors import ConfigError
from paribus.testbeds.formal.constructions.construction import Construction
from paribus.testbeds.formal.constructions.inputs import every_input, input_count
from paribus.testbeds.formal.scoring import score
from paribus.testbeds.formal.task import IGNORED, Batch, FormalTask
from paribus.training.objectives.labelled import model_inputs

EXHAUSTIVE_LIMIT = 300_000
"""Inputs up to which ``verify`` goes through all of them by itself; all of equality at 9 bits are 262 144."""

_CONFIDENCE = 0.95
_CELLS = 2**24  # attention weights held at once, 64 MB in float32


@dataclass(frozen=True)
class Verification:
    """What was checked and found.

    ``checked`` inputs of ``total`` (None: endless, or above 2^53), ``errors`` of them answered wrong (strict: at any
    scored position). ``margin``: the smallest gap between a right logit and the best wrong one ("bits": between a logit
    and 0 on its right side) over all that was checked; negative where there are errors. ``failure_bound``: at
    ``confidence``, errors on the task's distribution are rarer than this; after a pass over every input it is the rate
    itself.
    """

    task: str
    checked: int
    total: int | None
    errors: int
    exhaustive: bool
    margin: float
    failure_bound: float
    confidence: float
    method: str

    @property
    def passed(self) -> bool:
        """Whether nothing that was checked was answered wrong."""
        return self.errors == 0

    def row(self) -> dict[str, object]:
        """As a table row."""
        return asdict(self)


def verify(
    construction: Construction,
    *,
    task: FormalTask | None = None,
    exhaustive: bool | None = None,
    samples: int = 10_000,
    seed: int = 0,
    dtype: torch.dtype | None = None,
) -> Verification:
    """Run a construction on its task (or on ``task``: the same at another length).

    ``exhaustive``: None goes through every input up to ``EXHAUSTIVE_LIMIT`` of them and samples beyond; True insists.
    ``samples``: drawn by the task's own sampler. ``dtype``: the precision to run in (default: that of the weights).
    Raises ``ConfigError`` where an exhaustive pass is asked for and cannot be had, or for less than one sample.
    """
    task = task or construction.task
    total = input_count(task)
    if exhaustive is None:
        exhaustive = total is not None and total <= EXHAUSTIVE_LIMIT
    if not exhaustive and samples < 1:
        raise ConfigError(f"samples is {samples}; a randomised check needs at least 1.")
    model = construction.model if dtype in (None, construction.model.dtype) else _copy(construction.model, dtype)
    chunk = max(1, _CELLS // task.tokens**2)
    batches = every_input(task, chunk=chunk) if exhaustive else task.batches(samples, batch_size=chunk, seed=seed)
    checked, errors, margin = _run(model, task, batches)
    if exhaustive:
        rate = errors / checked if checked else 0.0
        return Verification(task.name, checked, checked, errors, True, margin, rate, 1.0, "every input")
    bound = failure_bound(errors, checked)
    total = None if total is None or total > 2**53 else total
    return Verification(task.name, checked, total, errors, False, margin, bound, _CONFIDENCE, "Clopper-Pearson")


def failure_bound(errors: int, checked: int, confidence: float = _CONFIDENCE) -> float:
    """Upper confidence limit of the failure rate after ``errors`` in ``checked`` independent samples (one-sided)."""
    from scipy.stats import beta

    return 1.0 if errors >= checked else float(beta.ppf(confidence, errors + 1, checked - errors))


def gaps(logits_BTO: Tensor, batch: Batch, task: FormalTask) -> Tensor:
    """(B,) the smallest gap on the right side over the scored positions; not-a-number where a logit is none."""
    logits_BTO, labels = logits_BTO.double(), batch["labels"]
    if task.kind == "bits":
        signed_BT = (logits_BTO * (2 * labels - 1)).amin(dim=2)
        return signed_BT.masked_fill(~batch["label_mask"], torch.inf).amin(dim=1)
    scored_BT = labels != IGNORED
    right_BT1 = labels.where(scored_BT, 0)[..., None]
    right_BT = logits_BTO.gather(2, right_BT1)[..., 0]
    wrong_BT = logits_BTO.scatter(2, right_BT1, -torch.inf).amax(dim=2)
    return (right_BT - wrong_BT).masked_fill(~scored_BT, torch.inf).amin(dim=1)


@torch.no_grad()
def _run(model: Any, task: FormalTask, batches: Iterator[Batch]) -> tuple[int, int, float]:
    checked, errors, margin = 0, 0, torch.inf
    for batch in batches:
        inputs = model_inputs(batch)
        if "inputs_embeds" in inputs:
            inputs["inputs_embeds"] = inputs["inputs_embeds"].to(model.dtype)
        logits_BTO = model(**inputs).logits
        right_B = score(logits_BTO, batch, task)["accuracy"]
        checked += len(right_B)
        errors += int((right_B == 0).sum())
        margin = min(margin, gaps(logits_BTO, batch, task).nan_to_num(nan=-torch.inf).min().item())
    return checked, errors, margin


def _copy(model: Any, dtype: torch.dtype) -> Any:
    from copy import deepcopy

    return deepcopy(model).to(dtype)
