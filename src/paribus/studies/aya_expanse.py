"""Aya Expanse (arXiv 2412.04261): data arbitrage, model merging and preference training, step by step on equal terms.

The recipe, in the paper's order (its graph: ``aya_expanse_recipe.py``):

1. A base model. Teachers, each strong in a group of languages (all share the bridge languages), and a generalist.
2. Arbitrage: every teacher answers every prompt it may answer, an arbiter scores, a router picks the training target.
3. Fine-tuning on the picked answers: one model on all languages, or one a cluster, merged into one.
4. Offline preference training on the best and worst of the same scored pool.
5. Online preference training: sample, score, pair, train, three rounds.

Every step is an arm, and so is what it must be compared with: cheaper routers, joint training for the merged models'
summed budget, fine-tuning on the best of n samples, a merge of models that share no ancestor.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from paribus.errors import ConfigError
from paribus.lab import Arm, Arms, Handle, Study
from paribus.studies.aya_expanse_claims import LADDER, claims, contrasts, steps
from paribus.studies.aya_expanse_recipe import Steps
from paribus.studies.aya_expanse_settings import WORLD, AyaExpanse
from paribus.studies.stages.panels import PanelsConfig, panels


@dataclass(frozen=True)
class Made:
    """An arm before it is run: what it is, how its model is made for a seed, what sets it apart."""

    description: str
    model: Callable[[int], Handle]
    factors: dict[str, str] = field(default_factory=dict)


def build(settings: AyaExpanse) -> Arms:
    """All arms of the study for all seeds, and the stage that draws their panels."""
    check(settings)
    recipe = Steps(settings)
    arms = []
    for name, made in _arms(recipe).items():
        runs = {seed: recipe.examined(made.model(seed), seed) for seed in settings.seeds}
        arms.append(Arm(name, made.description, runs, factors=made.factors))
    return Arms(arms, panels=[_panels(recipe, arms)])


def check(settings: AyaExpanse) -> None:
    """Refuse settings that cannot make a fair study. Raises ``ConfigError``."""
    models, judge = settings.models, settings.judge
    if settings.arbiter.kind == "reward" and models.reward and judge.kind == "endpoint":
        from paribus.feedback.arbiters import ensure_distinct

        ensure_distinct(models.reward, judge.endpoint_model)
    if "reward" not in settings.routers:
        raise ConfigError("routers lacks 'reward', whose data the merging and preference arms stand on; add it.")
    if "linear" not in settings.methods:
        raise ConfigError("methods lacks 'linear', the merge that the preference arms start from; add it.")
    if settings.control and models.base:
        raise ConfigError(
            f"control=true merges two bases that share no ancestor, but models.base={models.base!r} is not trained "
            "here; set control=false."
        )
    if WORLD not in (settings.data.prompts, settings.data.tests):
        _check_open(settings)


def _check_open(settings: AyaExpanse) -> None:
    """Outside the world nobody knows the right answers, so nothing may stand on them."""
    models = settings.models
    needed = {
        "models.base": models.base,
        "models.teachers": models.teachers,
        "models.reward": models.reward and settings.arbiter.kind == "reward",
        "judge.kind=endpoint": settings.judge.kind == "endpoint" and settings.judge.endpoint,
        "measure=win_rate": settings.measure == "win_rate",
        "search_rounds=0": settings.search_rounds == 0,
        "true_arbiter=false": not settings.true_arbiter,
    }
    missing = [name for name, given in needed.items() if not given]
    if missing or "offline_translationese" in settings.preference_arms:
        raise ConfigError(
            f"data.prompts={settings.data.prompts!r} has no known right answers, so the study needs "
            f"{', '.join(missing) or 'no offline_translationese arm'}; set that, or data.prompts=world."
        )


def _arms(recipe: Steps) -> dict[str, Made]:
    return {
        "base": Made("the base model, before any of the steps", lambda seed: recipe.base, {"step": "base"}),
        **_arbitrage(recipe),
        **_merging(recipe),
        **_preference(recipe),
    }


def _arbitrage(recipe: Steps) -> dict[str, Made]:
    made: dict[str, Made] = {
        router: Made(
            f"fine-tuned on answers picked by the {router} router",
            partial(recipe.tuned, router),
            {"step": "arbitrage", "router": router},
        )
        for router in recipe.s.routers
    }
    if recipe.s.true_arbiter:
        made["reward_true"] = Made(
            "fine-tuned on answers that the reward router picks when the arbiter makes no mistake",
            recipe.tuned_on_truth,
            {"step": "arbitrage", "router": "reward, true arbiter"},
        )
    return made


def _merging(recipe: Steps) -> dict[str, Made]:
    settings = recipe.s
    made = {
        "joint_long": Made(
            "fine-tuned on reward-routed answers of all languages for the summed budget of the cluster models",
            recipe.tuned_long,
            {"step": "merging", "method": "none (joint)"},
        )
    }
    for method in settings.methods:
        made[f"merge_{method}"] = Made(
            f"cluster models merged by {method}",
            partial(recipe.merged, method),
            {"step": "merging", "method": method},
        )
    if settings.search_rounds:
        made["merge_searched"] = Made(
            "cluster models averaged with weights searched on development prompts",
            recipe.merged_searched,
            {"step": "merging", "method": "linear, searched"},
        )
    if settings.training.snapshots:
        made["merge_run"] = Made(
            "the long joint run, averaged along its second half",
            recipe.averaged_run,
            {"step": "merging", "method": "linear, one run"},
        )
    if settings.control:
        made["merge_strangers"] = Made(
            "negative control: two base models without a common ancestor, averaged",
            recipe.merged_strangers,
            {"step": "merging", "method": "linear, no ancestor"},
        )
    return made


def _preference(recipe: Steps) -> dict[str, Made]:
    table: dict[str, tuple[str, Callable[[int], Handle]]] = {
        "best_of_n": ("fine-tuned on the best of its own samples, in rounds", recipe.best_of_n),
        "offline": ("DPO on best and worst of the teachers' pool", recipe.offline),
        "offline_translationese": (
            "DPO on the teachers' pool and on native against translated answers",
            partial(recipe.offline, translationese=True),
        ),
        "online": ("DPO on its own samples, in rounds", lambda seed: recipe.online(recipe.start(seed), seed)[0]),
        "offline_online": (
            "half the offline steps, then half the online ones",
            lambda seed: _half_and_half(recipe, seed)[0],
        ),
        "recipe": ("the whole recipe: offline DPO, then the online rounds", lambda seed: _whole(recipe, seed)[0]),
        "rloo": ("RLOO on its own samples, in rounds", recipe.reinforced),
    }
    return {
        name: Made(f"merged model, {table[name][0]}", table[name][1], {"step": "preference", "data": name})
        for name in recipe.s.preference_arms
    }


def _half_and_half(recipe: Steps, seed: int) -> tuple[Handle, Handle]:
    """The sum of the steps is that of either alone."""
    return recipe.online(recipe.offline(seed, share=0.5), seed, share=0.5)


def _whole(recipe: Steps, seed: int) -> tuple[Handle, Handle]:
    return recipe.online(recipe.offline(seed), seed)


def _panels(recipe: Steps, arms: list[Arm]) -> Handle:
    """The stage that turns stored records into the report's charts."""
    settings, first = recipe.s, recipe.s.seeds[0]
    watched = {
        "online": lambda: recipe.online(recipe.start(first), first)[1],
        "offline_online": lambda: _half_and_half(recipe, first)[1],
        "recipe": lambda: _whole(recipe, first)[1],
    }
    names = {arm.name for arm in arms}
    config = PanelsConfig(
        arms=tuple(arm.name for arm in arms),
        ladder=tuple(name for name in LADDER if name in names),
        languages=settings.data.languages,
        seeds=settings.seeds,
        measure=settings.measure,
    )
    offline = [name for name in ("offline", "offline_translationese") if name in names]
    return panels(
        config,
        evaluations={f"{arm.name}@{seed}": arm.runs[seed]["evaluation"] for arm in arms for seed in settings.seeds},
        judged={f"{arm.name}@{seed}": arm.runs[seed]["evaluation-judged"] for arm in arms for seed in settings.seeds},
        routes={router: recipe.routed(router, first) for router in settings.routers},
        pool=recipe.pool,
        dev_pool=recipe.dev_pool,
        train_prompts=recipe.train_prompts,
        pairs={name: _arm(arms, name).labelled[first]["pairs-offline"] for name in offline},
        monitors={name: handle() for name, handle in watched.items() if name in names},
        prompts=recipe.tests["test"],
    )


def _arm(arms: list[Arm], name: str) -> Arm:
    return next(arm for arm in arms if arm.name == name)


STUDY = Study(
    name="aya-expanse",
    title="Aya Expanse: arbitrage, merging and preference training",
    question="How much do data arbitrage, merging and preference training each give, in which language, at what cost?",
    paper="Aya Expanse: Combining Research Breakthroughs for a New Multilingual Frontier (arXiv 2412.04261)",
    settings=AyaExpanse,
    build=build,
    contrasts=contrasts,
    claims=claims,
    ladder=steps,
    covers=("prompts", "post-training"),
    covers_note=(
        "Intervals cover the draw of test questions and of post-training seeds. They do not cover pre-training: all "
        "arms stand on one base model, one tokenizer, one set of teachers and one arbiter."
    ),
)
