"""In-context learning of discrete functions (arXiv 2310.03016): what is learned from examples in a prompt, by which
architecture, and how near to the best learner there is.

Every architecture is trained on fresh functions in every prompt, with as many parameters as the Transformer (the
feed-forward layer takes up the difference), the same prompts, steps and sweep over learning rates, for several seeds.
Classical learners answer the same test prompts, the best one for each class included. Teaching sequences, a frozen
pre-trained body, and a language model asked in text are arms of the same study.
"""

from collections.abc import Mapping

from paribus.errors import ConfigError
from paribus.lab import Arm, Arms, Handle, Study
from paribus.studies.icl_discrete_claims import arms as arm_names
from paribus.studies.icl_discrete_claims import claims, contrasts, taught
from paribus.studies.icl_discrete_recipe import Examined, Steps
from paribus.studies.icl_discrete_settings import ClassName, IclDiscrete
from paribus.studies.settings import check_distinct
from paribus.studies.stages.panels_incontext import PanelArm, PromptPanelsConfig, prompt_panels
from paribus.studies.stages.sequences import SequenceConfig
from paribus.testbeds.incontext.counting import MOST_FUNCTIONS, optimal_is_computed

DESCRIPTIONS: dict[str, str] = {
    "transformer": "Transformer",
    "lstm": "LSTM",
    "gru": "GRU",
    "dss": "diagonal state space",
    "retention": "retention (RetNet)",
    "mamba2": "selective state space (Mamba-2)",
    "hyena": "long convolution (Hyena)",
    "rwkv": "RWKV",
    "null": "always the commoner label",
    "averaging": "sign of the mean of labelled points",
    "least_squares": "least squares",
    "nearest_neighbour": "one nearest neighbour",
    "three_neighbours": "three nearest neighbours",
    "optimal": "the best learner of the class (Bayes vote, or the rule itself)",
    "trained_network": "a fresh network trained on each prompt by gradient descent",
    "teach": "Transformer, every training prompt begins with a teaching sequence",
    "mix": "Transformer, a share of the training prompts begins with a teaching sequence",
    "frozen_pretrained": "frozen body pre-trained on text, trained heads",
    "frozen_random": "frozen random body, trained heads",
    "language_model": "a language model asked in text",
}

Runs = dict[str, dict[ClassName, SequenceConfig]]


def build(settings: IclDiscrete) -> Arms:
    """All arms of the study for all seeds, and the stage that draws their panels."""
    check(settings)
    steps = Steps(settings)
    runs = trained_runs(settings, steps)
    examined: dict[str, Examined] = {name: steps.examined(by_class) for name, by_class in runs.items()}
    examined |= {name: steps.learner(name) for name in settings.learners}
    if settings.direct.classes:
        examined["language_model"] = steps.asked()
    arms = [
        Arm(name, DESCRIPTIONS[name], examined[name], factors=_factors(settings, name)) for name in arm_names(settings)
    ]
    return Arms(arms, panels=[_panels(settings, steps, runs, examined)])


def check(settings: IclDiscrete) -> None:
    """Refuse settings that cannot make a study. Raises ``ConfigError``."""
    check_distinct({name: getattr(settings, name) for name in ("seeds", "classes", "architectures", "learners")})
    parts = {f"{name}.classes": getattr(settings, name).classes for name in ("body", "direct")}
    check_distinct(parts, may_be_empty=True)
    body = settings.body
    if body.model and not body.parameters:
        raise ConfigError(f"body.model={body.model!r} is set; set body.parameters too, by which the run is priced.")
    if settings.direct.classes and body.model and not settings.direct.model:
        raise ConfigError(
            "direct.model is empty while body.model is not; name the language model to ask, or set direct.classes=[]."
        )
    name, longest = settings.teaching.name, settings.longest_lesson
    dimensions, points = settings.sizes(name)
    if name in settings.classes and points < longest:
        raise ConfigError(
            f"points={points} leave no room for a teaching sequence of {name!r} at dimensions={dimensions}, which can "
            f"take {longest} points; raise points, or lower dimensions."
        )
    if "optimal" in settings.learners:
        _check_optimal(Steps(settings))


def _check_optimal(steps: Steps) -> None:
    """Refuse classes whose best learner is not computed. Prompts of vectors are tested with noisy labels, too; that of
    the nearest-neighbour class is its rule, whatever the noise."""
    asked = [("", True, steps.problem(name)) for name in steps.s.classes]
    asked += [("direct.", False, steps.direct(name).problem) for name in steps.s.direct.classes]
    for part, noisy, problem in asked:
        name, dimensions, size = problem.name, problem.dimensions, int(problem.settings.get("size", 0))
        if name == "nearest_neighbour" or optimal_is_computed(name, dimensions, size=size, label_noise=noisy):
            continue
        raise ConfigError(
            f"learners name 'optimal', but the best learner of {name!r} at {part}dimensions={dimensions} is not "
            f"computed: it is a vote of more than {MOST_FUNCTIONS:,} functions; leave 'optimal' out of learners or "
            f"{name!r} out of {part}classes, or lower {part}dimensions."
        )


def trained_runs(settings: IclDiscrete, steps: Steps) -> Runs:
    """What every trained arm is trained on."""
    runs: Runs = {
        architecture: {name: steps.run(architecture, name) for name in settings.classes}
        for architecture in settings.architectures
    }
    name = settings.teaching.name
    if taught(settings):
        runs["teach"] = {name: steps.run("transformer", name, teaching=1.0)}
        runs["mix"] = {name: steps.run("transformer", name, teaching=settings.teaching.share)}
    if settings.body.classes:
        for arm, pretrained in (("frozen_pretrained", True), ("frozen_random", False)):
            runs[arm] = {name: steps.heads(name, pretrained=pretrained) for name in settings.body.classes}
    return runs


def _factors(settings: IclDiscrete, name: str) -> dict[str, object]:
    if name in settings.learners:
        return {"kind": "rule"}
    if name == "language_model":
        return {"kind": "asked in text"}
    lessons = {"teach": "always", "mix": f"{settings.teaching.share:.0%} of prompts"}
    return {"kind": "trained", "teaching": lessons.get(name, "never")}


def _panels(settings: IclDiscrete, steps: Steps, runs: Runs, examined: Mapping[str, Examined]) -> Handle:
    """The stage that turns stored records into the report's charts."""
    kinds = dict.fromkeys(settings.learners, "learner") | {"language_model": "asked"}
    arms = [
        PanelArm(
            name=name,
            kind=kinds.get(name, "trained"),
            networks={of: run.network for of, run in runs.get(name, {}).items()},
            classes=_classes(settings, runs, name),
        )
        for name in examined
    ]
    classes = dict.fromkeys((*settings.classes, *settings.body.classes))
    config = PromptPanelsConfig(
        arms=tuple(arms),
        problems={name: steps.problem(name) for name in classes},
        seeds=settings.seeds,
        taught=settings.teaching.name,
        near=settings.equivalence,
    )
    by_key = {
        f"{output.removeprefix('evaluation-')}/{arm}@{seed}": handle
        for arm, by_seed in examined.items()
        for seed, outputs in by_seed.items()
        for output, handle in outputs.items()
    }
    return prompt_panels(
        config,
        examinations={key: handle for key, handle in by_key.items() if not key.startswith("direct-")},
        trained={
            f"{name}/{arm}@{seed}": steps.model(run, name, seed)
            for arm, by_class in runs.items()
            for name, run in by_class.items()
            for seed in settings.seeds
        },
        sweeps={
            f"{name}/{arm}": steps.sweep(run, name) for arm, by_class in runs.items() for name, run in by_class.items()
        },
        asked={
            key.removeprefix("direct-").partition("@")[0]: handle
            for key, handle in by_key.items()
            if key.startswith("direct-")
        },
    )


def _classes(settings: IclDiscrete, runs: Runs, name: str) -> tuple[ClassName, ...]:
    """The classes that an arm was examined on with prompts of vectors."""
    if name in runs:
        return tuple(runs[name])
    return settings.classes if name in settings.learners else ()


STUDY = Study(
    name="icl-discrete",
    title="In-context learning of discrete functions",
    question=(
        "Which discrete functions are learned in context, by which architecture, and how close to the best learner?"
    ),
    paper="In-Context Learning of Discrete Functions (arXiv 2310.03016)",
    settings=IclDiscrete,
    build=build,
    contrasts=contrasts,
    claims=claims,
    covers=("test prompts", "seeds"),
    covers_note=(
        "Intervals cover the draw of test prompts (functions and points) and of training (weights and streams). They "
        "don't cover the choice of the learning rate, made once an arm and class, nor the pre-training of the body."
    ),
)
