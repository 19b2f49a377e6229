"""The best possible learner of a class: the Bayes vote over all its functions, exact wherever they can be listed.

No model can beat it on fresh prompts beyond noise, so it is the ceiling of every curve and the leak test of every
set-up. A vote of the consistent functions alone is not the ceiling for classes whose points depend on the function: a
point that was moved to satisfy a term is evidence about the term, before any label is seen.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import log

import torch
from torch import Tensor

from paribus.errors import ConfigError, DataError
from paribus.testbeds.incontext.function_class import FunctionClass
from paribus.testbeds.incontext.learner import settled
from paribus.testbeds.incontext.prompts import Functions, Prompts

# Natural logarithm by which a contradicted label lowers a function without label noise: it outweighs everything else.
CONTRADICTION = -1e4
# Most functions fall to the first few labels, so the first block of positions is short, and each later one as long as
# all before it. Prompts go together while functions x prompts x positions of a block stay below this (4 MiB float32).
FIRST_BLOCK = 2
CELLS = 1_000_000


_Parts = tuple[Tensor, Tensor, Tensor]
"""Points ``(G, m, n)``, labels ``(G, m)`` and lengths of the teaching sequence ``(G,)`` of a group of prompts."""


@dataclass(frozen=True)
class Bayes:
    """Posterior mean of the label under the class's own distributions of functions and points.

    Attributes:
        function_class: what functions are drawn from; one that can list them all (``every``), so small n.
        label_noise: chance that a shown label is flipped; the predicted one is the label without noise.
        point_evidence: weigh functions by how likely they make the points, too. False leaves the vote of the consistent
            functions by their prior weight.

    Exact for prompts that ``sample`` draws with its defaults and this ``label_noise``. For a teaching sequence only
    the labels count: that its points were chosen to teach is not used.
    """

    function_class: FunctionClass
    label_noise: float = 0.0
    point_evidence: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.label_noise < 0.5:
            raise ConfigError(f"label_noise is {self.label_noise}; Bayes needs a chance of at least 0 and below 0.5.")

    @property
    def name(self) -> str:
        """``"Bayes"``, or ``"version-space vote"`` without the evidence of points."""
        return "Bayes" if self.point_evidence else "version-space vote"

    def predict(self, prompts: Prompts) -> Tensor:
        """Chance of +1 minus chance of -1, ``(B, m)``, from the points before i with labels and x_i without.

        Raises:
            ConfigError: a class too large to list, or prompts of other dimensions.
            DataError: labels that no function of the class gives, without ``label_noise`` to explain them.
        """
        if prompts.x.shape[-1] != self.function_class.dimensions:
            raise ConfigError(
                f"The prompts have {prompts.x.shape[-1]} dimensions and the class {self.function_class.name!r} "
                f"{self.function_class.dimensions}; give Bayes the class that the prompts were drawn from."
            )
        functions, log_prior = listed(self.function_class)
        prior = log_prior[:, None].expand(-1, len(prompts))
        return settled(self._means(functions, prior, (prompts.x, prompts.y, prompts.taught), 0), prompts)

    def _means(self, functions: Functions, evidence: Tensor, prompts: _Parts, start: int) -> Tensor:
        """Posterior means from position ``start`` on, ``(G, m - start)``.

        ``evidence`` ``(H, G)`` is the log-posterior, up to a constant, of the functions still in play. What is in play
        differs from prompt to prompt, so a group too large for one block is split, down to single prompts.
        """
        count, points = prompts[1].shape
        stop = min(points, 2 * start or FIRST_BLOCK)
        if start >= points:
            return evidence.new_zeros((count, 0))
        if count > 1 and len(evidence) * count * (stop - start) > CELLS:
            halves = [slice(0, count // 2), slice(count // 2, count)]
            parts = [_possible(functions, evidence[:, half]) for half in halves]
            pairs = zip(parts, halves, strict=True)
            return torch.cat([self._means(*part, _cut(prompts, half), start) for part, half in pairs])
        means, evidence = self._block(functions, evidence, prompts, slice(start, stop))
        return torch.cat([means, self._means(*_possible(functions, evidence), prompts, stop)], 1)

    def _block(self, functions: Functions, evidence: Tensor, prompts: _Parts, block: slice) -> tuple[Tensor, Tensor]:
        """Posterior means ``(G, k)`` at a block of positions, and the evidence ``(H, G)`` after it."""
        x, y, taught = prompts
        seen = x[:, block].flatten(0, 1)
        values = self.function_class.evaluate(functions, seen).view(-1, len(y), block.stop - block.start)
        known = (values != y[:, block]).float().mul_(self._penalty).cumsum(2).add_(evidence[:, :, None])
        before = torch.cat([evidence[:, :, None], known[:, :, :-1]], 2)
        if self.point_evidence and hasattr(self.function_class, "forcing"):
            points = point_evidence(self.function_class, functions, seen).view_as(before)
            points = points.masked_fill_(torch.arange(block.start, block.stop) < taught[:, None], 0.0).cumsum(2)
            before, known = before + points, known.add_(points)
        _refuse_contradictions(known[:, :, -1], self.function_class)
        return _weighted_mean(before, values), known[:, :, -1]

    @property
    def _penalty(self) -> float:
        return log(self.label_noise / (1 - self.label_noise)) if self.label_noise else CONTRADICTION


def point_evidence(function_class: FunctionClass, functions: Functions, x: Tensor) -> Tensor:
    """How much likelier functions of a class make points than fair coins do, natural logarithm.

    A forced point keeps a fair coin for each variable that its term does not use, so it is 2^|term| times as likely as
    a fair one where the term is satisfied (conjunction, DNF) or falsified (disjunction, CNF), and impossible elsewhere.
    Where a prompt forces one term of a formula this takes the first: over all ordered choices of terms that is exact.

    Args:
        function_class: conjunction, disjunction, sparse disjunction, DNF or CNF.
        functions: C of them.
        x: points ``(P, n)``.

    Returns:
        ``(C, P)`` float32.
    """
    rate: float = getattr(function_class, "forcing")  # noqa: B009 - only some classes force points
    side = 1.0 if function_class.name in ("conjunction", "dnf") else -1.0
    terms = functions["terms"] if "terms" in functions else functions["literals"][:, None]
    if getattr(function_class, "forced_term", "prompt") == "prompt":
        terms = terms[:, :1]
    size = (terms != 0).sum(-1).float()
    forced = (side * (terms.float() @ x.float().T)) == size[:, :, None]
    ratio = (forced * torch.exp2(size)[:, :, None]).mean(1)
    return ratio.mul_(rate).add_(1 - rate).log_()


def _weighted_mean(evidence: Tensor, values: Tensor) -> Tensor:
    """Means of values over functions weighted by exp(evidence): ``(H, G, k)`` both, to ``(G, k)``."""
    weights = (evidence - evidence.amax(0)).exp_()
    total = weights.sum(0)
    return weights.mul_(values).sum(0) / total


def _possible(functions: Functions, evidence: Tensor) -> tuple[Functions, Tensor]:
    """The functions that some prompt of the group does not contradict (with label noise all of them)."""
    kept = (evidence > CONTRADICTION / 2).any(1)
    if kept.all():
        return functions, evidence
    return {name: tensor[kept] for name, tensor in functions.items()}, evidence[kept]


def _refuse_contradictions(evidence: Tensor, function_class: FunctionClass) -> None:
    if (evidence.amax(0) < CONTRADICTION / 2).any():
        raise DataError(
            f"No function of {function_class.name!r} gives the labels of a prompt; give Bayes the class that the "
            "prompts were drawn from, and label_noise if labels were flipped."
        )


def _cut(prompts: _Parts, part: slice) -> _Parts:
    x, y, taught = prompts
    return x[part], y[part], taught[part]


@lru_cache(maxsize=4)
def listed(function_class: FunctionClass) -> tuple[Functions, Tensor]:
    """All functions of positive probability and the natural logarithm of it, ``(H,)`` float32.

    Raises ``ConfigError`` when the class has no list, or too long a one.
    """
    functions = function_class.every()
    log_prior = function_class.log_prior(functions)
    possible = torch.isfinite(log_prior)
    # Floats, because every product of functions and points would otherwise convert them anew.
    return {name: tensor[possible].float() for name, tensor in functions.items()}, log_prior[possible].float()
