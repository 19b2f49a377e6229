"""The Aya Expanse recipe as a graph of stages, step by step in the paper's order. Nothing runs here."""

from functools import cached_property
from pathlib import Path

from paribus.lab import Handle, file_input
from paribus.studies.aya_expanse_settings import WORLD, AyaExpanse, clusters
from paribus.studies.stages.arbitrage import ArbiterConfig, CompleteConfig, RouteConfig, complete, route, score
from paribus.studies.stages.data import CorpusConfig, PromptsConfig, TokenizerConfig, prompts, tokenizer, world_corpus
from paribus.studies.stages.evaluation import EvaluateConfig, evaluate, judge
from paribus.studies.stages.merging import (
    AverageConfig,
    MergeConfig,
    SearchConfig,
    average_run,
    merge_models,
    search_merge,
)
from paribus.studies.stages.models import (
    FinetuneConfig,
    HubModelConfig,
    PretrainConfig,
    Recipe,
    RewardConfig,
    compute_test,
    finetune,
    hub_model,
    pretrain,
    train_reward,
)
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


class Steps:
    """Every method and property returns handles; what two arms need is made once and shared."""

    def __init__(self, settings: AyaExpanse) -> None:
        self.s = settings
        self.clusters = clusters(settings)
        self.of_world = settings.data.prompts == WORLD

    # ---- What everything stands on: corpus, base, prompts, teachers, arbiter ----------------------------------------

    @cached_property
    def corpus(self) -> Handle:
        """The embedded world, written out."""
        data = self.s.data
        return world_corpus(
            CorpusConfig(languages=data.languages, tasks=data.tasks, numbers=data.numbers, per_cell=data.per_cell),
            label="corpus",
        )

    @cached_property
    def compute(self) -> Handle:
        """How this machine computes best, tested once."""
        return compute_test(label="compute")

    @cached_property
    def base(self) -> Handle:
        """The model that every arm starts from."""
        return self.started("base", self.s.base_seed)

    def started(self, label: str, seed: int) -> Handle:
        """A base model: one that exists, or one pre-trained here from this seed."""
        models = self.s.models
        if models.base:
            return hub_model(HubModelConfig(model=models.base, parameters=models.base_parameters), label=label)
        config = PretrainConfig(shape=models.shape, recipe=self.s.training.pretrain)
        vocabulary = tokenizer(TokenizerConfig(vocab_size=self.s.data.vocabulary), corpus=self.corpus)
        return pretrain(config, corpus=self.corpus, tokenizer=vocabulary, compute=self.compute, seed=seed, label=label)

    def prompts(self, label: str, count: int, *, split: str = "train", offset: int = 0) -> Handle:
        """A draw of prompts, ``count`` a language. Draws of one split with other offsets share none."""
        data = self.s.data
        source = data.tests if split in ("test", "recall") else data.prompts
        # A file is known by its bytes; a directory or a hub id by its name.
        label_of_file = "tests-file" if split in ("test", "recall") else "prompts-file"
        file = file_input(source, label=label_of_file) if Path(source).is_file() else None
        config = PromptsConfig(
            languages=data.languages,
            per_language=count,
            splits=(split,),
            source=source if file is None else "file",
            offset=offset,
        )
        corpus = self.corpus if source == WORLD else None
        return prompts(config, corpus=corpus, file=file, seed=self.s.base_seed, label=label)

    @cached_property
    def tests(self) -> dict[str, Handle]:
        """Held-out questions; of the world also questions whose facts were seen in training, as a set of its own."""
        data = self.s.data
        sets = {"test": self.prompts("test-prompts", data.test_prompts, split="test")}
        if data.tests == WORLD:
            sets["recall"] = self.prompts("recall-prompts", data.recall_prompts, split="recall")
        return sets

    @cached_property
    def train_prompts(self) -> Handle:
        """What the teachers answer for the students."""
        return self.prompts("train-prompts", self.s.data.train_prompts)

    @cached_property
    def dev_prompts(self) -> Handle:
        """What experts, the learned router and merge weights are chosen on."""
        data = self.s.data
        if self.of_world:
            return self.prompts("dev-prompts", data.dev_prompts, split="dev")
        return self.prompts("dev-prompts", data.dev_prompts, offset=self.round_offset(self.s.preferences.rounds + 1))

    def round_offset(self, number: int) -> int:
        """Where the prompts of online round ``number`` (from 1) begin; the ranges before belong to other uses."""
        data = self.s.data
        return data.train_prompts + data.rater_prompts + (number - 1) * data.round_prompts

    @cached_property
    def teachers(self) -> dict[str, Handle]:
        """Models that exist; or one a cluster, trained on its languages and the bridge ones, and a generalist.

        All teachers trained here take the same number of steps.
        """
        models = self.s.models
        if models.teachers:
            return {
                name: hub_model(
                    HubModelConfig(model=model, parameters=models.teacher_parameters), label=f"teacher-{name}"
                )
                for name, model in models.teachers.items()
            }
        named = {"generalist": self.s.data.languages, **self.clusters}
        return {
            name: finetune(
                FinetuneConfig(recipe=self.s.training.teacher, languages=languages),
                model=self.base,
                examples=self.corpus,
                compute=self.compute,
                seed=self.s.base_seed,
                label=f"teacher-{name}",
            )
            for name, languages in named.items()
        }

    @cached_property
    def registry(self) -> dict[str, tuple[str, ...]]:
        """Who may answer in which language."""
        return {name: self.s.models.registry.get(name, self.s.data.languages) for name in self.teachers}

    @cached_property
    def arbiter(self) -> Handle | None:
        """A reward model: one that exists, or one trained on rater pairs over prompts that nothing else uses."""
        if self.s.arbiter.kind == "gold":
            return None
        models, data, seed = self.s.models, self.s.data, self.s.base_seed
        if models.reward:
            config = HubModelConfig(model=models.reward, parameters=models.reward_parameters)
            return hub_model(config, label="arbiter")
        asked = self.prompts("rater-prompts", data.rater_prompts, offset=data.train_prompts)
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
            label="rater-pairs",
        )
        return train_reward(
            RewardConfig(recipe=self.s.training.reward),
            model=self.base,
            pairs=rated,
            compute=self.compute,
            seed=seed,
            label="arbiter",
        )

    # ---- Arbitrage --------------------------------------------------------------------------------------------------

    @cached_property
    def pool(self) -> Handle:
        """All teachers' answers to the training prompts, scored."""
        return self.answered("pool", self.train_prompts)

    @cached_property
    def dev_pool(self) -> Handle:
        """All teachers' answers to the development prompts, scored."""
        return self.answered("dev-pool", self.dev_prompts)

    @cached_property
    def true_pool(self) -> Handle:
        """The same answers to the training prompts, scored without a mistake."""
        return score(
            ArbiterConfig(kind="gold", noise=0.0),
            completions=self.answers("pool", self.train_prompts),
            prompts=self.train_prompts,
            seed=self.s.base_seed,
            label="pool",
        )

    def answered(self, label: str, asked: Handle) -> Handle:
        """Every teacher's answers, scored by the arbiter."""
        return self.scored(label, self.answers(label, asked), asked)

    def answers(self, label: str, asked: Handle) -> list[Handle]:
        """Every teacher answers, greedily, the prompts it may answer."""
        everything = self.s.data.languages
        return [
            complete(
                CompleteConfig(
                    name=name,
                    max_tokens=self.s.data.max_tokens,
                    languages=() if self.registry[name] == everything else self.registry[name],
                ),
                model=teacher,
                prompts=asked,
                seed=self.s.base_seed,
                label=f"{label}-{name}",
            )
            for name, teacher in self.teachers.items()
        ]

    def scored(self, label: str, answers: list[Handle], asked: Handle) -> Handle:
        """The arbiter's scores of some answers."""
        return score(
            self.s.arbiter, completions=answers, prompts=asked, reward=self.arbiter, seed=self.s.base_seed, label=label
        )

    def routed(self, router: str, seed: int, pool: Handle | None = None) -> Handle:
        """The router's choice as fine-tuning rows, from the arbiter's pool unless another is given."""
        return route(
            RouteConfig(router=router, registry=self.registry),  # type: ignore[arg-type]
            pool=pool or self.pool,
            prompts=self.train_prompts,
            dev_pool=self.dev_pool,
            dev_prompts=self.dev_prompts,
            seed=seed,
            label="route",
        )

    # ---- Fine-tuning and merging ------------------------------------------------------------------------------------

    def tuned(self, router: str, seed: int) -> Handle:
        """One student on all languages."""
        return self._joint(FinetuneConfig(recipe=self.s.training.student), self.routed(router, seed), seed)

    def tuned_on_truth(self, seed: int) -> Handle:
        """One student on what the reward router would pick if the arbiter made no mistake."""
        data = self.routed("reward", seed, self.true_pool)
        return self._joint(FinetuneConfig(recipe=self.s.training.student), data, seed)

    def tuned_long(self, seed: int) -> Handle:
        """One student on all languages for as many steps as all cluster students have together."""
        training = self.s.training
        recipe = training.cluster.scaled(len(self.clusters))
        config = FinetuneConfig(recipe=recipe, snapshots=training.snapshots)
        return self._joint(config, self.routed("reward", seed), seed)

    def _joint(self, config: FinetuneConfig, data: Handle, seed: int) -> Handle:
        return finetune(config, model=self.base, examples=data, compute=self.compute, seed=seed, label="sft")

    def cluster_models(self, seed: int) -> list[Handle]:
        """One student a cluster, each on its own share of the reward-routed data."""
        data = self.routed("reward", seed)
        return [
            finetune(
                FinetuneConfig(recipe=self.s.training.cluster, languages=languages),
                model=self.base,
                examples=data,
                compute=self.compute,
                seed=seed,
                label=f"sft-{name}",
            )
            for name, languages in self.clusters.items()
        ]

    def merged(self, method: str, seed: int) -> Handle:
        """The cluster students as one model, equal weights."""
        config = MergeConfig(method=method)  # type: ignore[arg-type]
        return merge_models(config, models=self.cluster_models(seed), base=self.base, seed=seed, label="merge")

    def merged_searched(self, seed: int) -> Handle:
        """The cluster students averaged with weights searched on the development prompts."""
        config = SearchConfig(rounds=self.s.search_rounds, max_tokens=self.s.data.max_tokens)
        return search_merge(
            config, models=self.cluster_models(seed), dev_prompts=self.dev_prompts, seed=seed, label="merge"
        )

    def averaged_run(self, seed: int) -> Handle:
        """The models that the long joint run left along its second half, averaged."""
        return average_run(AverageConfig(last=self.s.training.snapshots), run=self.tuned_long(seed), label="merge")

    def merged_strangers(self, seed: int) -> Handle:
        """Negative control: the base averaged with one trained alike from another initialisation."""
        stranger = self.started("stranger", self.s.base_seed + 1)
        return merge_models(MergeConfig(method="linear"), models=[self.base, stranger], seed=seed, label="merge")

    # ---- Preference training ----------------------------------------------------------------------------------------

    def start(self, seed: int) -> Handle:
        """What preference training starts from: the merged model, as in the paper."""
        return self.merged("linear", seed)

    def offline(self, seed: int, *, share: float = 1.0, translationese: bool = False) -> Handle:
        """DPO on best and worst of the teachers' pool, for ``share`` of the steps."""
        chosen = pairs(
            PairsConfig(translationese=translationese),
            pool=self.pool,
            prompts=self.train_prompts,
            seed=seed,
            label="pairs-offline",
        )
        recipe = self.s.preferences.offline.scaled(share)
        return self._preferred("dpo-offline", recipe, self.start(seed), self.start(seed), chosen, seed)

    def _preferred(
        self, label: str, recipe: Recipe, policy: Handle, reference: Handle, chosen: Handle, seed: int, number: int = 1
    ) -> Handle:
        preferences = self.s.preferences
        beta = preferences.beta * preferences.beta_growth ** (number - 1)
        config = PreferConfig(recipe=recipe, beta=beta, label_smoothing=preferences.label_smoothing)
        return prefer(
            config, model=policy, reference=reference, pairs=chosen, compute=self.compute, seed=seed, label=label
        )

    def sampled(self, policy: Handle, number: int, seed: int) -> tuple[Handle, Handle]:
        """Round ``number``'s prompts, and the policy's scored samples of them."""
        data, preferences = self.s.data, self.s.preferences
        asked = self.prompts(f"prompts-{number}", data.round_prompts, offset=self.round_offset(number))
        config = CompleteConfig(
            name="policy",
            samples=preferences.samples,
            temperature=preferences.temperature,
            max_tokens=data.max_tokens,
        )
        answers = complete(config, model=policy, prompts=asked, seed=seed, label=f"sample-{number}")
        return asked, self.scored(f"score-{number}", [answers], asked)

    def online(self, start: Handle, seed: int, *, share: float = 1.0) -> tuple[Handle, Handle]:
        """Iterated DPO: each round samples from the round before. Returns the policy and its monitors."""
        preferences, policy = self.s.preferences, start
        watched = WatchConfig(prompts=preferences.watched_prompts)
        asked_of, pools = [], []
        for number in range(1, preferences.rounds + 1):
            asked, pool = self.sampled(policy, number, seed)
            asked_of.append(asked)
            pools.append(pool)
            paired = pairs(PairsConfig(), pool=pool, prompts=asked, seed=seed, label=f"pairs-{number}")
            reference = policy if preferences.reference == "previous" else self.start(seed)
            recipe = preferences.round.scaled(share)
            policy = self._preferred(f"dpo-{number}", recipe, policy, reference, paired, seed, number)
        return policy, watch(watched, pools=pools, prompts=asked_of, start=self.start(seed), label="monitors")

    def reinforced(self, seed: int) -> Handle:
        """RLOO over the same rounds, prompts and samples as the online arm."""
        preferences, policy = self.s.preferences, self.start(seed)
        for number in range(1, preferences.rounds + 1):
            asked, pool = self.sampled(policy, number, seed)
            policy = reinforce(
                ReinforceConfig(
                    recipe=preferences.reinforce, samples=preferences.samples, kl_coefficient=preferences.kl_coefficient
                ),
                model=policy,
                reference=self.start(seed),
                pool=pool,
                prompts=asked,
                compute=self.compute,
                seed=seed,
                label=f"rloo-{number}",
            )
        return policy

    def best_of_n(self, seed: int) -> Handle:
        """Iterated fine-tuning on the best of the policy's own samples, over the online arm's rounds and prompts."""
        policy = self.start(seed)
        for number in range(1, self.s.preferences.rounds + 1):
            asked, pool = self.sampled(policy, number, seed)
            best = best_samples(pool=pool, prompts=asked, seed=seed, label=f"best-{number}")
            config = FinetuneConfig(recipe=self.s.preferences.best_of_n)
            policy = finetune(
                config, model=policy, examples=best, compute=self.compute, seed=seed, label=f"tune-{number}"
            )
        return policy

    # ---- Measurement ------------------------------------------------------------------------------------------------

    def examined(self, model: Handle, seed: int) -> dict[str, Handle]:
        """Graded answers, and games against the base."""
        examine = EvaluateConfig(max_tokens=self.s.data.max_tokens)
        own = evaluate(examine, model=model, prompts=self.tests, seed=seed)
        base = evaluate(examine, model=self.base, prompts=self.tests, seed=seed, label="evaluate-base")
        judged = judge(self.s.judge, answers=own, baseline=base, prompts=self.tests["test"], seed=seed)
        return {"model": model, "evaluation": own, "evaluation-judged": judged}
