"""The in-context study as a graph of stages: sweep a learning rate, train the seeds, examine; learners; a language
model's body. Nothing runs here."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from paribus.lab import Handle
from paribus.studies.icl_discrete_settings import Architecture, ClassName, IclDiscrete
from paribus.studies.stages.documents import (
    DocumentTokenizerConfig,
    DomainCorpusConfig,
    document_tokenizer,
    domain_corpus,
)
from paribus.studies.stages.incontext import (
    DirectConfig,
    DirectLearnerConfig,
    ExamineLearnerConfig,
    ExaminePromptsConfig,
    Kind,
    LearnerName,
    ask_directly,
    ask_learner,
    examine_learner,
    examine_prompts,
)
from paribus.studies.stages.language_modelling import PretrainDocumentsConfig, pretrain_documents
from paribus.studies.stages.models import HubModelConfig, dense_shape, hub_model
from paribus.studies.stages.problems import Draws, Heads, Network, PromptProblem, with_parameters
from paribus.studies.stages.sequences import SequenceConfig, SequenceRecipe, sweep_of, trained

BODY_SEED = 0
DOMAINS = ("general", "code", "law", "math")

Examined = dict[int, Mapping[str, Handle]]


class Steps:
    """Every method and property returns handles, or configs of them."""

    def __init__(self, settings: IclDiscrete) -> None:
        self.s = settings

    def problem(self, name: ClassName, **draws: Any) -> PromptProblem:
        """A class with the study's sizes, and how its training prompts are drawn."""
        dimensions, points = self.s.sizes(name)
        settings: dict[ClassName, dict[str, float]] = {
            "nearest_neighbour": {"start": self.known(name)},
            "sparse_parity": {"size": self.s.parity_size},
        }
        noise, pool = self.s.label_noise, 0 if name == "nearest_neighbour" else self.s.pool
        return PromptProblem(
            name=name,
            dimensions=dimensions,
            points=points,
            longest=self.longest(name),
            settings=settings.get(name, {}),
            draws=Draws(**{"label_noise": noise, "pool": pool, **draws}),
        )

    def known(self, name: ClassName) -> int:
        """Points of a prompt whose labels follow no rule yet."""
        return max(1, round(self.s.known * self.s.sizes(name)[1])) if name == "nearest_neighbour" else 0

    def recipe(self, name: ClassName) -> SequenceRecipe:
        """How long a class is trained: the same for all of its arms."""
        return self.s.recipe.model_copy(update={"steps": self.s.steps.get(name, self.s.recipe.steps)})

    def longest(self, name: ClassName) -> int:
        """Points of the longest test prompts."""
        return round(self.s.longest * self.s.sizes(name)[1])

    def network(self, architecture: Architecture, name: ClassName) -> Network:
        """An architecture's network for a class, with as many parameters as the Transformer has."""
        problem = self.problem(name)
        reference = self._network("transformer")
        return with_parameters(self._network(architecture), problem, reference.shape(problem).parameters)

    def _network(self, architecture: Architecture) -> Network:
        return Network(
            mixer="attention" if architecture == "transformer" else architecture,
            layers=self.s.layers,
            width=self.s.width,
            heads=self.s.heads,
            ffn_size=4 * self.s.width,
            state_size=self.s.state_size,
            initializer_range=self.s.initializer_range or self.s.width**-0.5,
        )

    # ---- Training ----------------------------------------------------------------------------------------------------

    def run(self, architecture: Architecture, name: ClassName, teaching: float = 0.0) -> SequenceConfig:
        """What is trained on what, and how; ``teaching``: share of prompts that begin with a teaching sequence."""
        problem = self.problem(name, teaching=teaching) if teaching else self.problem(name)
        return SequenceConfig(problem=problem, network=self.network(architecture, name), recipe=self.recipe(name))

    def sweep(self, run: SequenceConfig, name: ClassName) -> Handle:
        """The choice of a learning rate. Taught networks take that of plain prompts: only their data differ."""
        plain = run.model_copy(update={"problem": self.problem(name)})
        return sweep_of(plain, name, self._body_of(run))

    def model(self, run: SequenceConfig, name: ClassName, seed: int) -> Handle:
        """A trained network."""
        body = self._body_of(run)
        together = self.s.seeds if self.s.together and body is None else ()
        return trained(run, name, seed, sweep=self.sweep(run, name), together=together, body=body)

    def _body_of(self, run: SequenceConfig) -> Handle | None:
        return self.body if isinstance(run.network, Heads) else None

    # ---- A language model, and heads around its body -----------------------------------------------------------------

    @cached_property
    def body(self) -> Handle:
        """The language model whose body is tried: one that exists, or one pre-trained on the embedded world."""
        body = self.s.body
        if body.model:
            return hub_model(HubModelConfig(model=body.model, parameters=body.parameters), label="body")
        config = PretrainDocumentsConfig(
            shape=body.shape, recipe=body.recipe, shares=dict.fromkeys(DOMAINS, 1 / len(DOMAINS))
        )
        return pretrain_documents(config, corpus=self.corpus, tokenizer=self.tokenizer, seed=BODY_SEED, label="body")

    @cached_property
    def corpus(self) -> Handle:
        """Documents of the embedded world."""
        body = self.s.body
        config = DomainCorpusConfig(
            languages=body.languages,
            domains=DOMAINS,
            train_documents=body.documents,
            test_documents=1,
            questions=0,
        )
        return domain_corpus(config, seed=BODY_SEED, label="corpus")

    @cached_property
    def tokenizer(self) -> Handle:
        """A vocabulary for them."""
        return document_tokenizer(
            DocumentTokenizerConfig(vocab_size=self.s.body.vocabulary), corpus=self.corpus, label="tokenizer"
        )

    def heads(self, name: ClassName, *, pretrained: bool) -> SequenceConfig:
        """Heads around the body, to be trained on a class."""
        body = self.s.body
        parameters = body.parameters or dense_shape(body.shape, body.vocabulary).total_parameters
        network = Heads(
            pretrained=pretrained, freeze=body.freeze, head_width=body.head_width, body_parameters=parameters
        )
        return SequenceConfig(problem=self.problem(name), network=network, recipe=self.recipe(name))

    # ---- Measures ----------------------------------------------------------------------------------------------------

    def examined(self, runs: Mapping[ClassName, SequenceConfig]) -> Examined:
        """For each seed, a run's examination on each class; on the taught class also on taught prompts."""
        return {
            seed: {
                f"evaluation-{name}": examine_prompts(
                    self.examination(name), model=self.model(run, name, seed), label=f"{name}-examine"
                )
                for name, run in runs.items()
            }
            for seed in self.s.seeds
        }

    def examination(self, name: ClassName) -> ExaminePromptsConfig:
        """Test prompts of a class: plain, with points shifted, with noisy labels, longer; and taught ones.

        Functions of a trained pool are left out at test.
        """
        held_out: dict[str, Any] = (
            {"pool": self.s.pool, "held_out": True} if self.s.pool and name != "nearest_neighbour" else {}
        )
        kinds = {
            "plain": Draws(**held_out),
            "shifted points": Draws(bit_probability=self.s.bit_probability, **held_out),
            "noisy labels": Draws(label_noise=0.1, **held_out),
        }
        measured: dict[str, str] = {"plain": name}
        if name == self.s.teaching.name:
            kinds |= self.taught(held_out)
            measured["taught"] = f"{name}_taught"
        return ExaminePromptsConfig(
            problem=self.problem(name),
            kinds=(
                *(Kind(name=kind, draws=draws) for kind, draws in kinds.items()),
                Kind(name="longer prompts", draws=Draws(**held_out), points=self.longest(name)),
            ),
            measured=measured,
            prompts=self.s.prompts,
            first=self.known(name),
        )

    def taught(self, further: Mapping[str, Any]) -> dict[str, Draws]:
        """Prompts that begin with a teaching sequence, as built and spoilt in three ways."""
        teaching = self.s.teaching
        return {
            "taught": Draws(teaching=1.0, **further),
            "taught, shuffled": Draws(teaching=1.0, order="shuffled", **further),
            "taught, truncated": Draws(teaching=1.0, kept=teaching.kept, **further),
            "taught, corrupted": Draws(teaching=1.0, corruption=teaching.corruption, **further),
        }

    def learner(self, learner: LearnerName) -> Examined:
        """A rule's examinations; it has no seed, so every seed has the same ones."""
        made = {
            f"evaluation-{name}": examine_learner(
                ExamineLearnerConfig(**dict(self.examination(name)), learner=learner), label=f"{name}-learner"
            )
            for name in self.s.classes
        }
        for name in self.s.direct.classes:
            config = DirectLearnerConfig(**dict(self.direct(name)), learner=learner)
            made[f"evaluation-direct-{name}"] = ask_learner(config, label=f"{name}-asked-learner")
        return dict.fromkeys(self.s.seeds, made)

    def asked(self) -> Examined:
        """A language model's answers in text; one model, whatever the seed."""
        model = self.body
        if self.s.direct.model:
            # Its size is not needed to price reading a few prompts.
            model = hub_model(HubModelConfig(model=self.s.direct.model, parameters=0), label="language-model")
        made = {
            f"evaluation-direct-{name}": ask_directly(self.direct(name), model=model, label=f"{name}-asked")
            for name in self.s.direct.classes
        }
        return dict.fromkeys(self.s.seeds, made)

    def direct(self, name: ClassName) -> DirectConfig:
        """Questions in text about a class."""
        direct = self.s.direct
        problem = self.problem(name).model_copy(
            update={"dimensions": direct.dimensions, "points": direct.examples + 1, "draws": Draws()}
        )
        return DirectConfig(problem=problem, functions=direct.functions, every=direct.every)
