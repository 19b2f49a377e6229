"""Human feedback is not gold standard (arXiv 2309.16349): what does a score measure, and what does assertive text hide?

Systems answer the same requests under five preambles. Raters fill in forms of three passes (errors, quality, style);
their biases are planted, a control crowd has none, and a model fills in the same forms. The truth is known, so every
analysis of the paper is held against it. Then the experiment that the paper lacks: reward models of these ratings
choose the best of n answers, and the chosen ones are looked at.
"""

from collections.abc import Mapping

from paribus.errors import ConfigError
from paribus.lab import Arm, Arms, Handle, Study
from paribus.studies.human_feedback_claims import (
    HIGH,
    LOW,
    SHUFFLED,
    claims,
    contrasts,
    of_system,
    picked,
    policy,
    under,
    weights,
)
from paribus.studies.human_feedback_recipe import RANDOM, TRUTH, Steps
from paribus.studies.human_feedback_settings import ASSERTIVE, PLAIN, TWIN, HumanFeedback
from paribus.studies.settings import check_distinct
from paribus.studies.stages.annotation import PREAMBLES, SEVEN
from paribus.studies.stages.panels_annotation import AnnotationPanelsConfig, annotation_panels

RATERS = {
    "crowd": "raters to whom assertive text hides errors and who like it",
    "fair": "the same raters without these two biases",
    "machine": "a model that fills in the same forms",
}


def build(settings: HumanFeedback) -> Arms:
    """All arms of the study for all seeds, and the stage that draws their panels."""
    check(settings)
    steps = Steps(settings)
    arms = [*_under(settings, steps), *_picked(settings, steps), *_policies(settings, steps)]
    if not settings.served:
        arms += [*_systems(settings, steps), *_weights(steps)]
    given = [steps.given] if settings.ratings else []
    return Arms(arms, panels=[_panels(settings, steps, {arm.name: arm.runs for arm in arms}), *given])


def check(settings: HumanFeedback) -> None:
    """Refuse settings that cannot make a study. Raises ``ConfigError``."""
    s = settings
    names = tuple(system.name for system in s.systems)
    check_distinct({"seeds": s.seeds, "systems": names, "optimisation.sizes": s.optimisation.sizes})
    check_distinct({"rounds.by": s.rounds.by}, may_be_empty=True)
    _check_systems(s, names)
    _check_raters(s)
    if max(s.optimisation.sizes) > s.inputs.candidates:
        raise ConfigError(
            f"optimisation.sizes={s.optimisation.sizes} asks for more than inputs.candidates={s.inputs.candidates} "
            "answers; raise that, or lower these."
        )
    unknown = [by for by in s.rounds.by if by not in (*s.conditions, TRUTH)]
    if s.rounds.count and unknown:
        raise ConfigError(
            f"rounds.by names {unknown[0]!r}, and feedback is of {', '.join((*s.conditions, TRUTH))}; choose of these."
        )


def _check_systems(s: HumanFeedback, names: tuple[str, ...]) -> None:
    if len(names) > len(PREAMBLES):
        raise ConfigError(
            f"systems names {len(names)} and each input is answered {len(PREAMBLES)} times, once under each preamble; "
            f"give {len(PREAMBLES)} systems at most."
        )
    if s.served and not all(system.endpoint for system in s.systems):
        raise ConfigError("Some systems have an endpoint and some are simulated; serve all, or none.")
    if s.served and s.machine.kind == "rules":
        raise ConfigError("Served systems need a served rater; set machine.kind=endpoint with its model and endpoint.")
    if not s.served and not {PLAIN, TWIN, ASSERTIVE} <= set(names):
        raise ConfigError(f"systems={names} must name {PLAIN}, {TWIN} and {ASSERTIVE}, which are compared.")


def _check_raters(s: HumanFeedback) -> None:
    for field, named in (("crowd", s.crowd), ("machine.like", s.machine.like)):
        tables = (named.weights, named.detection, named.hiding)
        unknown = [error for table in tables for error in table if error not in SEVEN]
        if unknown:
            raise ConfigError(f"{field} names the error {unknown[0]!r}; the errors are {', '.join(SEVEN)}.")
    if s.experts and not s.ratings:
        raise ConfigError(f"experts={s.experts!r} label no ratings; name the files of ratings in ratings, too.")


def _under(s: HumanFeedback, steps: Steps) -> list[Arm]:
    return [
        Arm(
            under(condition, preamble),
            f"labels of {condition} ({RATERS[condition]}) less the true ones, under the preamble {preamble}",
            steps.under(condition, preamble),
            factors={"raters": condition, "preamble": preamble},
        )
        for condition in s.conditions
        for preamble in (HIGH, LOW)
    ]


def _systems(s: HumanFeedback, steps: Steps) -> list[Arm]:
    return [
        Arm(
            of_system(condition, system.name),
            f"outputs of {system.name!r} as {condition} rates them",
            steps.system(condition, system.name),
            factors={"raters": condition, "system": system.name},
        )
        for condition in s.conditions
        for system in s.systems
    ]


def _weights(steps: Steps) -> list[Arm]:
    return [
        Arm(
            weights("crowd"),
            "Lasso of the crowd's quality scores on true errors, against the planted weights",
            steps.weights("crowd"),
            factors={"raters": "crowd", "scores": "as they are"},
        ),
        Arm(
            SHUFFLED,
            "the same with scores shuffled over outputs",
            steps.weights("crowd", shuffled=True),
            factors={"raters": "crowd", "scores": "shuffled"},
        ),
    ]


def _picked(s: HumanFeedback, steps: Steps) -> list[Arm]:
    words = {name: f"pairs of {name} ({RATERS[name]})" for name in s.conditions}
    words |= {TRUTH: "pairs by true quality", RANDOM: "chance, without a reward model"}
    return [
        Arm(
            picked(by),
            f"best of {max(s.optimisation.sizes)} answers by {text}",
            steps.picked(by),
            factors={"feedback": by},
        )
        for by, text in words.items()
    ]


def _policies(s: HumanFeedback, steps: Steps) -> list[Arm]:
    if not s.rounds.count:
        return []
    return [
        Arm(
            policy(by),
            f"a policy after {s.rounds.count} rounds of training on its answers that {by} feedback picks",
            steps.policies(by),
            factors={"feedback": by, "rounds": s.rounds.count},
        )
        for by in s.rounds.by
    ]


def _panels(s: HumanFeedback, steps: Steps, examined: Mapping[str, Mapping[int, Mapping[str, Handle]]]) -> Handle:
    """The stage that turns stored records into the report's charts."""
    first = s.seeds[0]
    feedback = (*s.conditions, TRUTH, RANDOM)
    config = AnnotationPanelsConfig(
        seeds=s.seeds,
        conditions=s.conditions,
        planted={condition: steps.planted(condition) for condition in s.conditions},
        alpha=s.alpha,
        sizes=s.optimisation.sizes,
        rounds=s.rounds.count,
        trained=s.rounds.by if s.rounds.count else (),
        picked={by: picked(by) for by in feedback},
        reference=PLAIN if not s.served else s.systems[0].name,
    )
    return annotation_panels(
        config,
        ratings={condition: steps.ratings(condition, first) for condition in s.conditions},
        experts=steps.experts,
        outputs=steps.outputs,
        pairs={f"{by}@{seed}": steps.pairs(by, seed) for by in (*s.conditions, TRUTH) for seed in s.seeds},
        examinations={
            f"{picked(by)}@{seed}": examined[picked(by)][seed]["evaluation"] for by in feedback for seed in s.seeds
        },
        policies={
            f"{by}-{number}@{seed}": steps.trained(by, seed, number)
            for by in (s.rounds.by if s.rounds.count else ())
            for number in range(s.rounds.count + 1)
            for seed in s.seeds
        },
    )


STUDY = Study(
    name="human-feedback",
    title="What human feedback measures",
    question="What does a preference score measure, and which errors does assertive text hide?",
    paper="Human Feedback is not Gold Standard (arXiv 2309.16349)",
    settings=HumanFeedback,
    build=build,
    contrasts=contrasts,
    claims=claims,
    covers=("inputs", "raters"),
    covers_note=(
        "Intervals cover the draw of inputs, of raters, and of a reward model's training (order of pairs, its head). "
        "They don't cover the base that reward models start from, made once."
    ),
)
