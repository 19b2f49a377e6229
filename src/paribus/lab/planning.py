"""From a study and its settings to a checked plan: build, compare, and append the analysis."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from paribus.errors import ConfigError
from paribus.lab.comparison import check_contrast
from paribus.lab.graph import Graph
from paribus.lab.settings import Settings
from paribus.lab.stages import Handle, near
from paribus.lab.study import Arm, Arms, Claim, Contrast, Plan, Study

T = TypeVar("T")


def make_plan(study: Study, settings: Settings) -> Plan:
    """See ``Study.plan``."""
    arms = study.build(settings)
    _check_arms(study, arms)
    contrasts = _resolved(study.contrasts, settings)
    claims = study.claims_at(settings)
    ladder = _resolved(study.ladder, settings)
    _check_names(study, contrasts, claims, ladder)
    notices = [line for c in contrasts for line in check_contrast(c, arms[c.arm], arms[c.baseline])]
    result = _analysis(study, settings, arms, contrasts, claims, ladder)
    graph = Graph([result, *(handle for arm in arms.arms for run in arm.runs.values() for handle in run.values())])
    return Plan(study, settings, arms, contrasts, claims, result, graph, tuple(notices))


def _resolved(given: Sequence[T] | Callable[[Any], Sequence[T]], settings: Settings) -> tuple[T, ...]:
    return tuple(given(settings)) if callable(given) else tuple(given)


def _check_arms(study: Study, arms: Arms) -> None:
    if not isinstance(arms, Arms) or not arms.arms:
        raise ConfigError(
            f"build() of study {study.name!r} returned {type(arms).__name__}; return Arms with at least one Arm."
        )
    names = [arm.name for arm in arms.arms]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"Study {study.name!r} has two arms named {name!r}; rename one.")
    for arm in arms.arms:
        for seed, outputs in arm.runs.items():
            if not evaluations(study, outputs):
                raise ConfigError(
                    f"Arm {arm.name!r}, seed {seed}, has no output {study.evaluation!r}, only {list(outputs)}; "
                    "add the handle of the stage that writes items.jsonl."
                )


def evaluations(study: Study, outputs: Any) -> dict[str, Handle]:
    """The outputs of a run that hold item tables."""
    return {n: h for n, h in outputs.items() if n == study.evaluation or n.startswith(f"{study.evaluation}-")}


def _check_names(
    study: Study, contrasts: tuple[Contrast, ...], claims: tuple[Claim, ...], ladder: tuple[str, ...]
) -> None:
    names = [contrast.name for contrast in contrasts]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"Study {study.name!r} has two contrasts named {name!r}; rename one.")
    for claim in claims:
        for name in claim.contrasts:
            if name not in names:
                raise ConfigError(
                    f"Claim {claim.id!r} rests on the contrast {name!r}, which does not exist.{near(name, names)}"
                )
    for name in ladder:
        if name not in names:
            raise ConfigError(f"The ladder of study {study.name!r} has no contrast {name!r}.{near(name, names)}")


def _analysis(
    study: Study,
    settings: Settings,
    arms: Arms,
    contrasts: tuple[Contrast, ...],
    claims: tuple[Claim, ...],
    ladder: tuple[str, ...],
) -> Handle:
    from paribus.lab.analysis import AnalysisConfig, analyse

    config = AnalysisConfig(
        study=study.name,
        title=study.title,
        question=study.question,
        paper=study.paper,
        scale=settings.scale,
        settings=settings.model_dump(mode="json"),
        covers=study.covers,
        covers_note=study.covers_note,
        arms=tuple(arm_meta(arm) for arm in arms.arms),
        contrasts=contrasts,
        claims=claims,
        ladder=ladder,
        alpha=study.alpha,
        level=study.level,
        resamples=study.resamples,
    )
    return analyse(config, evaluations=evaluation_inputs(study, arms), panels=list(arms.panels), label="analysis")


def arm_meta(arm: Arm) -> Any:
    """What the analysis must know of an arm: words, seeds, and the address of every stage by seed and label."""
    from paribus.lab.analysis import ArmMeta

    addresses = {str(seed): {label: h.address for label, h in rows.items()} for seed, rows in arm.labelled.items()}
    return ArmMeta(
        name=arm.name, description=arm.description, factors=dict(arm.factors), seeds=arm.seeds, addresses=addresses
    )


def evaluation_inputs(study: Study, arms: Arms) -> dict[str, list[Handle]]:
    """Inputs of the analysis: ``<arm>/<seed>`` to the handles with item tables."""
    return {
        f"{arm.name}/{seed}": list(evaluations(study, outputs).values())
        for arm in arms.arms
        for seed, outputs in arm.runs.items()
    }
