"""Data arbitrage in one call: from scored answers to chosen ones, with whatever the router has to learn first.

Multilingual Arbitrage (arXiv 2408.14960), as used by Aya Expanse (arXiv 2412.04261) for its fine-tuning data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from paribus.errors import ConfigError
from paribus.feedback.learned_router import LearnedRouter, RouterLoss
from paribus.feedback.routing import (
    Experts,
    Pool,
    RouterName,
    RoutingReport,
    TeacherPool,
    build_pool,
    find_experts,
    route,
    routing_report,
)
from paribus.records import Completion, Prompt


@dataclass(frozen=True)
class Practice:
    """What a router is fitted on: development prompts, disjoint from those it routes, and their scored answers."""

    prompts: Sequence[Prompt] = ()
    answers: Sequence[Completion] = ()


@dataclass(frozen=True)
class Routing:
    """The chosen completion of each prompt id, what the router did, and the experts it went by (if any)."""

    chosen: Mapping[str, Completion]
    report: RoutingReport
    experts: Experts | None = None


def check_router(router: str, prompts: Sequence[Prompt], practice: Sequence[Prompt], experts: Experts | None) -> None:
    """Raise ``ConfigError`` if a router lacks what it decides by, or would be fitted on the prompts it routes.

    Cheap, so that it can be asked before any answer is paid for.
    """
    if router not in get_args(RouterName):
        raise ConfigError(f"There is no router {router!r}; use one of {', '.join(get_args(RouterName))}.")
    if (router == "learned" or (router in ("single", "fixed") and experts is None)) and not practice:
        raise ConfigError(f"The {router} router is fitted on development prompts; give some that are not routed.")
    shared = sorted({row.id for row in prompts} & {row.id for row in practice})
    if shared:
        raise ConfigError(
            f"{len(shared)} of the development prompts are routed as well, such as {shared[0]!r}; keep them apart."
        )


def arbitrate(
    router: RouterName,
    prompts: Sequence[Prompt],
    answers: Sequence[Completion],
    teachers: TeacherPool,
    *,
    practice: Practice | None = None,
    experts: Experts | None = None,
    loss: RouterLoss = "kl",
    temperature: float = 1.0,
    seed: int = 0,
) -> Routing:
    """Choose an answer to every prompt from scored ones.

    Args:
        answers: one of each teacher to each prompt that it may answer.
        practice: for ``single`` and ``fixed`` (unless ``experts`` are given) and for ``learned``.
        loss, temperature: of the learned router.
        seed: of ``random``, and of ties of ``reward``.

    Raises ``ConfigError`` and ``DataError`` as ``check_router``, ``build_pool``, ``route`` and ``routing_report``.
    """
    practice = practice or Practice()
    check_router(router, prompts, practice.prompts, experts)
    pool = build_pool(answers, teachers)
    learned = None
    if router == "learned":
        learned = _predicted(prompts, pool, practice, build_pool(practice.answers, teachers), loss, temperature)
    elif router in ("single", "fixed") and experts is None:
        experts = find_experts(build_pool(practice.answers, teachers))
    chosen = route(router, prompts, pool, experts=experts, learned=learned, seed=seed)
    return Routing(chosen, routing_report(router, prompts, pool, chosen), experts)


def _predicted(
    prompts: Sequence[Prompt],
    pool: Pool,
    practice: Practice,
    practised: Pool,
    loss: RouterLoss,
    temperature: float,
) -> dict[str, str]:
    ids = [prompt.id for prompt in prompts]
    fitted = LearnedRouter.fit(practice.prompts, practised, evaluation=ids, loss=loss, temperature=temperature)
    return fitted.predict(prompts, pool)
