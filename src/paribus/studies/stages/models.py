"""Stages that make models: pre-training, fine-tuning, hub models, reward models; and the choice of how to compute."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from paribus.lab import Cost, Handle, current, stage
from paribus.lab.stages import iter_handles
from paribus.models.shapes import MixtureShape
from paribus.studies.stages.config import StageConfig

if TYPE_CHECKING:
    from paribus.training.trainer import StepReport, TrainResult


class Recipe(StageConfig):
    """How long and how fast to train. One row of the batch is ``length`` packed tokens: tokens = steps x rows x length.

    Args:
        steps: optimizer steps.
        rows: packed rows a step.
        length: tokens a row.
        learning_rate: peak; warm-up is linear over ``warmup`` (a share of the steps), then a cosine to a tenth.
        optimizer: ``adamw``, or ``muon`` for matrices with AdamW for the rest.
        average: loss average over tokens, or over examples first (every example weighs the same).
        lora_rank: rank of low-rank adapters, merged into the weights at the end (0 = train all weights).
    """

    steps: int = Field(gt=0)
    rows: int = Field(gt=0)
    length: int = Field(gt=0)
    learning_rate: float
    warmup: float = 0.1
    optimizer: Literal["adamw", "muon"] = "adamw"
    average: Literal["token", "example"] = "token"
    weight_decay: float = 0.0
    gradient_accumulation: int = 1
    activation_checkpointing: bool = False
    checkpoint_every: int = Field(default=0, ge=0)
    lora_rank: int = Field(default=0, ge=0)

    @property
    def tokens(self) -> int:
        """Tokens the recipe processes, pads included."""
        return self.steps * self.rows * self.length

    def scaled(self, factor: float) -> "Recipe":
        """The same recipe with ``factor`` times the steps."""
        return self.model_copy(update={"steps": max(1, round(self.steps * factor))})


class Shape(StageConfig):
    """Shape of the decoder: parallel attention and SwiGLU, one norm a block; ``tied``: one embedding in and out."""

    hidden_size: int
    layers: int
    heads: int
    key_value_heads: int
    intermediate_size: int
    context: int = 256
    tied: bool = True


class PretrainConfig(StageConfig):
    """A decoder trained from scratch on a corpus. ``languages`` empty = all of the corpus."""

    shape: Shape
    recipe: Recipe
    languages: tuple[str, ...] = ()


class FinetuneConfig(StageConfig):
    """Supervised fine-tuning of a model on examples. ``languages`` empty = all of them.

    ``snapshots``: models kept along the second half of the run, evenly spaced, the last one included.
    """

    recipe: Recipe
    languages: tuple[str, ...] = ()
    snapshots: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _whole_models(self) -> "FinetuneConfig":
        if self.snapshots and self.recipe.lora_rank:
            raise ValueError("snapshots are whole models; they cannot be kept of a run with lora_rank > 0")
        return self

    def snapshot_steps(self) -> tuple[int, ...]:
        """The steps after which a model is kept."""
        steps, count = self.recipe.steps, self.snapshots
        return tuple(sorted({round(steps * (0.5 + 0.5 * (n + 1) / count)) for n in range(count)}))


class HubModelConfig(StageConfig):
    """A model that exists already: a hub id or a directory. ``parameters`` is used to price a run before it starts."""

    model: str
    parameters: int


class RewardConfig(StageConfig):
    """A Bradley-Terry reward model trained on preference pairs from a causal model's body."""

    recipe: Recipe


def dense_shape(shape: Shape, vocabulary: int) -> MixtureShape:
    """The decoder's shape as the counters take it; they import no torch, which planning must not."""
    return MixtureShape(
        vocabulary=vocabulary,
        width=shape.hidden_size,
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.key_value_heads,
        head_dim=shape.hidden_size // shape.heads,
        ffn_width=shape.intermediate_size,
        tied=shape.tied,
    )


def model_parameters(handle: Handle) -> int:
    """Parameters of the model that a handle makes or stands on, read from the configs of its ancestors."""
    if isinstance(handle.config, HubModelConfig):
        return handle.config.parameters
    if isinstance(handle.config, PretrainConfig):
        return dense_shape(handle.config.shape, handle.inputs["tokenizer"].config.vocab_size).total_parameters
    found = [model_parameters(parent) for parent in _model_inputs(handle)]
    return max(found, default=0)


def _model_inputs(handle: Handle) -> list[Handle]:
    named = (value for name, value in handle.inputs.items() if name in ("model", "models", "base"))
    return [model for given in named for model in iter_handles(given)]


def training_cost(config: Any, inputs: dict[str, Any]) -> Cost:
    """Planned cost of a training stage: tokens by the recipe, FLOPs as six a parameter and token."""
    recipe: Recipe = config.recipe
    parameters = _planned_parameters(config, inputs)
    return Cost(tokens=recipe.tokens, flops=6.0 * parameters * recipe.tokens, parameters=parameters)


def _planned_parameters(config: Any, inputs: dict[str, Any]) -> int:
    if isinstance(config, PretrainConfig):
        return dense_shape(config.shape, inputs["tokenizer"].config.vocab_size).total_parameters
    return model_parameters(inputs["model"])


@stage(version="1")
def compute_test(*, out: Path) -> None:
    """Test once for a whole store whether bf16 pays on this CPU; writes ``compute.json``.

    All arms then round alike, and a run that was killed goes on as it began, whatever a new test would say.
    """
    from paribus.training.compute import BF16_GAIN, bf16_gain

    gain = bf16_gain()
    print(f"bf16 ran {gain:.2f}x as fast as fp32 here (taken from {BF16_GAIN}x on)")
    (out / "compute.json").write_text(json.dumps({"cpu_bf16": gain >= BF16_GAIN}))


@stage(version="1", cost=training_cost)
def pretrain(
    config: PretrainConfig, corpus: Path, tokenizer: Path, compute: Path | None = None, *, out: Path, seed: int
) -> Cost:
    """Train a decoder from scratch on the corpus' training split; saves a Hugging Face model directory."""
    from paribus.models.load import load_tokenizer

    vocabulary = load_tokenizer(tokenizer)
    model = fresh_decoder(config.shape, vocabulary, seed)
    own = FinetuneConfig(recipe=config.recipe, languages=config.languages)
    return _supervised(model, vocabulary, corpus / "train.jsonl", own, compute, out, seed)


def fresh_decoder(shape: Shape, vocabulary: Any, seed: int) -> Any:
    """A decoder for the tokenizer's vocabulary, its weights drawn by the seed."""
    import torch

    from paribus.models.decoder import DecoderConfig, DecoderForCausalLM

    torch.manual_seed(seed)
    return DecoderForCausalLM(
        DecoderConfig(
            vocab_size=len(vocabulary),
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.key_value_heads,
            head_dim=shape.hidden_size // shape.heads,
            intermediate_size=shape.intermediate_size,
            max_position_embeddings=shape.context,
            tie_word_embeddings=shape.tied,
            bos_token_id=vocabulary.bos_token_id,
            eos_token_id=vocabulary.eos_token_id,
            pad_token_id=vocabulary.pad_token_id,
        )
    )


@stage(version="1", cost=training_cost)
def finetune(
    config: FinetuneConfig, model: Path, examples: Path, compute: Path | None = None, *, out: Path, seed: int
) -> Cost:
    """Fine-tune a model on the ``examples.jsonl`` (or a corpus' ``train.jsonl``) of a parent; loss on answers only.

    Models kept along the way lie in ``snapshots/step-<n>``.
    """
    network, vocabulary = open_model(model)
    file = examples / "examples.jsonl"
    source = file if file.exists() else examples / "train.jsonl"
    return _supervised(network, vocabulary, source, config, compute, out, seed)


def _supervised(
    network: Any, vocabulary: Any, file: Path, config: FinetuneConfig, compute: Path | None, out: Path, seed: int
) -> Cost:
    from paribus.data.chat import encode_many
    from paribus.data.packing import pack
    from paribus.records import Example, read_records
    from paribus.training.objectives.causal import Causal

    recipe, languages = config.recipe, config.languages
    rows = [row for row in read_records(file, Example) if not languages or row.language in languages]
    encoded = encode_many(vocabulary, [row.messages for row in rows])
    dataset = pack(encoded, recipe.length, drop="truncate", pad_id=vocabulary.pad_token_id)
    kept = Snapshots(network, vocabulary, config.snapshot_steps())
    result = fit(network, dataset, Causal(average=recipe.average), recipe, seed, compute, kept.after_step)
    save_model(result.model, vocabulary, out)
    kept.move_to(out)
    return trained_cost(result, positions=recipe.tokens)


class Snapshots:
    """Models kept along a run. They are written before the checkpoint of the same step, so none is lost to a kill."""

    def __init__(self, network: Any, vocabulary: Any, steps: tuple[int, ...]) -> None:
        self.network, self.vocabulary, self.steps = network, vocabulary, steps
        self.context = current()
        self.folder = self.context.scratch / "snapshots"

    def after_step(self, step: int) -> None:
        """Keep the model if it is due."""
        if step in self.steps:
            partial = self.folder / "partial"
            shutil.rmtree(partial, ignore_errors=True)
            save_model(self.network, self.vocabulary, partial)
            final = self.folder / f"step-{step}"
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)

    def move_to(self, out: Path) -> None:
        """Hand them over to the artifact."""
        if self.steps:
            (out / "snapshots").mkdir()
        for step in self.steps:
            shutil.move(self.folder / f"step-{step}", out / "snapshots" / f"step-{step}")


@stage(version="1")
def hub_model(config: HubModelConfig, *, out: Path) -> None:
    """Point at a model that exists already: a directory or a hub id. Nothing is downloaded here."""
    point_at(config.model, out)


REFERENCE = "model_reference.json"


def point_at(model: str, out: Path) -> None:
    """Make an artifact that stands for a model elsewhere, a directory or a hub id."""
    (out / REFERENCE).write_text(json.dumps({"model": model}))


def resolve(model: Path) -> str | Path:
    """The model behind an artifact: the artifact itself, or the directory or hub id that it points at."""
    reference = model / REFERENCE
    if reference.exists():
        return str(json.loads(reference.read_text())["model"])
    return model / "merged" if (model / "merged").is_dir() else model


@stage(version="1", cost=training_cost)
def train_reward(
    config: RewardConfig, model: Path, pairs: Path, compute: Path | None = None, *, out: Path, seed: int
) -> Cost:
    """Train a Bradley-Terry reward model on ``pairs.jsonl``, starting from a causal model's body."""
    import torch

    from paribus.data.pairs import encode_pairs
    from paribus.models.load import load_reward, load_tokenizer
    from paribus.records import PreferencePair, read_records
    from paribus.training.objectives.reward import Reward

    torch.manual_seed(seed)
    vocabulary = load_tokenizer(resolve(model))
    network = load_reward(resolve(model), device=current().device, fresh_head=True)
    dataset = encode_pairs(vocabulary, list(read_records(pairs / "pairs.jsonl", PreferencePair)))
    result = fit(network, dataset, Reward(), config.recipe, seed, compute)
    save_model(result.model, vocabulary, out)
    return trained_cost(result)


def open_model(model: Path) -> tuple[Any, Any]:
    """The causal model and tokenizer behind an artifact, as saved (fp32 or bf16), on the run's device."""
    from paribus.models.load import load_tokenizer

    return open_network(model), load_tokenizer(resolve(model))


def open_network(model: Path) -> Any:
    """The causal model alone, where the tokenizer comes from elsewhere."""
    from paribus.models.load import load_causal

    return load_causal(resolve(model), device=current().device)


def fit(
    network: Any,
    dataset: Any,
    objective: Any,
    recipe: Recipe,
    seed: int,
    compute: Path | None = None,
    after_step: Callable[[int], None] = lambda step: None,
    order: str | None = None,
    **further: Any,
) -> "TrainResult":
    """Train under the run's context: checkpoints in its scratch, progress to its display.

    ``compute`` is the ``compute_test`` artifact of the store (none: fp32 on a CPU); ``order`` as of ``BatchStream``;
    ``further`` are fields of
    ``TrainSettings`` that a recipe has not. Adapters end merged into the model.
    """
    from paribus.data.stream import BatchStream
    from paribus.training.settings import LoraSettings, TrainSettings
    from paribus.training.trainer import train

    context = current()
    settings = TrainSettings(
        steps=recipe.steps,
        batch_size=recipe.rows,
        learning_rate=recipe.learning_rate,
        warmup_steps=round(recipe.warmup * recipe.steps),
        weight_decay=recipe.weight_decay,
        optimizer=recipe.optimizer,
        gradient_accumulation=recipe.gradient_accumulation,
        activation_checkpointing=recipe.activation_checkpointing,
        checkpoint_every=recipe.checkpoint_every,
        lora=LoraSettings(rank=recipe.lora_rank, alpha=2.0 * recipe.lora_rank) if recipe.lora_rank else None,
        seed=seed,
        **further,
    )

    def report(step: "StepReport") -> None:
        after_step(step.step)
        context.progress(step.step, step.total, tokens=step.tokens, loss=step.loss)

    result = train(
        network,
        BatchStream(dataset, recipe.rows, seed, order),
        objective,
        settings,
        compute=compute_path(compute, recipe.steps),
        checkpoint_dir=context.scratch / "checkpoints" if recipe.checkpoint_every else None,
        on_step=report,
        device=context.device,
    )
    if result.resumed_at:
        print(f"resumed from the checkpoint of step {result.resumed_at}")
    if recipe.lora_rank:
        result.model = result.model.merge_and_unload()
    return result


def compute_path(test: Path | None, steps: int) -> Any:
    """How a run of ``steps`` steps computes on the context's device, by the store's own test."""
    from paribus.training.compute import path_for

    found: dict[str, Any] = json.loads((test / "compute.json").read_text()) if test is not None else {"cpu_bf16": False}
    return path_for(steps, device=current().device, cpu_bf16=found["cpu_bf16"], experts=found.get("experts"))


def save_model(network: Any, vocabulary: Any, out: Path) -> None:
    """Write a Hugging Face model directory (safetensors) with its tokenizer."""
    network.save_pretrained(out)
    vocabulary.save_pretrained(out)


def trained_cost(result: "TrainResult", *, examples: int = 0, positions: int = 0) -> Cost:
    """What a training run spent, in the lab's currencies.

    ``positions`` of packed rows are all computed, pads included, and so are their FLOPs; tokens leave pads out.
    """
    parameters = sum(p.numel() for p in result.model.parameters())
    flops = result.flops * positions / result.tokens if positions else result.flops
    spent = {"tokens": result.tokens, "targets": result.targets, "flops": flops}
    return Cost(**spent, parameters=parameters, examples=examples)
