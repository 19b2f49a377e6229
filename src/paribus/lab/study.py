"""A study as data: arms built from settings, contrasts between them, and the paper's claims bound to contrasts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from paribus.errors import ConfigError
from paribus.lab.budget import Matched, Unmatched
from paribus.lab.graph import Graph
from paribus.lab.settings import Settings
from paribus.lab.stages import Handle, near

Direction = Literal["greater", "less", "equivalent", "different"]


class Contrast(BaseModel):
    """Arm against baseline on one measure.

    differs_in   fnmatch patterns over ``<label>.<config field>`` (also ``.inputs``, ``.stage``, ``.version``,
                 ``.seed``), or ``<label>`` for a stage that only one of the two has; all other differences are refused
    matched      the currency both must spend alike, or why they need not
    margin       smallest difference that counts (unit of the measure); required for ``equivalent``
    family       contrasts whose p-values are corrected together (Holm); a study that asks several separate questions
                 names a family for each before it runs, so that one question does not dilute another
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    arm: str
    baseline: str
    measure: str
    direction: Direction = "greater"
    differs_in: tuple[str, ...] = ()
    matched: Matched | Unmatched
    margin: float = Field(default=0.0, ge=0)
    family: str = ""


class Claim(BaseModel):
    """A sentence of the paper, where it stands, and the contrasts that must all hold for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    sentence: str
    source: str
    contrasts: tuple[str, ...] = Field(min_length=1)
    scope_note: str = ""


@dataclass(frozen=True)
class Arm:
    """One way of doing things: for each seed, the outputs it ends in. ``factors`` are shown in reports."""

    name: str
    description: str
    runs: Mapping[int, Mapping[str, Handle]]
    factors: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds it is run with, in order."""
        return tuple(self.runs)

    @cached_property
    def labelled(self) -> dict[int, dict[str, Handle]]:
        """For each seed, every stage the arm needs, by label. Raises ``ConfigError`` if a label names two of them."""
        return {seed: _by_label(self.name, seed, outputs.values()) for seed, outputs in self.runs.items()}


def _by_label(arm: str, seed: int, outputs: Iterable[Handle]) -> dict[str, Handle]:
    found: dict[str, Handle] = {}
    for handle in Graph(outputs):
        other = found.setdefault(handle.label, handle)
        if other is not handle:
            raise ConfigError(
                f"Arm {arm!r}, seed {seed}: the label {handle.label!r} names {other.address} and {handle.address}; "
                "give each role in an arm its own label=..."
            )
    return found


@dataclass(frozen=True)
class Arms:
    """What ``build`` returns: the arms, and stages whose artifacts hold ``panels.jsonl`` for the report."""

    arms: Sequence[Arm]
    panels: Sequence[Handle] = ()

    def __getitem__(self, name: str) -> Arm:
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise ConfigError(f"There is no arm {name!r}.{near(name, [arm.name for arm in self.arms])}")


@dataclass(frozen=True)
class Study:
    """Everything about a study but its running.

    build        settings to arms; may only call stages (nothing runs while building)
    evaluation   name of the arms' outputs whose artifacts hold ``items.jsonl`` (``name`` or ``name-...``)
    ladder       names of contrasts that are steps, each over the one before; the report shows them as one table
    covers       the noise an interval over seeds and items speaks for, as the report words it; one word per source
    """

    name: str
    title: str
    question: str
    paper: str
    settings: type[Settings]
    build: Callable[[Any], Arms]
    contrasts: Sequence[Contrast] | Callable[[Any], Sequence[Contrast]]
    claims: Sequence[Claim] | Callable[[Any], Sequence[Claim]] = ()
    ladder: Sequence[str] | Callable[[Any], Sequence[str]] = ()
    evaluation: str = "evaluation"
    covers: tuple[str, ...] = ("prompts", "seeds")
    covers_note: str = ""
    alpha: float = 0.05
    level: float = 0.95
    resamples: int = 2000

    def at(self, scale: str = "pocket", overrides: Sequence[str] = ()) -> Settings:
        """The study's settings at a scale, with ``a.b=c`` overrides."""
        return self.settings.at(scale, overrides)

    def claims_at(self, settings: Settings) -> tuple[Claim, ...]:
        """The claims that are tested at these settings."""
        return tuple(self.claims(settings) if callable(self.claims) else self.claims)

    def plan(self, settings: Settings | None = None) -> "Plan":
        """Build the graph and hold it against the declared contrasts. Runs nothing.

        Raises ``ComparisonError`` for an undeclared difference or a missed budget, ``ConfigError`` for a malformed
        study.
        """
        from paribus.lab.planning import make_plan

        return make_plan(self, settings or self.at())


@dataclass(frozen=True)
class Role:
    """The place of an address in a study: which arm, seed and label."""

    arm: str
    seed: int
    label: str


@dataclass(frozen=True)
class Plan:
    """A study with settings, checked and ready to run; ``result`` is the analysis, ``notices`` are for the reader."""

    study: Study
    settings: Settings
    arms: Arms
    contrasts: tuple[Contrast, ...]
    claims: tuple[Claim, ...]
    result: Handle
    graph: Graph
    notices: tuple[str, ...] = ()

    @cached_property
    def roles(self) -> dict[str, list[Role]]:
        """Address to the places it has; a shared stage has many. The analysis belongs to arm ``''``, seed 0."""
        found: dict[str, list[Role]] = {address: [] for address in self.graph.nodes}
        for arm in self.arms.arms:
            for seed, by_label in arm.labelled.items():
                for label, handle in by_label.items():
                    found[handle.address].append(Role(arm.name, seed, label))
        for address, roles in found.items():
            if not roles:
                roles.append(Role("", 0, self.graph[address].label))
        return found

    def title_of(self, address: str) -> str:
        """An address as people read it: label, arms and seeds."""
        roles = self.roles[address]
        arms = list(dict.fromkeys(role.arm for role in roles if role.arm))
        seeds = sorted({role.seed for role in roles if role.arm})
        where = [", ".join(arms) if len(arms) < 3 else f"{len(arms)} arms"] if arms else []
        where += [f"seed {', '.join(map(str, seeds))}"] if seeds else []
        place = f" [{'; '.join(where)}]" if where else ""
        return roles[0].label + place
