"""The reward-critiques study as a graph of stages: pairs, bases, critiques, reward models, tests. Nothing runs here."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from paribus.lab import Handle, file_input
from paribus.studies.reward_critiques_settings import BaseName, RewardCritiques
from paribus.studies.stages.critiques import CriticConfig, CritiqueConfig, critic_examples, critique
from paribus.studies.stages.data import TokenizerConfig, tokenizer
from paribus.studies.stages.graded import (
    READER,
    TESTS,
    WORLD,
    GivenConfig,
    PartConfig,
    given_pairs,
    graded_data,
    part_of,
)
from paribus.studies.stages.models import (
    FinetuneConfig,
    HubModelConfig,
    PretrainConfig,
    Recipe,
    Shape,
    compute_test,
    finetune,
    hub_model,
    pretrain,
)
from paribus.studies.stages.preferences import PreferConfig, prefer
from paribus.studies.stages.readers import (
    ExamineConfig,
    GainConfig,
    ReaderConfig,
    Reads,
    examine_reader,
    gain,
    train_reader,
)
from paribus.studies.stages.trained_judges import JudgeConfig, examine_judge, train_judge

Examined = dict[int, Mapping[str, Handle]]
"""For each seed, an arm's outputs."""


class Steps:
    """Every method and property returns handles; what two arms need is made once and shared."""

    def __init__(self, settings: RewardCritiques) -> None:
        self.s = settings
        self.of_world = settings.data.pairs == WORLD

    # ---- What everything stands on ----------------------------------------------------------------------------------

    @cached_property
    def world(self) -> Handle:
        """Requests, answers and pairs of the embedded world."""
        return graded_data(self.s.data.graded, seed=self.s.base_seed, label="pairs")

    @cached_property
    def data(self) -> Handle:
        """Training and test pairs with their answers."""
        data = self.s.data
        if self.of_world:
            return self.world
        files = {
            name: file_input(source, label=f"{name}-file")
            for name, source in ((READER, data.pairs), (TESTS, data.tests))
            if Path(source).is_file()
        }
        config = GivenConfig(
            pairs="file" if READER in files else data.pairs,
            tests="file" if TESTS in files else data.tests,
            form=data.tests_form,
            most_pairs=max(self.s.sizes),
            most_tests=data.test_pairs,
        )
        return given_pairs(config, files=files, seed=self.s.base_seed, label="pairs")

    @cached_property
    def compute(self) -> Handle:
        """How this machine computes best, tested once."""
        return compute_test(label="compute")

    def base(self, name: BaseName) -> Handle:
        """What reward models start from."""
        bases = self.s.bases
        if name in bases.models:
            config = HubModelConfig(model=bases.models[name], parameters=bases.parameters[name])
            return hub_model(config, label="base")
        if name == "weak":
            return self._pretrained(bases.weak, bases.weak_recipe)
        strong = self._pretrained(bases.strong, bases.strong_recipe)
        if name == "strong":
            return strong
        return prefer(
            PreferConfig(recipe=bases.tuned_recipe, beta=bases.tuned_beta),
            model=strong,
            reference=strong,
            pairs=part_of(PartConfig(name="tuning"), data=self.world, label="base-pairs"),
            compute=self.compute,
            seed=self.s.base_seed,
            label="base-tuned",
        )

    def _pretrained(self, shape: Shape, recipe: Recipe) -> Handle:
        vocabulary = tokenizer(TokenizerConfig(vocab_size=self.s.data.vocabulary), corpus=self.world)
        return pretrain(
            PretrainConfig(shape=shape, recipe=recipe),
            corpus=self.world,
            tokenizer=vocabulary,
            compute=self.compute,
            seed=self.s.base_seed,
            label="base",
        )

    # ---- Critiques --------------------------------------------------------------------------------------------------

    def critiques(self, name: str) -> Handle:
        """What a critic writes about every answer, one answer at a time."""
        chosen = self.s.critics[name]
        model = self.trained_critic if chosen.kind == "trained" else None
        config = CritiqueConfig(critic=chosen, max_tokens=self.s.critique_tokens)
        return critique(config, data=self.data, model=model, seed=self.s.base_seed, label="critiques")

    @cached_property
    def trained_critic(self) -> Handle:
        """A model fine-tuned on a verifier's critiques of answers that no reward model sees."""
        examples = critic_examples(
            CriticConfig(accuracy=1.0, omission=0.0), data=self.world, seed=self.s.base_seed, label="critic-examples"
        )
        return finetune(
            FinetuneConfig(recipe=self.s.trained_critic),
            model=self.base("strong"),
            examples=examples,
            compute=self.compute,
            seed=self.s.base_seed,
            label="critic-model",
        )

    # ---- Reward models ----------------------------------------------------------------------------------------------

    def reader(
        self,
        size: int,
        seed: int,
        *,
        critic: str = "",
        base: BaseName = "strong",
        reads: Reads = "both",
        role: str = "",
    ) -> Handle:
        """A reward model trained on the first ``size`` of the seed's pairs, with a critic's critiques or without.

        ``role``: stands before its label where an arm has two of them."""
        return train_reader(
            ReaderConfig(
                recipe=self.s.reader,
                pairs=size,
                reads=reads if critic else _bare(reads),
                most_tokens=self.s.most_tokens,
            ),
            model=self.base(base),
            data=self.data,
            critiques=self.critiques(critic) if critic else None,
            compute=self.compute,
            seed=seed,
            label=f"{role}reader",
        )

    def examined(
        self,
        size: int,
        *,
        critic: str = "",
        base: BaseName = "strong",
        reads: Reads = "both",
        tested: Reads | None = None,
    ) -> Examined:
        """The reward models of all seeds on the test pairs; ``tested``: what they read there, where it differs."""
        return {
            seed: {"evaluation": self._examine(size, seed, critic, base, reads, tested or reads)}
            for seed in self.s.seeds
        }

    def _examine(
        self, size: int, seed: int, critic: str, base: BaseName, reads: Reads, tested: Reads, role: str = ""
    ) -> Handle:
        return examine_reader(
            ExamineConfig(
                reads=tested if critic else _bare(tested), most_tokens=self.s.most_tokens, edited=self.s.edited
            ),
            model=self.reader(size, seed, critic=critic, base=base, reads=reads, role=role),
            data=self.data,
            critiques=self.critiques(critic) if critic else None,
            label=f"{role}examine",
        )

    def gain(self, size: int, base: BaseName = "strong") -> Examined:
        """What the study's critic adds, pair by pair, from one base at one size."""
        found: Examined = {}
        for seed in self.s.seeds:
            given, bare = (
                self._examine(size, seed, critic, base, "both", "both", role)
                for critic, role in ((self.s.critic, "with-"), ("", "without-"))
            )
            handle = gain(GainConfig(measure="pair_accuracy"), given=given, bare=bare, label="gain")
            found[seed] = {"evaluation": handle}
        return found

    # ---- Generative judges ------------------------------------------------------------------------------------------

    def judged(self, *, critic: str = "") -> Examined:
        """A generative judge of all seeds on the test pairs, in both orders."""
        critiques = self.critiques(critic) if critic else None
        found: Examined = {}
        for seed in self.s.seeds:
            model = train_judge(
                JudgeConfig(recipe=self.s.judge, pairs=self.s.judge_pairs),
                model=self.base("strong"),
                data=self.data,
                critiques=critiques,
                compute=self.compute,
                seed=seed,
                label="judge",
            )
            tested = examine_judge(model=model, data=self.data, critiques=critiques, label="examine")
            found[seed] = {"evaluation": tested}
        return found


def _bare(reads: Reads) -> Reads:
    """Without critiques, what is read is the prompt and the answer, or the answer alone."""
    return reads if reads == "answer_only" else "both"
