"""BAM's three phases as a graph of stages: branch, continued pre-training, mixture training. Nothing runs here."""

from functools import cached_property
from pathlib import Path
from typing import Any

from paribus.lab import Handle, file_input
from paribus.models.shapes import MixtureShape, matched_steps
from paribus.studies.bam_settings import ArmName, Bam
from paribus.studies.stages.documents import (
    DocumentTokenizerConfig,
    DomainCorpusConfig,
    SourcesConfig,
    document_tokenizer,
    domain_corpus,
    source_corpus,
)
from paribus.studies.stages.language_modelling import (
    ContinueConfig,
    ExamineConfig,
    PretrainDocumentsConfig,
    SeedModelConfig,
    continue_training,
    examine,
    pretrain_documents,
    seed_model,
    shape_of,
)
from paribus.studies.stages.models import Recipe
from paribus.studies.stages.upcycling import (
    MixtureComputeConfig,
    UpcycleConfig,
    mixture_compute_test,
    upcycle_models,
)

FROZEN = {
    "btx_frozen": ("*.mlp.experts.*",),
    "expert_kv_frozen": ("*.mlp.experts.*", "*.self_attn.qkv_proj.*", "*.self_attn.o_proj.*"),
}
"""Experts that stay as they were copied; routers, norms and embeddings go on learning."""


UNTRAINED = ("dense_average", "btx_untrained")
"""Arms that are examined as they are put together."""
FROM_SEED = ("dense_continued", "dense_long", "sparse_upcycling")
"""Arms that use no expert: they are made of the seed model alone."""


class Steps:
    """Every method and property returns handles; what two arms need is made once and shared."""

    def __init__(self, settings: Bam) -> None:
        self.s = settings

    # ---- Text, and how this machine computes -------------------------------------------------------------------------

    @cached_property
    def corpus(self) -> Handle:
        """Documents of every domain, for training and for testing, and questions."""
        data = self.s.data
        if data.sources:
            config = SourcesConfig(
                sources={domain: data.sources[domain] for domain in data.domains},
                language=data.languages[0],
                train_documents=data.train_documents,
                test_documents=data.test_documents,
            )
            # A file is known by its bytes; a directory or a hub id by its name.
            files = {
                domain: file_input(source, label=f"{domain}-file")
                for domain, source in config.sources.items()
                if Path(source).is_file()
            }
            named = {domain: "file" if domain in files else source for domain, source in config.sources.items()}
            return source_corpus(config.model_copy(update={"sources": named}), files=files or None, label="corpus")
        world = DomainCorpusConfig(
            languages=data.languages,
            domains=data.domains,
            train_documents=data.train_documents,
            test_documents=data.test_documents,
            questions=data.questions,
        )
        return domain_corpus(world, seed=self.s.corpus_seed, label="corpus")

    @cached_property
    def tokenizer(self) -> Handle:
        """One vocabulary for all arms, trained on all domains alike; or one that exists."""
        config = DocumentTokenizerConfig(vocab_size=self.s.data.vocabulary, source=self.s.data.tokenizer)
        return document_tokenizer(config, corpus=self.corpus, label="tokenizer")

    @cached_property
    def compute(self) -> Handle:
        """How this machine computes a mixture of this shape best, tested once."""
        recipe = self.s.training.mixture
        config = MixtureComputeConfig(
            shape=self.s.shape,
            vocabulary=self.s.data.vocabulary,
            experts=len(self.s.data.domains),
            top_k=self.s.mixing.top_k,
            rows=recipe.rows,
            length=recipe.length,
        )
        return mixture_compute_test(config, label="compute")

    # ---- Phase 1 and 2: the seed model, and one expert a domain ------------------------------------------------------

    def seed(self, seed: int) -> Handle:
        """The dense model that everything branches from, trained on general text."""
        if self.s.seed_model:
            return seed_model(
                SeedModelConfig(model=self.s.seed_model, shape=self.s.shape, vocabulary=self.s.data.vocabulary),
                label="seed-model",
            )
        config = PretrainDocumentsConfig(
            shape=self.s.shape, recipe=self.s.training.pretrain, shares={self.s.data.general: 1.0}
        )
        return pretrain_documents(
            config, corpus=self.corpus, tokenizer=self.tokenizer, compute=self.compute, seed=seed, label="seed-model"
        )

    def expert(self, domain: str, seed: int) -> Handle:
        """The seed model trained on one domain, with a share of general text."""
        config = ContinueConfig(recipe=self.s.training.specialise, shares=self.expert_shares(domain))
        return self._continued(config, self.seed(seed), seed, f"expert-{domain}")

    def expert_shares(self, domain: str) -> dict[str, float]:
        """A domain and its share of general text."""
        general = self.s.training.general_share
        return {domain: 1.0 - general, self.s.data.general: general} if general else {domain: 1.0}

    def dense(self, seed: int) -> list[Handle]:
        """The models that are mixed: the untouched seed, then the experts."""
        return [self.seed(seed), *(self.expert(domain, seed) for domain in self.s.data.experts)]

    # ---- Phase 3: one model out of them ------------------------------------------------------------------------------

    def arm(self, name: ArmName, seed: int) -> Handle:
        """The model of an arm."""
        start = self.upcycled(name, seed)
        if name in UNTRAINED:
            return start
        shares = self.summed_shares if name == "dense_long" else self.equal_shares
        recipe, freeze = self.mixture_recipe(name), FROZEN.get(name, ())
        return self._mixed(start, seed, recipe=recipe, shares=shares, freeze=freeze)

    def upcycled(self, name: ArmName, seed: int) -> Handle:
        """An arm's model as it is put together, before it is trained."""
        models = [self.seed(seed)] if name in FROM_SEED else self.dense(seed)
        return upcycle_models(self.upcycling(name), models=models, seed=seed, label="upcycle")

    def upcycling(self, name: ArmName) -> UpcycleConfig:
        """How an arm's model is put together."""
        mixing, sources = self.s.mixing, tuple(range(len(self.s.data.domains)))
        special: dict[str, dict[str, Any]] = {
            "dense_average_trained": {"variant": "dense_average"},
            "dense_long": {"variant": "dense_continued"},
            "sparse_upcycling": {"ffn_sources": (0,) * len(sources)},
            "btx_active": {
                "ffn_sources": (*sources, *(0,) * mixing.active_copies),
                "top_k": mixing.active_top_k,
            },
            "btx_top2": {"top_k": 2, "gate_norm": "renormalised"},
            "expert_kv_top2": {"top_k": 2, "gate_norm": "renormalised"},
            "shared_kv_attend2": {"attention_top_k": 2},
            "shared_kv_attend1": {"attention_top_k": 1},
        }
        families = ("expert_kv", "shared_kv", "btx")
        variant = next((family for family in families if name.startswith(family)), name)
        dense = name.startswith("dense")
        return UpcycleConfig(
            **{
                "variant": variant,
                "top_k": 1 if dense else mixing.top_k,
                "gate_norm": "raw" if dense else mixing.gate_norm,
                "router_std": mixing.router_std,
                "load_balance_coefficient": mixing.load_balance_coefficient,
                "router_z_coefficient": mixing.router_z_coefficient,
                **special.get(name, {}),
            }
        )

    def mixture_recipe(self, name: ArmName) -> Recipe:
        """The mixture phase's recipe; of compute-matched arms with as many steps as BTX's operations pay for."""
        if name == "dense_long":
            return self.long
        recipe = self.s.training.mixture
        if not name.endswith(("_cm", "_cm_body")):
            return recipe
        steps = matched_steps(
            recipe.steps,
            self.shape("btx"),
            self.shape(name),
            context=recipe.length,
            with_logits=not name.endswith("_body"),
        )
        return recipe.model_copy(update={"steps": steps})

    @property
    def long(self) -> Recipe:
        """One dense model for the summed budget: as many tokens as all experts and the mixture phase have together."""
        training = self.s.training
        tokens = len(self.s.data.experts) * training.specialise.tokens + training.mixture.tokens
        steps = round(tokens / (training.mixture.rows * training.mixture.length))
        return training.mixture.model_copy(update={"steps": steps})

    @property
    def equal_shares(self) -> dict[str, float]:
        """The mixture phase takes as much of every domain, general text included."""
        domains = self.s.data.domains
        return dict.fromkeys(domains, 1.0 / len(domains))

    @property
    def summed_shares(self) -> dict[str, float]:
        """What all experts and the mixture phase see together, as shares of their summed tokens."""
        training, data = self.s.training, self.s.data
        parts = [(training.specialise.tokens, self.expert_shares(domain)) for domain in data.experts]
        parts.append((training.mixture.tokens, self.equal_shares))
        total = sum(tokens for tokens, _ in parts)
        return {
            domain: sum(tokens * shares.get(domain, 0.0) for tokens, shares in parts) / total for domain in data.domains
        }

    def shape(self, name: ArmName) -> MixtureShape:
        """The shape of an arm's model."""
        return shape_of(self.upcycled(name, self.s.seeds[0]))

    def _mixed(
        self, start: Handle, seed: int, *, recipe: Recipe, shares: dict[str, float], freeze: tuple[str, ...]
    ) -> Handle:
        training = self.s.training
        config = ContinueConfig(
            recipe=recipe,
            shares=shares,
            freeze=freeze,
            router_learning_rate=training.router_learning_rate,
            router_weight_decay=training.router_weight_decay,
        )
        return self._continued(config, start, seed, "mix")

    def _continued(self, config: ContinueConfig, model: Handle, seed: int, label: str) -> Handle:
        return continue_training(
            config,
            model=model,
            corpus=self.corpus,
            tokenizer=self.tokenizer,
            compute=self.compute,
            seed=seed,
            label=label,
        )

    # ---- Measures ----------------------------------------------------------------------------------------------------

    def examined(self, model: Handle) -> dict[str, Handle]:
        """A model's bits per byte and answers on all domains, and where its routers send them."""
        config = ExamineConfig(domains=self.s.data.domains, questions=bool(self.s.data.questions))
        examination = examine(
            config, model=model, corpus=self.corpus, tokenizer=self.tokenizer, compute=self.compute, label="examine"
        )
        return {"evaluation": examination}
