"""What a run tells while it goes and when it is over, and a rule by which it may end early."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from paribus.errors import ConfigError, ModelError
from paribus.training.compute import ComputePath


@dataclass(frozen=True)
class StepReport:
    """What ``on_step`` and ``stop`` are told: the step just finished (from 1), the total, its loss, and tokens since
    the start. ``history`` has the rows of ``TrainResult`` up to this step.
    """

    step: int
    total: int
    loss: float
    tokens: int
    metrics: dict[str, float]
    history: Sequence[dict[str, float]] = ()


@dataclass
class TrainResult:
    """What a run did. ``history`` has one row a step: step, loss, learning_rate and the objective's metrics.

    A mixture's rows have ``aux_loss`` too: the objective's regulariser, which ``loss`` does not contain.

    steps     optimizer steps done; fewer than the settings' where ``stop`` ended the run, after step ``stopped_at``
    tokens    tokens processed, pads left out
    targets   tokens that carried loss
    flops     six times the parameters that a token is multiplied with (attention's quadratic part left out)
    seconds   of this process; a resumed run counts from its resumption
    """

    model: Any
    compute: ComputePath
    history: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0
    targets: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    resumed_at: int = 0
    stopped_at: int | None = None


class Divergence(ModelError):
    """The loss stopped being finite."""


@dataclass(frozen=True)
class Reached:
    """A rule for ``train``'s ``stop``: the mean of a metric over the last ``window`` steps is at least ``at``.

    The mean over steps, because fresh batches are small and one lucky batch is no proof.
    """

    at: float
    metric: str = "sequence_accuracy"
    window: int = 20

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ConfigError(f"window={self.window} cannot be used; the rule must look at 1 step or more.")

    def __call__(self, report: StepReport) -> bool:
        """Whether the run may end. Raises ``ConfigError`` for a metric that the run does not measure."""
        if self.metric not in report.metrics:
            raise ConfigError(
                f"The run can't end by metric={self.metric!r}, which it does not measure; choose from "
                f"{', '.join(sorted(report.metrics)) or 'none'}."
            )
        if len(report.history) < self.window:
            return False
        return sum(row[self.metric] for row in report.history[-self.window :]) / self.window >= self.at
