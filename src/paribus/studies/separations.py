"""Separations of Transformers and recurrent nets (arXiv 2406.09347): what each represents, and what each learns.

Every architecture is trained on every task with the same fresh sequences, the same number of parameters (the
feed-forward layer takes up the difference), the same steps and the same sweep over learning rates, for several seeds.
Beside them stand the paper's constructions as real weights in the same class of model, checked on every input where
these can be counted, and its lower bounds as calculators.
"""

from paribus.errors import ConfigError
from paribus.lab import Arm, Arms, Handle, Study
from paribus.studies.separations_claims import TWO_LAYERED, claims, contrasts
from paribus.studies.separations_recipe import PROBLEMS, Steps
from paribus.studies.separations_settings import MIXERS, Architecture, Separations
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


def build(settings: Separations) -> Arms:
    """All arms of the study for all seeds, and the stage that draws their panels."""
    check(settings)
    steps = Steps(settings)
    arms = [
        Arm(name, DESCRIPTIONS[name], steps.examined(name, settings.trained), factors=_factors(name, settings.width))
        for name in settings.architectures
    ]
    for name, width in _sized(settings):
        arms.append(
            Arm(
                f"{name}_w{width}",
                f"{DESCRIPTIONS[name]}, width {width}",
                steps.examined(name, ("lookup",), width),
                factors=_factors(name, width),
            )
        )
    arms.append(Arm("construction", "hand-written weights", steps.constructed(PROBLEMS), factors={"training": "none"}))
    arms.append(
        Arm(
            "without_first_layer",
            "hand-written weights whose first layer fetches nothing",
            steps.constructed(TWO_LAYERED, first_layer=False),
            factors={"training": "none"},
        )
    )
    return Arms(arms, panels=[_panels(settings, steps)])


def check(settings: Separations) -> None:
    """Refuse settings that cannot make a study. Raises ``ConfigError``."""
    for name in ("seeds", "architectures", "trained"):
        values = getattr(settings, name)
        if not values or len(set(values)) < len(values):
            raise ConfigError(f"{name}={values} must name at least one, each once.")
    if settings.width in settings.widths.widths:
        raise ConfigError(
            f"widths.widths={settings.widths.widths} names the study's own width {settings.width}, whose arms there "
            "are already; leave it out."
        )
    for name in PROBLEMS:
        choice = getattr(settings.problems, name)
        for size in choice.sizes:
            choice.task.at(size)  # raises where the task has no such size


def _sized(settings: Separations) -> list[tuple[Architecture, int]]:
    """Arms that are a study's architecture at another width; they learn index lookup."""
    if "lookup" not in settings.trained:
        return []
    return [(name, width) for name in settings.widths.architectures for width in settings.widths.widths]


def _factors(name: Architecture, width: int) -> dict[str, object]:
    return {"mixer": MIXERS.get(name, name), "layers": 2 if name == "tf2" else 1, "width": width}


def _panels(settings: Separations, steps: Steps) -> Handle:
    """The stage that turns stored records into the report's charts."""
    trained: list[tuple[str, Architecture, int, tuple[str, ...]]] = [
        (name, name, settings.width, settings.trained) for name in settings.architectures
    ]
    trained += [(f"{name}_w{width}", name, width, ("lookup",)) for name, width in _sized(settings)]
    arms = [
        PanelArm(
            name=arm,
            of=architecture,
            width=width,
            problems=problems,
            networks={problem: steps.network(architecture, problem, width) for problem in problems},
        )
        for arm, architecture, width, problems in trained
    ]
    written = [
        PanelArm(name=name, of=name, width=0, problems=problems)
        for name, problems in (("construction", PROBLEMS), ("without_first_layer", TWO_LAYERED))
    ]
    config = FormalPanelsConfig(
        arms=(*arms, *written),
        order=PROBLEMS,
        problems={name: steps.problem(name) for name in PROBLEMS},
        seeds=settings.seeds,
        solved=settings.solved,
        heads=settings.heads,
    )
    runs = {
        f"{problem}/{arm}": steps.run(architecture, problem, width)
        for arm, architecture, width, problems in trained
        for problem in problems
    }
    examined = {arm: steps.examined(architecture, problems, width) for arm, architecture, width, problems in trained}
    examined |= {
        "construction": steps.constructed(PROBLEMS),
        "without_first_layer": steps.constructed(TWO_LAYERED, first_layer=False),
    }
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
