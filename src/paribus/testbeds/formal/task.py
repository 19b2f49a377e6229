"""What every formal task is: sizes, a seeded sampler of labelled batches, and the same task at another length.

Legend of shapes: B sequences, T tokens of a sequence, E width of a token's vector, O outputs of a token.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from paribus.errors import ConfigError

if TYPE_CHECKING:
    import torch

Batch = dict[str, "torch.Tensor"]
Kind = Literal["classes", "bits"]
IGNORED = -100  # the label of a position without a loss, as in torch and transformers

_Task = TypeVar("_Task", bound="FormalTask")


class FormalTask(BaseModel, ABC):
    """A task whose every label is known by construction. Frozen, and validated when it is made.

    Attributes:
        task: the name of the family, the discriminator of stored settings.
        size_field: the field that ``at`` changes and ``size`` reads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    size_field: ClassVar[str] = "length"

    task: str

    @property
    def name(self) -> str:
        """The task with all its settings, as ``index-lookup(length=20, symbols=16)``: equal tasks, equal names."""
        fields = self.model_dump(exclude={"task"}, exclude_none=True)
        return f"{self.task}({', '.join(f'{key}={value}' for key, value in fields.items())})"

    @property
    def kind(self) -> Kind:
        """How labels are read: "classes" (one a scored position) or "bits" (``outputs`` independent yes/no answers)."""
        return "classes"

    @property
    def size(self) -> int:
        """The value of the field that ``at`` changes."""
        return int(getattr(self, self.size_field))

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Token ids are below this; 0 where the inputs are vectors."""

    @property
    def input_size(self) -> int:
        """Width E of the input vectors; 0 where the inputs are token ids."""
        return 0

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Logits a position (O)."""

    @property
    @abstractmethod
    def tokens(self) -> int:
        """Length T of a sequence."""

    @property
    @abstractmethod
    def chance(self) -> float:
        """Expected token accuracy of the best guess that knows the position to be scored, but reads no token."""

    @abstractmethod
    def _draw(self, count: int, generator: torch.Generator) -> Batch:
        """The batch of ``sample``, for arguments that have been checked."""

    def sample(self, count: int, generator: torch.Generator) -> Batch:
        """Draw ``count`` independent labelled sequences on the CPU; the generator's state alone decides them.

        Returns ``input_ids`` (B, T) int64 or ``inputs_embeds`` (B, T, E) float32, and ``labels``: for "classes"
        (B, T) int64 with -100 where there is no loss, for "bits" (B, T, O) float32 of 0 and 1 with ``label_mask``
        (B, T) bool. Raises ``ConfigError`` for a count below 1 or a generator that is not on the CPU.
        """
        if count < 1:
            raise ConfigError(f"{self.name} was asked for {count} sequences; ask for at least 1.")
        if generator.device.type != "cpu":
            raise ConfigError(
                f"{self.name} was given a generator on {generator.device}; batches are drawn on the CPU so that they "
                "are the same on every machine: pass torch.Generator() and move the batch."
            )
        return self._draw(count, generator)

    def batches(self, count: int, *, batch_size: int, seed: int) -> Iterator[Batch]:
        """``count`` sequences of ``sample`` in batches of up to ``batch_size``; equal arguments, equal sequences."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        for first in range(0, count, batch_size):
            yield self.sample(min(batch_size, count - first), generator)

    def at(self, length: int) -> Self:
        """The same task at another size, over the same vocabulary. Raises ``ConfigError`` where there is none."""
        return validated(type(self), self.model_dump() | self._vocabulary() | {self.size_field: length})

    def _vocabulary(self) -> dict[str, Any]:
        """Settings that keep the vocabulary as it is when the size changes."""
        return {}


def validated(family: type[_Task], settings: dict[str, Any]) -> _Task:
    """Make a task; raises ``ConfigError`` that names the field, what is wrong and the value."""
    try:
        return family(**settings)
    except ValidationError as error:
        rows = error.errors(include_url=False)
        problems = "; ".join(
            f"{'.'.join(map(str, row['loc'])) or 'settings'}: {row['msg'].removeprefix('Value error, ')}"
            + (f" (got {row['input']!r})" if row["loc"] else "")
            for row in rows
        )
        known = ", ".join(name for name in family.model_fields if name != "task")
        raise ConfigError(
            f"The task {family.model_fields['task'].default} cannot be made: {problems}. Its fields: {known}."
        ) from error


def last_label(labels_B: torch.Tensor, tokens: int) -> torch.Tensor:
    """Labels (B, T) that score the last position alone."""
    labels_BT = labels_B.new_full((len(labels_B), tokens), IGNORED)
    labels_BT[:, -1] = labels_B
    return labels_BT
