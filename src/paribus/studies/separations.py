"""Separations of Transformers and recurrent nets (arXiv 2406.09347): what each represents, and what each learns.

Every architecture is trained on every task with the same fresh sequences, the same number of parameters (the
feed-forward layer takes up the difference), the same steps and the same sweep over learning rates, for several seeds.
Beside them stand the paper's constructions as real weights in the same class of model, checked on every input where
these can be counted, and its lower bounds as calculators.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from paribus.errors import ConfigError
from paribus.lab import Arm, Arms, Handle, Study
from paribus.studies.separations_claims import TWO_LAYERED, claims, contrasts
from paribus.studies.separations_recipe import PROBLEMS, Steps
from paribus.studies.separations_settings import LAYERS, MIXERS, Architecture, ProblemName, Separations
from paribus.studies.settings import check_distinct
from paribus.studies.stages.panels_formal import FormalPanelsConfig, PanelArm, formal_panels

DESCRIPTIONS: dict[Architecture, str] = {
    "tf1": "Transformer, one layer",
    "tf2": "Transformer, two layers, as many parameters as one",
    "lstm": "LSTM, one layer",
    "gru": "GRU, one layer",
    "dss": "diagonal state space, one layer",
    "retention": "retention (RetNet), one layer",
    "mamba2": "selective state space (Mamba-2), one layer",
    "hyena": "long convolution (Hyena), one layer; keeps the whole past",
    "rwkv": "RWKV, one layer",
}


@dataclass(frozen=True)
class TrainedArm:
    """An arm that is trained: its architecture, width and problems. ``raw``: with the feed-forward layer that the
    architecture comes with, not the one that makes parameters equal."""

    name: str
    architecture: Architecture
    width: int
    problems: tuple[ProblemName, ...]
    raw: bool = False

    @property
    def text(self) -> str:
        """What it is, in words."""
        further = {"width": f", width {self.width}", "raw": ", feed-forward layer of four times the width"}
        kind = "raw" if self.raw else "width" if self.name != self.architecture else ""
        return DESCRIPTIONS[self.architecture] + further.get(kind, "")


def trained_arms(settings: Separations) -> list[TrainedArm]:
    """The study's architectures; on index lookup also other widths of some, and some as they come."""
    arms = [TrainedArm(name, name, settings.width, settings.trained) for name in settings.architectures]
    if "lookup" not in settings.trained:
        return arms
    for name in settings.widths.architectures:
        arms += [TrainedArm(f"{name}_w{width}", name, width, ("lookup",)) for width in settings.widths.widths]
    if settings.match == "parameters":
        arms += [TrainedArm(f"{name}_raw", name, settings.width, ("lookup",), raw=True) for name in settings.raw]
    return arms


def build(settings: Separations) -> Arms:
    """All arms of the study for all seeds, and the stage that draws their panels."""
    check(settings)
    steps = Steps(settings)
    examined = {
        arm.name: steps.examined(arm.architecture, arm.problems, arm.width, raw=arm.raw)
        for arm in trained_arms(settings)
    }
    arms = [Arm(arm.name, arm.text, examined[arm.name], factors=_factors(arm)) for arm in trained_arms(settings)]
    for name, (text, problems, first_layer) in WRITTEN.items():
        examined[name] = steps.constructed(problems, first_layer=first_layer)
        arms.append(Arm(name, text, examined[name], factors={"training": "none"}))
    return Arms(arms, panels=[_panels(settings, steps, examined)])


WRITTEN = {
    "construction": ("hand-written weights", PROBLEMS, True),
    "without_first_layer": ("hand-written weights whose first layer fetches nothing", TWO_LAYERED, False),
}
"""Arms whose weights are written by hand: what they are, their problems, and whether the first layer works."""


def check(settings: Separations) -> None:
    """Refuse settings that cannot make a study. Raises ``ConfigError``."""
    check_distinct({name: getattr(settings, name) for name in ("seeds", "architectures", "trained")})
    widths = {f"widths.{name}": getattr(settings.widths, name) for name in ("architectures", "widths")}
    check_distinct({"raw": settings.raw, **widths}, may_be_empty=True)
    if settings.width in settings.widths.widths:
        raise ConfigError(
            f"widths.widths={settings.widths.widths} names the study's own width {settings.width}, whose arms there "
            "are already; leave it out."
        )
    for name in PROBLEMS:
        choice = getattr(settings.problems, name)
        for size in choice.sizes:
            choice.task.at(size)  # raises where the task has no such size


def _factors(arm: TrainedArm) -> dict[str, object]:
    mixer = MIXERS.get(arm.architecture, arm.architecture)
    sizes = {"layers": LAYERS.get(arm.architecture, 1), "width": arm.width}
    return {"mixer": mixer, **sizes, "feed-forward": "as it comes" if arm.raw else "matched", "training": "yes"}


def _panels(settings: Separations, steps: Steps, examined: Mapping[str, Mapping[int, Mapping[str, Handle]]]) -> Handle:
    """The stage that turns stored records into the report's charts."""
    trained = trained_arms(settings)
    runs = {
        f"{problem}/{arm.name}": steps.run(arm.architecture, problem, arm.width, raw=arm.raw)
        for arm in trained
        for problem in arm.problems
    }
    arms = [
        PanelArm(
            name=arm.name,
            of=arm.name if arm.raw else arm.architecture,
            width=arm.width,
            problems=arm.problems,
            networks={
                problem: steps.network(arm.architecture, problem, arm.width, raw=arm.raw) for problem in arm.problems
            },
        )
        for arm in trained
    ]
    written = [PanelArm(name=name, of=name, width=0, problems=problems) for name, (_, problems, _) in WRITTEN.items()]
    config = FormalPanelsConfig(
        arms=(*arms, *written),
        order=PROBLEMS,
        problems={name: steps.problem(name) for name in PROBLEMS},
        seeds=settings.seeds,
        solved=settings.solved,
        heads=settings.heads,
    )
    return formal_panels(
        config,
        examinations={
            f"{output.removeprefix('evaluation-')}/{arm}@{seed}": handle
            for arm, by_seed in examined.items()
            for seed, outputs in by_seed.items()
            for output, handle in outputs.items()
        },
        trained={
            f"{key}@{seed}": steps.model(run, key.partition("/")[0], seed)
            for key, run in runs.items()
            for seed in settings.seeds
        },
        sweeps={key: steps.sweep(run, key.partition("/")[0]) for key, run in runs.items()},
        overlaps={name: steps.overlap(name) for name in settings.trained},
        verified=steps.verified,
    )


STUDY = Study(
    name="separations",
    title="Transformers and recurrent nets: what each represents and learns",
    question="Which tasks can a small Transformer represent and a small recurrent model not, and the other way round?",
    paper="Separations of Transformers and Recurrent Architectures (arXiv 2406.09347)",
    settings=Separations,
    build=build,
    contrasts=contrasts,
    claims=claims,
    covers=("test sequences", "seeds"),
    covers_note=(
        "Intervals cover the draw of test sequences and of training (weights and streams). They don't cover the choice "
        "of the learning rate, made once an arm and task. What was not learned was not learned within the budget; only "
        "the table of bounds says what cannot be represented."
    ),
)
