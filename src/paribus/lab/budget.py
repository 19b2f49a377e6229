"""What a stage costs, in nine currencies, and what it means for two arms to cost the same."""

from collections.abc import Iterable
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from paribus.errors import ConfigError

Currency = Literal[
    "tokens", "targets", "examples", "flops", "body_flops", "parameters", "seconds", "generated_tokens", "calls"
]
CURRENCIES: tuple[str, ...] = get_args(Currency)
TOLERANCE = 0.01
"""Two arms may miss their matching currency by this share (1%) and still count as equal."""


class Cost(BaseModel):
    """What was or will be spent.

    tokens            tokens that passed through training (with padding left out)
    targets           tokens that carried loss
    examples          training examples seen: conversations, or preference pairs (a pair is one)
    flops             floating-point operations
    body_flops        those outside the output layer: in a small model with a large vocabulary most of the work is the
                      output layer's, and arms of one "equal compute" may differ much in the other
    parameters        size of the largest model involved; the only currency that does not add up (a sum keeps the
                      maximum)
    seconds           wall-clock seconds of the stage
    generated_tokens  tokens sampled by an engine
    calls             requests to an engine
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: float = Field(default=0.0, ge=0)
    targets: float = Field(default=0.0, ge=0)
    examples: float = Field(default=0.0, ge=0)
    flops: float = Field(default=0.0, ge=0)
    body_flops: float = Field(default=0.0, ge=0)
    parameters: float = Field(default=0.0, ge=0)
    seconds: float = Field(default=0.0, ge=0)
    generated_tokens: float = Field(default=0.0, ge=0)
    calls: float = Field(default=0.0, ge=0)

    def __add__(self, other: "Cost") -> "Cost":
        return total((self, other))

    def get(self, currency: str) -> float:
        """The amount in one currency. Raises ``ConfigError`` for an unknown one."""
        if currency not in CURRENCIES:
            raise ConfigError(f"There is no currency {currency!r}; use one of {', '.join(CURRENCIES)}.")
        return float(getattr(self, currency))

    def comparable(self) -> "Cost":
        """The same cost without seconds, the one currency that changes from run to run."""
        return self.model_copy(update={"seconds": 0.0})


def total(costs: Iterable[Cost]) -> Cost:
    """Adds costs up; ``parameters`` takes the maximum, since one model trained twice is still one model."""
    rows = list(costs)
    sums = {name: sum(getattr(row, name) for row in rows) for name in CURRENCIES}
    sums["parameters"] = max((row.parameters for row in rows), default=0.0)
    return Cost(**sums)


def miss(arm: float, baseline: float) -> float:
    """Relative difference of two amounts, against the larger: 0 when equal, 1 when one of them is zero."""
    largest = max(arm, baseline)
    return abs(arm - baseline) / largest if largest > 0 else 0.0


class Matched(BaseModel):
    """Both arms spend the same ``currency`` over the stages whose labels match ``labels`` (fnmatch patterns)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: Currency
    labels: tuple[str, ...] = ("*",)

    def describe(self) -> str:
        """As a report prints it."""
        return f"{self.currency} over {', '.join(self.labels)}"


class Unmatched(BaseModel):
    """The arms may differ in cost, for a stated reason; the report prints the reason beside the cost ratio."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(min_length=3)

    def describe(self) -> str:
        """As a report prints it."""
        return f"not matched: {self.reason}"
