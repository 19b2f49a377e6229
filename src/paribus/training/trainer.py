"""One training loop for every objective: transformers' Trainer over our batch stream.

The stream decides what step n sees, so a resumed run reads exactly what it would have read; Trainer brings accelerate
(FSDP2, DeepSpeed), checkpoints of optimizer and random state, and trackers by configuration.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from paribus.data.stream import BatchStream
from paribus.errors import ConfigError, ModelError
from paribus.training import checkpoints
from paribus.training.compute import ComputePath, self_test
from paribus.training.objectives.base import Batch, Objective
from paribus.training.optimizers import build_optimizer
from paribus.training.settings import TrainSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepReport:
    """What ``on_step`` is told: the step just finished (from 1), the total, its loss, and tokens since the start."""

    step: int
    total: int
    loss: float
    tokens: int
    metrics: dict[str, float]


@dataclass
class TrainResult:
    """What a run did. ``history`` has one row a step: step, loss, learning_rate and the objective's metrics.

    tokens    tokens processed, pads left out
    targets   tokens that carried loss
    flops     six times the non-embedding-lookup parameters a token (attention's quadratic part left out)
    seconds   of this process; a resumed run counts from its resumption
    """

    model: Any
    compute: ComputePath
    history: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0
    targets: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    resumed_at: int = 0


def train(
    model: Any,
    stream: BatchStream,
    objective: Objective,
    settings: TrainSettings,
    *,
    compute: Literal["auto"] | ComputePath = "auto",
    checkpoint_dir: Path | None = None,
    on_step: Callable[[StepReport], None] | None = None,
    device: str = "cpu",
) -> TrainResult:
    """Train ``model`` in place (its adapters, with LoRA) and return what was spent.

    With ``checkpoint_dir`` and ``settings.checkpoint_every`` the run resumes from the newest sound checkpoint there; on a
    CPU a run killed at any moment and resumed ends with the very weights of an uninterrupted one.

    Raises ``ConfigError`` when the batch cannot be split as asked.
    """
    if stream.batch_size % settings.gradient_accumulation:
        raise ConfigError(
            f"batch_size={stream.batch_size} cannot be split into {settings.gradient_accumulation} equal micro-batches."
        )
    found = checkpoints.latest(checkpoint_dir) if checkpoint_dir is not None else None
    path = _path_of(found, compute, settings.steps, device)
    if settings.lora is not None:
        model = with_lora(model, settings)
    if path.attention == "eager":
        model.set_attn_implementation("eager")
    started = time.perf_counter()
    with TemporaryDirectory() as scratch:
        arguments = _arguments(settings, path, checkpoint_dir or Path(scratch), device)
        counters = dict(found[1]["counters"]) if found else {"tokens": 0, "targets": 0}
        result = TrainResult(model, path, history=list(found[1]["history"]) if found else [], **counters)
        runner = StreamTrainer(model, arguments, stream, objective, settings, result, on_step)
        result.resumed_at = int(found[0].name.removeprefix("checkpoint-")) if found else 0
        runner.train(resume_from_checkpoint=str(found[0]) if found else None)
    result.steps, result.seconds = settings.steps, time.perf_counter() - started
    result.flops = 6.0 * _counted_parameters(model) * result.tokens
    return result


def _path_of(found: Any, compute: Literal["auto"] | ComputePath, steps: int, device: str) -> ComputePath:
    # A resumed run must round as it did before, so the checkpoint's choice wins over a new self-test.
    if found:
        return ComputePath.model_validate(found[1]["compute"])
    return self_test(steps, device=device) if compute == "auto" else compute


def _counted_parameters(model: Any) -> int:
    """Parameters that are multiplied: all but lookup tables, plus the output layer even when it is tied to one."""
    tables = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Embedding))
    head = getattr(model, "get_output_embeddings", lambda: None)()
    tied = head is not None and head.weight is getattr(model.get_input_embeddings(), "weight", None)
    return sum(p.numel() for p in model.parameters()) - tables + (head.weight.numel() if tied else 0)


def _arguments(settings: TrainSettings, path: ComputePath, directory: Path, device: str) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(directory),
        max_steps=settings.steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=settings.gradient_accumulation,
        learning_rate=settings.learning_rate,
        max_grad_norm=settings.max_grad_norm,
        seed=settings.seed,
        use_cpu=device == "cpu",
        bf16=path.dtype == "bfloat16",
        torch_compile=path.compile,
        activation_checkpointing=settings.activation_checkpointing,
        save_strategy="steps" if settings.checkpoint_every else "no",
        save_steps=settings.checkpoint_every or settings.steps,
        save_total_limit=2,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        ignore_data_skip=True,
        dataloader_pin_memory=False,
    )


class StreamTrainer(Trainer):
    """Trainer whose data is a ``BatchStream`` and whose loss is an ``Objective``."""

    def __init__(
        self,
        model: Any,
        arguments: TrainingArguments,
        stream: BatchStream,
        objective: Objective,
        settings: TrainSettings,
        result: TrainResult,
        on_step: Callable[[StepReport], None] | None,
    ) -> None:
        self.stream, self.objective, self.settings, self.result = stream, objective, settings, result
        self.step_loss = 0.0
        self.step_metrics: dict[str, float] = {}
        super().__init__(model=model, args=arguments, callbacks=[_Recorder(self, on_step)])
        self.remove_callback(PrinterCallback)
        # Trainer would otherwise divide by its own token count; the objective's weights do that exactly.
        self.model_accepts_loss_kwargs = False

    def get_train_dataloader(self) -> Any:
        """Micro-batches from the step the state stands at; no skipping through those before it."""
        return _MicroBatches(self)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: Any
    ) -> tuple[list[Batch], None]:
        """All micro-batches of one step, and the weight that they share."""
        samples = [next(epoch_iterator) for _ in range(num_batches)]
        self.step_weight = self.share(sum(self.objective.weight(sample) for sample in samples))
        self.step_loss, self.step_metrics = 0.0, {}
        return samples, None

    def share(self, weight: float) -> float:
        """Mean weight of a process: gradients are averaged over processes, so each divides by the mean."""
        if self.accelerator.num_processes == 1:
            return weight
        total = self.accelerator.reduce(torch.tensor(weight, device=self.args.device), reduction="mean")
        return float(total)

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The micro-batch's share of the step's mean loss, times the number of micro-batches that Trainer divides by."""
        # Objectives call parts of a model; accelerate's own autocast covers only a call of the whole model.
        with self.accelerator.autocast():
            loss = self.objective.loss(model, inputs)
        share = self.objective.weight(inputs) / self.step_weight
        self._count(inputs, loss.targets)
        self.step_loss += float(loss.value.detach()) * share
        for name, metric in loss.metrics.items():
            self.step_metrics[name] = self.step_metrics.get(name, 0.0) + float(metric) * share
        return loss.value * (share * self.current_gradient_accumulation_steps)

    def _count(self, inputs: Batch, targets: int) -> None:
        present = inputs["segment_ids"] > 0 if "segment_ids" in inputs else inputs["attention_mask"]
        self.result.tokens += int(present.sum())
        self.result.targets += targets

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW or Muon with AdamW, by the settings."""
        if self.optimizer is None:
            self.optimizer = build_optimizer(model or self.model, self.settings)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Warm-up, then the schedule down to its floor."""
        if self.lr_scheduler is None:
            inner = getattr(self.optimizer, "optimizer", self.optimizer)
            self.lr_scheduler = LambdaLR(inner, lambda step: rate_at(step, self.settings))
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def floating_point_ops(self, inputs: Any) -> int:
        """Counted by ``TrainResult`` instead."""
        return 0


def rate_at(step: int, settings: TrainSettings) -> float:
    """Learning rate of step ``step`` (from 0) as a share of the peak."""
    import math

    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    floor, span = settings.min_learning_rate_ratio, max(1, settings.steps - settings.warmup_steps)
    done = min(1.0, (step - settings.warmup_steps) / span)
    falling = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[settings.schedule]
    return falling if settings.schedule == "constant" else floor + (1 - floor) * falling


class _MicroBatches:
    """Iterates over the micro-batches of this process, starting at the trainer's current step."""

    def __init__(self, trainer: StreamTrainer) -> None:
        self.trainer = trainer

    def __iter__(self) -> Iterator[Batch]:
        trainer = self.trainer
        step = trainer.state.global_step
        parts = trainer.settings.gradient_accumulation * trainer.accelerator.num_processes
        while True:
            chunks = trainer.stream.rows(step).reshape(parts, -1)
            for chunk in chunks[trainer.accelerator.process_index :: trainer.accelerator.num_processes]:
                yield trainer.stream.dataset.batch(chunk)
            step += 1


class _Recorder(TrainerCallback):
    """Keeps the history, reports steps, and seals checkpoints."""

    def __init__(self, trainer: StreamTrainer, on_step: Callable[[StepReport], None] | None) -> None:
        self.trainer, self.on_step = trainer, on_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One row of history a step."""
        trainer, result = self.trainer, self.trainer.result
        if not torch.isfinite(torch.tensor(trainer.step_loss)):
            raise ModelError(
                f"The loss is {trainer.step_loss} at step {state.global_step}; lower the learning rate or check the data."
            )
        rate = trainer.settings.learning_rate * rate_at(state.global_step - 1, trainer.settings)
        row = {"step": state.global_step, "loss": trainer.step_loss, "learning_rate": rate, **trainer.step_metrics}
        result.history.append(row)
        if self.on_step is not None:
            total = trainer.settings.steps
            self.on_step(StepReport(state.global_step, total, trainer.step_loss, result.tokens, trainer.step_metrics))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Trainer has just written ``checkpoint-<step>``; the seal makes it count."""
        result = self.trainer.result
        extra = {
            "counters": {"tokens": result.tokens, "targets": result.targets},
            "history": result.history,
            "compute": result.compute.model_dump(),
        }
        checkpoints.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}", extra)


def with_lora(model: Any, settings: TrainSettings) -> Any:
    """The model with low-rank adapters. Raises ``ModelError`` when peft is not installed."""
    assert settings.lora is not None
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ModelError("LoRA needs peft; install it with `pip install 'paribus[peft]'`.") from error
    lora = settings.lora
    torch.manual_seed(settings.seed)
    return get_peft_model(
        model,
        LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(lora.targets) or "all-linear",
            task_type="CAUSAL_LM",
        ),
    )
