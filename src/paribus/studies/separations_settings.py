"""Settings of the separations study: tasks, architectures, sizes, recipes."""

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import Field

from paribus.lab import Settings
from paribus.studies.separations_scales import DESK, FULL, SMOKE
from paribus.studies.settings import Part
from paribus.studies.stages.sequences import SequenceRecipe
from paribus.testbeds.formal.tasks import (
    AssociativeRecall,
    BoundedDyck,
    Disjointness,
    Equality,
    FormalTask,
    IndexLookup,
)

Architecture = Literal["tf1", "tf2", "lstm", "gru", "dss", "retention", "mamba2", "hyena", "rwkv"]
ProblemName = Literal["lookup", "lookup_long", "dyck", "recall", "equality", "disjointness"]

LAYERS = {"tf2": 2}
MIXERS = {"tf1": "attention", "tf2": "attention"}

_Task = TypeVar("_Task", bound=FormalTask)


class Trained(Part, Generic[_Task]):
    """A task, the sizes to test beyond the training size, and how networks are trained on it."""

    task: _Task
    sizes: tuple[int, ...] = ()
    recipe: SequenceRecipe

    @property
    def longest(self) -> int:
        """The largest size that is tested."""
        return max(self.task.size, *self.sizes, 1)


RATES = (1e-3, 3e-3, 1e-2, 3e-2)


class Problems(Part):
    """The tasks. Equality and disjointness are shown by construction at pocket scale: gradient descent does not find
    them in minutes, which would say nothing about what can be represented."""

    lookup: Trained[IndexLookup] = Trained(
        task=IndexLookup(length=20, symbols=16), recipe=SequenceRecipe(steps=600, rows=64, rates=RATES)
    )
    lookup_long: Trained[IndexLookup] = Trained(
        task=IndexLookup(length=32, symbols=16), recipe=SequenceRecipe(steps=600, rows=64, rates=RATES)
    )
    dyck: Trained[BoundedDyck] = Trained(
        task=BoundedDyck(length=48, pairs=2, depth=4),
        sizes=(24, 96, 192),
        recipe=SequenceRecipe(steps=500, rows=32, rates=RATES),
    )
    recall: Trained[AssociativeRecall] = Trained(
        task=AssociativeRecall(length=16, pairs=4, vocabulary=32, power=1.0, filler="zero"),
        sizes=(24, 32),
        recipe=SequenceRecipe(steps=800, rows=64, rates=RATES),
    )
    equality: Trained[Equality] = Trained(
        task=Equality(bits=8), recipe=SequenceRecipe(steps=2000, rows=64, rates=RATES)
    )
    disjointness: Trained[Disjointness] = Trained(
        task=Disjointness(bits=8), recipe=SequenceRecipe(steps=2000, rows=64, rates=RATES)
    )


class Widths(Part):
    """Architectures whose accuracy on index lookup is measured at several widths, beside the study's own."""

    architectures: tuple[Architecture, ...] = ("tf1", "lstm", "retention")
    widths: tuple[int, ...] = (8, 16, 32)


class Theory(Part):
    """Sizes at which constructions are checked in every number format, and samples where inputs cannot be counted."""

    sizes: tuple[int, ...] = (16, 64, 256)
    samples: int = Field(default=5000, gt=0)


class Separations(Settings):
    """Settings of the study. ``seeds`` cover weights and training streams; test sequences are the same for all.

    ``trained``: tasks that networks are trained on; constructions are examined on all tasks. ``width`` and ``heads``:
    of every network. ``match``: "parameters" gives all architectures the one-layer Transformer's number of parameters
    by the width of their feed-forward layers; "width" gives all a feed-forward layer of four times the width. ``raw``:
    architectures that learn index lookup with such a layer too, to be read beside the matched ones.
    ``state_size``: state per channel of dss and mamba2. ``initializer_range``: 0 = one over the root of the width.
    ``together``: train the seeds of an arm as one batched model where that is faster (on a GPU). ``solved``: share of
    test sequences from which a run counts as having solved its task. ``sequences``: tested for each measure.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"smoke": SMOKE, "pocket": {}, "desk": DESK, "full": FULL}

    seeds: tuple[int, ...] = (0, 1, 2)
    architectures: tuple[Architecture, ...] = ("tf1", "tf2", "lstm", "dss", "retention", "mamba2")
    trained: tuple[ProblemName, ...] = ("lookup", "lookup_long", "dyck", "recall")
    problems: Problems = Problems()
    width: int = Field(default=64, gt=0)
    heads: int = Field(default=4, gt=0)
    state_size: int = Field(default=16, gt=0)
    match: Literal["parameters", "width"] = "parameters"
    initializer_range: float = Field(default=0.0, ge=0.0)
    widths: Widths = Widths()
    raw: tuple[Architecture, ...] = ("lstm", "retention", "mamba2")
    theory: Theory = Theory()
    together: bool = False
    solved: float = Field(default=0.99, gt=0.0, le=1.0)
    sequences: int = Field(default=512, gt=1)
