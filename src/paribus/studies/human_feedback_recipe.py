"""The human-feedback study as a graph of stages: outputs, forms, ratings, audits, reward models. Nothing runs here."""

from collections.abc import Mapping
from functools import cached_property

from paribus.lab import Handle, file_input
from paribus.studies.human_feedback_settings import HumanFeedback
from paribus.studies.stages.annotation import (
    OutputsConfig,
    answer_inputs,
    crowd_ratings,
    expert_labels,
    feedback_corpus,
    feedback_forms,
    machine_ratings,
)
from paribus.studies.stages.annotation_measures import (
    GapsConfig,
    SystemConfigName,
    WeightsConfig,
    examine_labels,
    examine_system,
    examine_weights,
)
from paribus.studies.stages.data import TokenizerConfig, tokenizer
from paribus.studies.stages.models import (
    FinetuneConfig,
    HubModelConfig,
    PretrainConfig,
    compute_test,
    finetune,
    hub_model,
    pretrain,
)
from paribus.studies.stages.optimisation import FeedbackPairsConfig, PicksConfig, examine_picks, feedback_pairs
from paribus.studies.stages.panels_ratings import GivenRatingsConfig, audit_given
from paribus.studies.stages.policies import PolicyTestConfig, SampleConfig, examine_policy, pick_samples
from paribus.studies.stages.readers import ReaderConfig, train_reader

Examined = dict[int, Mapping[str, Handle]]
"""For each seed, an arm's outputs."""

TRUTH, RANDOM = "truth", "random"
"""Beside the raters: pairs by true quality, and picks without a reward model."""


class Steps:
    """Every method and property returns handles; what two arms need is made once and shared."""

    def __init__(self, settings: HumanFeedback) -> None:
        self.s = settings

    # ---- What is rated ----------------------------------------------------------------------------------------------

    @cached_property
    def outputs(self) -> Handle:
        """Inputs with their outputs, and test requests with many answers each."""
        s = self.s
        config = OutputsConfig(inputs=s.inputs, systems=s.systems, max_tokens=s.output_tokens)
        return answer_inputs(config, seed=s.base_seed, label="outputs")

    @cached_property
    def forms(self) -> Handle:
        """Outputs side by side, as raters see them."""
        return feedback_forms(self.s.forms, outputs=self.outputs, seed=self.s.base_seed, label="forms")

    @cached_property
    def experts(self) -> Handle:
        """The truth."""
        return expert_labels(outputs=self.outputs, forms=self.forms, label="experts")

    def ratings(self, condition: str, seed: int) -> Handle:
        """What the raters of a condition say."""
        outputs, forms = self.outputs, self.forms
        if condition == "machine":
            return machine_ratings(self.s.machine, outputs=outputs, forms=forms, seed=seed, label="ratings")
        crowd = self.s.crowd if condition == "crowd" else self.s.crowd.unbiased()
        return crowd_ratings(crowd, outputs=outputs, forms=forms, seed=seed, label="ratings")

    # ---- Ratings against the truth ----------------------------------------------------------------------------------

    def under(self, condition: str, preamble: str) -> Examined:
        """Labels against experts' under one preamble."""
        return {
            seed: {
                "evaluation": examine_labels(
                    GapsConfig(preamble=preamble),
                    ratings=self.ratings(condition, seed),
                    experts=self.experts,
                    label="examine",
                )
            }
            for seed in self.s.seeds
        }

    def system(self, condition: str, name: str) -> Examined:
        """How one system's outputs are rated."""
        config = SystemConfigName(system=name, systems=tuple(system.name for system in self.s.systems))
        return {
            seed: {
                "evaluation": examine_system(
                    config, ratings=self.ratings(condition, seed), experts=self.experts, label="examine"
                )
            }
            for seed in self.s.seeds
        }

    def weights(self, condition: str, *, shuffled: bool = False) -> Examined:
        """What the Lasso finds of the planted weights."""
        config = WeightsConfig(planted=self.planted(condition), alpha=self.s.alpha, shuffled=shuffled)
        return {
            seed: {
                "evaluation": examine_weights(
                    config, ratings=self.ratings(condition, seed), experts=self.experts, seed=seed, label="examine"
                )
            }
            for seed in self.s.seeds
        }

    def planted(self, condition: str) -> dict[str, float]:
        """What errors cost the raters of a condition; nothing is known of a served one."""
        if condition == "machine":
            return self.s.machine.like.weights if self.s.machine.kind == "rules" else {}
        return self.s.crowd.weights

    # ---- Optimising against ratings ---------------------------------------------------------------------------------

    @cached_property
    def corpus(self) -> Handle:
        """Right answers in every style."""
        return feedback_corpus(self.s.inputs, seed=self.s.base_seed, label="corpus")

    @cached_property
    def compute(self) -> Handle:
        """How this machine computes best, tested once."""
        return compute_test(label="compute")

    @cached_property
    def base(self) -> Handle:
        """What reward models start from."""
        base = self.s.base
        if base.model:
            return hub_model(HubModelConfig(model=base.model, parameters=base.parameters), label="base")
        return pretrain(
            PretrainConfig(shape=base.shape, recipe=base.recipe),
            corpus=self.corpus,
            tokenizer=tokenizer(TokenizerConfig(vocab_size=base.vocabulary), corpus=self.corpus),
            compute=self.compute,
            seed=self.s.base_seed,
            label="base",
        )

    def pairs(self, by: str, seed: int) -> Handle:
        """Preference pairs of what raters said, or of the truth."""
        config = FeedbackPairsConfig(by="truth" if by == TRUTH else "scores")
        ratings = None if by == TRUTH else self.ratings(by, seed)
        return feedback_pairs(config, outputs=self.outputs, forms=self.forms, ratings=ratings, label="pairs")

    def reward(self, by: str, seed: int) -> Handle:
        """A reward model of such pairs."""
        chosen = self.s.optimisation
        return train_reader(
            ReaderConfig(recipe=chosen.recipe, pairs=chosen.pairs, most_tokens=chosen.most_tokens),
            model=self.base,
            data=self.pairs(by, seed),
            compute=self.compute,
            seed=seed,
            label="reward",
        )

    def picked(self, by: str) -> Examined:
        """The best of n answers by a reward model, or by chance."""
        chosen = self.s.optimisation
        config = PicksConfig(sizes=chosen.sizes, most_tokens=chosen.most_tokens)
        return {
            seed: {
                "evaluation": examine_picks(
                    config,
                    outputs=self.outputs,
                    model=None if by == RANDOM else self.reward(by, seed),
                    label="picks",
                )
            }
            for seed in self.s.seeds
        }

    def policy(self, by: str, seed: int, rounds: int) -> Handle:
        """The base after some rounds of training on what a reward model picks from its own answers."""
        if rounds == 0:
            return self.base
        before, chosen = self.policy(by, seed, rounds - 1), self.s.rounds
        config = SampleConfig(
            prompts=chosen.prompts,
            offset=(rounds - 1) * chosen.prompts,
            samples=chosen.samples,
            max_tokens=chosen.max_tokens,
            most_tokens=self.s.optimisation.most_tokens,
        )
        examples = pick_samples(
            config,
            policy=before,
            reward=self.reward(by, seed),
            outputs=self.outputs,
            seed=seed,
            label=f"samples-{rounds}",
        )
        return finetune(
            FinetuneConfig(recipe=chosen.recipe),
            model=before,
            examples=examples,
            compute=self.compute,
            seed=seed,
            label=f"policy-{rounds}",
        )

    def trained(self, by: str, seed: int, rounds: int) -> Handle:
        """What such a policy answers."""
        return examine_policy(
            PolicyTestConfig(inputs=self.s.inputs, max_tokens=self.s.rounds.max_tokens),
            policy=self.policy(by, seed, rounds),
            outputs=self.outputs,
            seed=seed,
            label="answers",
        )

    def policies(self, by: str) -> Examined:
        """Policies after all rounds."""
        return {seed: {"evaluation": self.trained(by, seed, self.s.rounds.count)} for seed in self.s.seeds}

    # ---- Files of real ratings --------------------------------------------------------------------------------------

    @cached_property
    def given(self) -> Handle:
        """The audit of the files that the settings name."""
        experts = file_input(self.s.experts, label="experts-file") if self.s.experts else None
        files = [file_input(path, label=f"ratings-file-{number}") for number, path in enumerate(self.s.ratings)]
        return audit_given(GivenRatingsConfig(alpha=self.s.alpha), ratings=files, experts=experts, label="given")
