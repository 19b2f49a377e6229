"""Aya Expanse (arXiv 2412.04261): data arbitrage, model merging and preference training, step by step on equal terms.

The recipe, in the paper's order:

1. A base model. Teachers, each strong in a group of languages (all share the bridge languages), and a generalist.
2. Arbitrage: every teacher answers every prompt it may answer, an arbiter scores, a router picks the training target.
3. Fine-tuning on the picked answers: one model on all languages, or one a cluster, merged into one.
4. Offline preference training on the best and worst of the same scored pool.
5. Online preference training: sample, score, pair, train, three rounds.

Every step is an arm, and so is what it must be compared with: cheaper routers, joint training for the merged models'
summed budget, fine-tuning on the best of n samples, a merge of models that share no ancestor.
"""

from collections.abc import Callable
from functools import partial

from paribus.errors import ConfigError
from paribus.lab import Arm, Arms, Handle, Study
from paribus.studies.aya_expanse_claims import claims, contrasts
from paribus.studies.aya_expanse_settings import AyaExpanse, clusters
from paribus.studies.stages.arbitrage import CompleteConfig, RouteConfig, complete, route, score
from paribus.studies.stages.data import CorpusConfig, PromptsConfig, TokenizerConfig, prompts, tokenizer, world_corpus
from paribus.studies.stages.evaluation import EvaluateConfig, evaluate, judge
from paribus.studies.stages.models import (
    FinetuneConfig,
    HubModelConfig,
    MergeConfig,
    PretrainConfig,
    Recipe,
    RewardConfig,
    finetune,
    hub_model,
    merge_models,
    pretrain,
    train_reward,
)
from paribus.studies.stages.panels import PanelsConfig, panels
from paribus.studies.stages.preferences import (
    PairsConfig,
    PreferConfig,
    RaterConfig,
    ReinforceConfig,
    WatchConfig,
    best_samples,
    pairs,
    prefer,
    rater_pairs,
    reinforce,
    watch,
)

LADDER = ("base", "reward", "merge_linear", "offline", "offline_online")
"""The recipe's steps as arms: base, arbitrage, merging, offline and then online preference training."""


class Recipes:
    """The graph, step by step. Every method returns handles; nothing runs here. Handles are made once and shared."""

    def __init__(self, settings: AyaExpanse) -> None:
        self.s = settings
        self.clusters = clusters(settings)
        data = settings.data
        self.corpus = world_corpus(
            CorpusConfig(languages=data.languages, tasks=data.tasks, numbers=data.numbers, per_cell=data.per_cell),
            label="corpus",
        )
        self.tokenizer = tokenizer(TokenizerConfig(vocab_size=data.vocabulary), corpus=self.corpus)
        self.base = self._base("base", settings.base_seed)
        self.tests = {
            "test": self._prompts("test-prompts", data.test_prompts, split="test"),
            "recall": self._prompts("recall-prompts", data.test_prompts, split="recall"),
        }
        self.train_prompts = self._prompts("train-prompts", data.train_prompts)
        self.dev_prompts = self._prompts("dev-prompts", data.dev_prompts, split="dev")
        self.arbiter = self._arbiter()
        self.teachers = self._teachers()
        self.pool = self._pool("pool", self.train_prompts)
        self.dev_pool = self._pool("dev-pool", self.dev_prompts)

    # 1. Base, teachers, arbiter

    def _base(self, label: str, seed: int) -> Handle:
        models = self.s.models
        if models.base:
            return hub_model(HubModelConfig(model=models.base, parameters=models.base_parameters), label=label)
        config = PretrainConfig(shape=models.shape, recipe=self.s.training.pretrain)
        return pretrain(config, corpus=self.corpus, tokenizer=self.tokenizer, seed=seed, label=label)

    def _prompts(self, label: str, count: int, *, split: str = "train", offset: int = 0) -> Handle:
        config = PromptsConfig(languages=self.s.data.languages, per_language=count, splits=(split,), offset=offset)
        return prompts(config, corpus=self.corpus, seed=self.s.base_seed, label=label)

    def _teachers(self) -> dict[str, Handle]:
        """One teacher a cluster, trained on its languages and the bridge languages, and a generalist; equal steps."""
        named = {"generalist": self.s.data.languages, **self.clusters}
        return {
            name: finetune(
                FinetuneConfig(recipe=self.s.training.teacher, languages=languages),
                model=self.base,
                examples=self.corpus,
                seed=self.s.base_seed,
                label=f"teacher-{name}",
            )
            for name, languages in named.items()
        }

    def _arbiter(self) -> Handle | None:
        """The reward model, trained on rater pairs over prompts that nothing else uses."""
        if self.s.arbiter.kind == "gold":
            return None
        data, seed = self.s.data, self.s.base_seed
        asked = self._prompts("rater-prompts", data.rater_prompts, offset=data.train_prompts)
        sampled = complete(
            CompleteConfig(name="base", samples=4, temperature=1.0, max_tokens=data.max_tokens),
            model=self.base,
            prompts=asked,
            seed=seed,
            label="rater-samples",
        )
        rated = rater_pairs(
            RaterConfig(noise=self.s.training.reward_noise),
            corpus=self.corpus,
            prompts=asked,
            completions=sampled,
            seed=seed,
        )
        return train_reward(
            RewardConfig(recipe=self.s.training.reward), model=self.base, pairs=rated, seed=seed, label="arbiter"
        )

    # 2. Arbitrage

    def _pool(self, label: str, asked: Handle) -> Handle:
        """Every teacher answers every prompt, greedily; the arbiter scores all answers."""
        answers = [
            complete(
                CompleteConfig(name=name, max_tokens=self.s.data.max_tokens),
                model=teacher,
                prompts=asked,
                seed=self.s.base_seed,
                label=f"{label}-{name}",
            )
            for name, teacher in self.teachers.items()
        ]
        return self._scored(label, answers, asked)

    def _scored(self, label: str, answers: list[Handle], asked: Handle) -> Handle:
        return score(
            self.s.arbiter, completions=answers, prompts=asked, reward=self.arbiter, seed=self.s.base_seed, label=label
        )

    def routed(self, router: str, seed: int) -> Handle:
        """The router's choice as fine-tuning rows."""
        registry = dict.fromkeys(self.teachers, self.s.data.languages)
        return route(
            RouteConfig(router=router, registry=registry),  # type: ignore[arg-type]
            pool=self.pool,
            prompts=self.train_prompts,
            dev_pool=self.dev_pool,
            dev_prompts=self.dev_prompts,
            seed=seed,
        )

    # 3. Fine-tuning and merging

    def tuned(self, router: str, seed: int, recipe: Recipe | None = None) -> Handle:
        """One student on all languages."""
        config = FinetuneConfig(recipe=recipe or self.s.training.student)
        return finetune(config, model=self.base, examples=self.routed(router, seed), seed=seed, label="sft")

    def cluster_models(self, seed: int) -> list[Handle]:
        """One student a cluster, each on its own share of the reward-routed data."""
        data = self.routed("reward", seed)
        return [
            finetune(
                FinetuneConfig(recipe=self.s.training.cluster, languages=languages),
                model=self.base,
                examples=data,
                seed=seed,
                label=f"sft-{name}",
            )
            for name, languages in self.clusters.items()
        ]

    def merged(self, method: str, seed: int) -> Handle:
        """The cluster students as one model, equal weights."""
        config = MergeConfig(method=method)  # type: ignore[arg-type]
        return merge_models(config, models=self.cluster_models(seed), base=self.base, seed=seed, label="merge")

    def merged_strangers(self, seed: int) -> Handle:
        """Negative control: the base averaged with one trained alike from another initialisation."""
        stranger = self._base("stranger", self.s.base_seed + 1)
        return merge_models(MergeConfig(method="linear"), models=[self.base, stranger], seed=seed, label="merge")

    def joint_budget(self) -> Recipe:
        """Joint training for as many steps as all cluster models had together."""
        return self.s.training.cluster.scaled(len(self.clusters))

    # 4. and 5. Preference training

    def offline(self, start: Handle, seed: int, share: float = 1.0) -> Handle:
        """DPO on best and worst of the teachers' pool."""
        chosen = pairs(
            PairsConfig(translationese=self.s.preferences.translationese),
            pool=self.pool,
            prompts=self.train_prompts,
            seed=seed,
            label="pairs-offline",
        )
        config = PreferConfig(recipe=self.s.preferences.offline.scaled(share), beta=self.s.preferences.beta)
        return prefer(config, model=start, reference=start, pairs=chosen, seed=seed, label="dpo-offline")

    def sampled(self, policy: Handle, number: int, seed: int) -> tuple[Handle, Handle]:
        """Round ``number``'s prompts, and the policy's scored samples of them."""
        data, preferences = self.s.data, self.s.preferences
        offset = data.train_prompts + data.rater_prompts + (number - 1) * data.round_prompts
        asked = self._prompts(f"prompts-{number}", data.round_prompts, offset=offset)
        answers = complete(
            CompleteConfig(
                name="policy",
                samples=preferences.samples,
                temperature=preferences.temperature,
                max_tokens=data.max_tokens,
            ),
            model=policy,
            prompts=asked,
            seed=seed,
            label=f"sample-{number}",
        )
        return asked, self._scored(f"score-{number}", [answers], asked)

    def online(self, start: Handle, reference: Handle, seed: int, share: float = 1.0) -> tuple[Handle, Handle]:
        """Iterated DPO: each round samples from the round before. Returns the policy and its monitors."""
        preferences, policy = self.s.preferences, start
        asked_of, pools = [], []
        for number in range(1, preferences.rounds + 1):
            asked, pool = self.sampled(policy, number, seed)
            asked_of.append(asked)
            pools.append(pool)
            paired = pairs(PairsConfig(), pool=pool, prompts=asked, seed=seed, label=f"pairs-{number}")
            beta = preferences.beta * preferences.beta_growth ** (number - 1)
            config = PreferConfig(recipe=preferences.round.scaled(share), beta=beta)
            policy = prefer(config, model=policy, reference=policy, pairs=paired, seed=seed, label=f"dpo-{number}")
        return policy, watch(WatchConfig(), pools=pools, prompts=asked_of, start=reference, label="monitors")

    def reinforced(self, start: Handle, seed: int) -> Handle:
        """RLOO over the same rounds, prompts and samples as the online arm."""
        preferences, policy = self.s.preferences, start
        for number in range(1, preferences.rounds + 1):
            asked, pool = self.sampled(policy, number, seed)
            config = ReinforceConfig(
                recipe=preferences.reinforce, samples=preferences.samples, kl_coefficient=preferences.kl_coefficient
            )
            policy = reinforce(
                config, model=policy, reference=start, pool=pool, prompts=asked, seed=seed, label=f"rloo-{number}"
            )
        return policy

    def best_of_n(self, start: Handle, seed: int) -> Handle:
        """Iterated fine-tuning on the best of the policy's own samples, over the same rounds and prompts as the online arm."""
        policy = start
        for number in range(1, self.s.preferences.rounds + 1):
            asked, pool = self.sampled(policy, number, seed)
            best = best_samples(pool=pool, prompts=asked, seed=seed, label=f"best-{number}")
            config = FinetuneConfig(recipe=self.s.preferences.best_of_n)
            policy = finetune(config, model=policy, examples=best, seed=seed, label=f"tune-{number}")
        return policy

    # Measurement

    def examined(self, model: Handle, seed: int) -> dict[str, Handle]:
        """Graded answers, and games against the base."""
        examine = EvaluateConfig(max_tokens=self.s.data.max_tokens)
        own = evaluate(examine, model=model, prompts=self.tests, seed=seed)
        base = evaluate(examine, model=self.base, prompts=self.tests, seed=seed, label="evaluate-base")
        judged = judge(self.s.judge, answers=own, baseline=base, prompts=self.tests["test"], seed=seed)
        return {"model": model, "evaluation": own, "evaluation-judged": judged}


def build(settings: AyaExpanse) -> Arms:
    """All arms of the study for all seeds, and the stage that draws their panels."""
    _check(settings)
    recipes = Recipes(settings)
    arms = []
    for name, (description, make, factors) in _makers(recipes).items():
        runs = {seed: recipes.examined(make(seed), seed) for seed in settings.seeds}
        arms.append(Arm(name, description, runs, factors=factors))
    return Arms(arms, panels=[_panels(recipes, arms)])


def _check(settings: AyaExpanse) -> None:
    """The arbiter chose the training data, so it must not mark the result."""
    if settings.arbiter.kind == "reward" and settings.models.reward and settings.judge.endpoint_model:
        from paribus.feedback.arbiters import ensure_distinct

        ensure_distinct(settings.models.reward, settings.judge.endpoint_model)
    if "reward" not in settings.routers:
        raise ConfigError("routers lacks 'reward', whose data the merging and preference arms stand on; add it.")


Maker = Callable[[int], Handle]


def _makers(recipes: Recipes) -> dict[str, tuple[str, Maker, dict[str, str]]]:
    """Arm name to its description, how its model is made for a seed, and its factors."""
    settings = recipes.s
    makers: dict[str, tuple[str, Maker, dict[str, str]]] = {
        "base": ("the base model, before any of the steps", lambda seed: recipes.base, {"step": "base"})
    }
    for router in settings.routers:
        makers[router] = (
            f"fine-tuned on answers picked by the {router} router",
            partial(recipes.tuned, router),
            {"step": "arbitrage", "router": router},
        )
    makers["joint_long"] = (
        "fine-tuned on reward-routed answers of all languages for the summed budget of the cluster models",
        lambda seed: recipes.tuned("reward", seed, recipes.joint_budget()),
        {"step": "merging", "method": "none (joint)"},
    )
    for method in settings.methods:
        makers[f"merge_{method}"] = (
            f"cluster models merged by {method}",
            partial(recipes.merged, method),
            {"step": "merging", "method": method},
        )
    if settings.control:
        makers["merge_strangers"] = (
            "negative control: two base models without a common ancestor, averaged",
            recipes.merged_strangers,
            {"step": "merging", "method": "linear, no ancestor"},
        )
    for name in settings.preference_arms:
        makers[name] = (
            *_PREFERENCE[name][:1],
            partial(_PREFERENCE[name][1], recipes),
            {"step": "preference", "data": name},
        )
    return makers


def _start(recipes: Recipes, seed: int) -> Handle:
    """What preference training starts from: the merged model, as in the paper."""
    return recipes.merged("linear", seed)


def _offline_then_online(recipes: Recipes, seed: int) -> Handle:
    """Half the steps of each, so that the sum is that of either alone."""
    start = _start(recipes, seed)
    return recipes.online(recipes.offline(start, seed, 0.5), start, seed, 0.5)[0]


_PREFERENCE: dict[str, tuple[str, Callable[[Recipes, int], Handle]]] = {
    "best_of_n": (
        "merged model, fine-tuned on the best of its own samples, in rounds",
        lambda recipes, seed: recipes.best_of_n(_start(recipes, seed), seed),
    ),
    "offline": (
        "merged model, DPO on best and worst of the teachers' pool",
        lambda recipes, seed: recipes.offline(_start(recipes, seed), seed),
    ),
    "online": (
        "merged model, DPO on its own samples, in rounds",
        lambda recipes, seed: recipes.online(_start(recipes, seed), _start(recipes, seed), seed)[0],
    ),
    "offline_online": ("merged model, half the offline steps and then half the online ones", _offline_then_online),
    "rloo": (
        "merged model, RLOO on its own samples, in rounds",
        lambda recipes, seed: recipes.reinforced(_start(recipes, seed), seed),
    ),
}


def _panels(recipes: Recipes, arms: list[Arm]) -> Handle:
    """The stage that turns stored records into the report's charts."""
    settings = recipes.s
    first = settings.seeds[0]
    start = _start(recipes, first)
    monitors = {}
    if "online" in settings.preference_arms:
        monitors["online"] = recipes.online(start, start, first)[1]
    if "offline_online" in settings.preference_arms:
        monitors["offline_online"] = recipes.online(recipes.offline(start, first, 0.5), start, first, 0.5)[1]
    ladder = tuple(name for name in LADDER if name in {arm.name for arm in arms})
    config = PanelsConfig(ladder=ladder, languages=settings.data.languages, seeds=settings.seeds)
    return panels(
        config,
        evaluations={f"{arm.name}@{seed}": arm.runs[seed]["evaluation"] for arm in arms for seed in settings.seeds},
        judged={f"{arm.name}@{seed}": arm.runs[seed]["evaluation-judged"] for arm in arms for seed in settings.seeds},
        routes={router: recipes.routed(router, first) for router in settings.routers},
        pool=recipes.pool,
        pairs=_pair_stages(recipes, first),
        monitors=monitors,
        prompts=recipes.tests["test"],
    )


def _pair_stages(recipes: Recipes, seed: int) -> dict[str, Handle]:
    if "offline" not in recipes.s.preference_arms:
        return {}
    return {"offline": recipes.offline(_start(recipes, seed), seed).inputs["pairs"]}


STUDY = Study(
    name="aya-expanse",
    title="Aya Expanse: arbitrage, merging and preference training",
    question="How much do data arbitrage, model merging and preference training each give, in which language, at what cost?",
    paper="Aya Expanse: Combining Research Breakthroughs for a New Multilingual Frontier (arXiv 2412.04261)",
    settings=AyaExpanse,
    build=build,
    contrasts=contrasts,
    claims=claims,
    covers=("prompts", "post-training"),
    covers_note=(
        "Intervals cover the draw of test questions and of post-training seeds. They do not cover pre-training: all arms "
        "stand on one base model, one tokenizer, one set of teachers and one arbiter."
    ),
)
