"""Stages that train and examine language models on documents of several domains."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.lab import Cost, Handle, stage
from paribus.models.shapes import MixtureShape
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.documents import read_documents, read_questions, vocabulary_size
from paribus.studies.stages.models import (
    Recipe,
    Shape,
    dense_shape,
    fit,
    fresh_decoder,
    open_network,
    point_at,
    save_model,
)
from paribus.studies.stages.upcycling import UpcycleConfig, chosen_backend

if TYPE_CHECKING:
    from paribus.training.trainer import TrainResult

TRAINING = "training.json"
DEAD = "dead_experts.json"
ROUTING = "routing.jsonl"
PERPLEXITY = "perplexity.json"


class PretrainDocumentsConfig(StageConfig):
    """A dense model from scratch on documents. ``shares``: domain to its share of the tokens (they sum to 1)."""

    shape: Shape
    recipe: Recipe
    shares: dict[str, float]


class SeedModelConfig(StageConfig):
    """A dense model that exists already, a directory or a hub id. ``shape`` and ``vocabulary`` price the run."""

    model: str
    shape: Shape
    vocabulary: int


class ContinueConfig(StageConfig):
    """Training of a model that exists, on documents.

    ``freeze``: fnmatch patterns of parameters that stay as they are. Router settings: None = as everything else.
    """

    recipe: Recipe
    shares: dict[str, float]
    freeze: tuple[str, ...] = ()
    router_learning_rate: float | None = None
    router_weight_decay: float | None = None


class ExamineConfig(StageConfig):
    """What a model is examined on: test documents of these domains, and their questions."""

    domains: tuple[str, ...]
    questions: bool = True


# ---- Costs, known before anything runs -------------------------------------------------------------------------------


def shape_of(handle: Handle) -> MixtureShape:
    """The shape of the model that a handle makes, read from the configs of its ancestors."""
    config = handle.config
    if isinstance(config, PretrainDocumentsConfig):
        return dense_shape(config.shape, vocabulary_size(handle.inputs["tokenizer"]))
    if isinstance(config, SeedModelConfig):
        return dense_shape(config.shape, config.vocabulary)
    if isinstance(config, UpcycleConfig):
        return upcycled_shape(config, [shape_of(model) for model in handle.inputs["models"]])
    return shape_of(handle.inputs["model"])


def upcycled_shape(config: UpcycleConfig, dense: Sequence[MixtureShape]) -> MixtureShape:
    """The shape of a mixture of dense models."""
    if config.variant.startswith("dense"):
        return dense[0]
    attends = config.variant in ("expert_kv", "shared_kv")
    return replace(
        dense[0],
        attention_experts=len(dense) if attends else 1,
        shared_kv=config.variant == "shared_kv",
        ffn_experts=len(config.ffn_sources) or len(dense),
        ffn_top_k=config.top_k,
    )


def training_cost(config: Any, inputs: Mapping[str, Any]) -> Cost:
    """Planned cost: tokens by the recipe, operations of three forward passes by the model's shape, attention included.

    Parameters that are frozen save their gradients' share, which is not taken off.
    """
    if isinstance(config, PretrainDocumentsConfig):
        return spent(dense_shape(config.shape, vocabulary_size(inputs["tokenizer"])), config.recipe)
    return spent(shape_of(inputs["model"]), config.recipe)


def spent(shape: MixtureShape, recipe: Recipe) -> Cost:
    """What a run of a recipe takes, pads computed like other tokens."""
    tokens, context = recipe.tokens, recipe.length
    return Cost(
        tokens=tokens,
        flops=shape.training_flops(context, tokens),
        body_flops=shape.training_flops(context, tokens, with_logits=False),
        parameters=shape.total_parameters,
    )


@stage(version="1")
def seed_model(config: SeedModelConfig, *, out: Path) -> None:
    """Point at a model that exists already. Nothing is downloaded here."""
    point_at(config.model, out)


# ---- Training --------------------------------------------------------------------------------------------------------


@stage(version="1", cost=training_cost)
def pretrain_documents(
    config: PretrainDocumentsConfig,
    corpus: Path,
    tokenizer: Path,
    compute: Path | None = None,
    *,
    out: Path,
    seed: int,
) -> Cost:
    """Train a decoder from scratch on documents; saves a Hugging Face model directory."""
    from paribus.models.load import load_tokenizer

    vocabulary = load_tokenizer(tokenizer)
    network = fresh_decoder(config.shape, vocabulary, seed)
    return _learn(network, vocabulary, config, corpus, compute, out, seed)


@stage(version="1", cost=training_cost)
def continue_training(
    config: ContinueConfig,
    model: Path,
    corpus: Path,
    tokenizer: Path,
    compute: Path | None = None,
    *,
    out: Path,
    seed: int,
) -> Cost:
    """Train a model on a mix of documents; ``training.json`` tells its data (hash and shares) and its losses."""
    from paribus.models.load import load_tokenizer

    return _learn(open_network(model), load_tokenizer(tokenizer), config, corpus, compute, out, seed)


LOSS_POINTS = 20


def _learn(
    network: Any,
    vocabulary: Any,
    config: PretrainDocumentsConfig | ContinueConfig,
    corpus: Path,
    compute: Path | None,
    out: Path,
    seed: int,
) -> Cost:
    from paribus.training.objectives.causal import Causal

    recipe = config.recipe
    dataset, account = mixed_dataset(vocabulary, corpus, config.shares, recipe, seed)
    further = config.model_dump(include={"freeze", "router_learning_rate", "router_weight_decay"})
    result = fit(network, dataset, Causal(), recipe, seed, compute, **further)
    save_model(result.model, vocabulary, out)
    told = {"stream": stream_hash(dataset, recipe, seed), "shares": account, "losses": loss_points(result.history)}
    (out / TRAINING).write_text(json.dumps(told, indent=1))
    return _measured(result, recipe)


def mixed_dataset(
    vocabulary: Any, corpus: Path, shares: Mapping[str, float], recipe: Recipe, seed: int
) -> tuple[Any, dict[str, float]]:
    """Packed documents of the domains by their shares of the tokens, and the shares as they came out.

    As much text as the shares allow, whatever the recipe's length: a shorter run sees the beginning of a longer one's
    stream, and one seed's rows are the same in every arm.
    """
    from paribus.data.documents import encode_documents, mix_documents
    from paribus.data.packing import pack

    encoded = {
        domain: encode_documents(
            vocabulary, [row.text for row in read_documents(corpus, "train", domain)], length=recipe.length
        )
        for domain in shares
    }
    rows, account = mix_documents(encoded, shares, seed=seed)
    given = {domain: share.share for domain, share in account.items()}
    return pack(rows, recipe.length, pad_id=vocabulary.pad_token_id), given


def stream_hash(dataset: Any, recipe: Recipe, seed: int) -> str:
    """SHA-256 of the token ids of every batch of the run, in order."""
    from hashlib import sha256

    from paribus.data.stream import BatchStream

    stream, digest = BatchStream(dataset, recipe.rows, seed), sha256()
    for step in range(recipe.steps):
        digest.update(dataset.input_ids[stream.rows(step)].tobytes())
    return digest.hexdigest()


def loss_points(history: Sequence[Mapping[str, float]]) -> list[tuple[int, float]]:
    """The run in at most twenty points: last step and mean loss of each stretch."""
    from statistics import fmean

    size = max(1, len(history) // LOSS_POINTS)
    stretches = [history[start : start + size] for start in range(0, len(history), size)]
    return [(int(rows[-1]["step"]), fmean(row["loss"] for row in rows)) for rows in stretches]


def _measured(result: "TrainResult", recipe: Recipe) -> Cost:
    """Counted tokens; operations of all computed positions by the model's own shape, pads included."""
    shape = MixtureShape.of(result.model.config)
    return spent(shape, recipe).model_copy(update={"tokens": result.tokens, "targets": result.targets})


# ---- Examination -----------------------------------------------------------------------------------------------------


def examination_cost(config: ExamineConfig, inputs: Mapping[str, Any]) -> Cost:
    """Planned cost: the corpus' test documents and questions, a token for every three bytes of 300 (a rough guess)."""
    made = inputs["corpus"].config
    languages = len(getattr(made, "languages", (None,)))
    texts = len(config.domains) * languages * (made.test_documents + 4 * getattr(made, "questions", 0))
    shape, tokens = shape_of(inputs["model"]), 100 * texts
    return Cost(flops=shape.flops_per_token(100) * tokens, parameters=shape.total_parameters)


@stage(version="1", cost=examination_cost)
def examine(
    config: ExamineConfig, model: Path, corpus: Path, tokenizer: Path, compute: Path | None = None, *, out: Path
) -> Cost:
    """Bits per byte and chosen answers as ``items.jsonl``; perplexities; of mixtures also ``routing.jsonl`` and alarms.

    A model without routers has no routing rows, and its list of dead experts is empty.
    """
    from paribus.evaluation.bits import bits_rows, perplexity, score_documents
    from paribus.evaluation.choices import choice_accuracy
    from paribus.evaluation.items import write_item_rows
    from paribus.models.load import load_tokenizer

    network, vocabulary = open_network(model), load_tokenizer(tokenizer)
    if hasattr(network, "set_experts_backend"):
        network.set_experts_backend(chosen_backend(compute))
    documents = [row for domain in config.domains for row in read_documents(corpus, "test", domain)]
    scores = score_documents(network, vocabulary, documents)
    rows = bits_rows(scores)
    if config.questions:
        rows += choice_accuracy(network, vocabulary, read_questions(corpus))
    write_item_rows(out / "items.jsonl", rows)
    (out / PERPLEXITY).write_text(json.dumps(perplexity(scores)))
    _write_routing(network, vocabulary, documents, out)
    parameters = sum(weight.numel() for weight in network.parameters())
    return Cost(parameters=parameters)


def _write_routing(network: Any, vocabulary: Any, documents: Sequence[Any], out: Path) -> None:
    from paribus.evaluation.routing_maps import dead_experts, routing_maps, write_routing_rows

    rows = routing_maps(network, vocabulary, documents) if hasattr(network.config, "ffn_experts") else []
    write_routing_rows(out / ROUTING, rows)
    (out / DEAD).write_text(json.dumps([row._asdict() for row in dead_experts(rows)]))
