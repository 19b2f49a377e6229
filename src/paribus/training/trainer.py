"""One training loop for every objective: transformers' Trainer over our batch stream.

The stream decides what step n sees, so a resumed run reads exactly what it would have read; Trainer brings accelerate
(DDP, FSDP2, DeepSpeed by configuration) and checkpoints of optimizer and random state.
"""

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from paribus.data.stream import BatchStream
from paribus.errors import ConfigError, DataError, ModelError
from paribus.training import checkpoints
from paribus.training.adapters import with_lora
from paribus.training.compute import ComputePath, self_test, with_experts
from paribus.training.objectives.base import Batch, Objective
from paribus.training.objectives.causal import real_tokens
from paribus.training.optimizers import build_optimizer
from paribus.training.preparation import prepared
from paribus.training.results import Divergence, StepReport, TrainResult
from paribus.training.schedule import rate_at
from paribus.training.settings import TrainSettings


def train(
    model: Any,
    stream: BatchStream,
    objective: Objective,
    settings: TrainSettings,
    *,
    compute: Literal["auto"] | ComputePath = "auto",
    checkpoint_dir: Path | None = None,
    on_step: Callable[[StepReport], None] | None = None,
    stop: Callable[[StepReport], bool] | None = None,
    device: str = "cpu",
) -> TrainResult:
    """Train ``model`` in place (its adapters, with LoRA) and return what was spent.

    With ``checkpoint_dir`` and ``settings.checkpoint_every`` the run resumes from the newest sound checkpoint there; on
    a CPU a run killed at any moment and resumed ends with the very weights of an uninterrupted one. Everything but the
    weights (evaluation mode, attention kernel, cache setting) is left as it was found. Under ``torchrun`` or
    ``accelerate launch`` each process takes its share of every batch.

    ``stop`` ends the run after the first step for which it is true. What it says may depend on its report alone, which
    has the whole history: then a resumed run stops where it would have stopped.

    Raises ``ConfigError`` when the batch cannot be split as asked or the directory holds another run's checkpoints, and
    ``Divergence``, a ``ModelError``, when the loss stops being finite.
    """
    identity = _identity(stream, objective, settings)
    found = checkpoints.latest(checkpoint_dir, identity) if checkpoint_dir is not None else None
    path = _path_of(found, compute, model, stream, settings, device)
    if settings.lora is not None:
        model = with_lora(model, settings.lora, settings.seed)
    result = TrainResult(model, path, steps=settings.steps)
    if found:
        result.history, result.resumed_at = list(found.extra["history"]), found.step
        result.tokens, result.targets = found.extra["tokens"], found.extra["targets"]
    started = time.perf_counter()
    with prepared(model, path, settings), TemporaryDirectory() as scratch:
        arguments = _arguments(settings, path, checkpoint_dir or Path(scratch), device)
        runner = StreamTrainer(model, arguments, stream, objective, settings, result, identity, on_step, stop)
        runner.run(found.path if found else None)
    result.seconds = time.perf_counter() - started
    result.flops = 6.0 * counted_parameters(model) * result.tokens
    return result


def _identity(stream: BatchStream, objective: Objective, settings: TrainSettings) -> dict[str, Any]:
    """What a checkpoint must have in common with the run that resumes from it."""
    settled = settings.model_dump(mode="json", exclude={"checkpoint_every"})
    drawn = {"data_hash": stream.data_hash, "stream_seed": stream.seed, "stream_batch_size": stream.batch_size}
    drawn |= {} if stream.order is None else {"stream_order": stream.order}
    return settled | drawn | {"objective": repr(objective)}


def _path_of(
    found: checkpoints.Checkpoint | None,
    compute: Literal["auto"] | ComputePath,
    model: Any,
    stream: BatchStream,
    settings: TrainSettings,
    device: str,
) -> ComputePath:
    # A resumed run must round as it did before, so the checkpoint's choice wins over a new self-test.
    if found:
        return ComputePath.model_validate(found.extra["compute"])
    rows = stream.rows(0)[: max(1, stream.batch_size // settings.gradient_accumulation)]
    tokens = real_tokens(stream.dataset.batch(rows)).numel()
    if compute == "auto":
        path = self_test(settings.steps, device=device, model=model, tokens=tokens)
    else:
        path = with_experts(compute, model, steps=settings.steps, tokens=tokens, device=device)
    return _agreed(path, device)


def _agreed(path: ComputePath, device: str) -> ComputePath:
    """The first process's choice: each measured for itself."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return path
    PartialState(cpu=device == "cpu")
    return ComputePath.model_validate(broadcast_object_list([path.model_dump()])[0])


def counted_parameters(model: Any) -> int:
    """Parameters a token is multiplied with: all but lookup tables, plus the output layer even when it is tied to one.

    A model that has ``inactive_parameters``, as our mixtures do, has them left out; other mixtures count whole.
    """
    tables = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Embedding))
    head: Any = getattr(model, "get_output_embeddings", lambda: None)()
    tied = head is not None and head.weight is getattr(model.get_input_embeddings(), "weight", None)
    multiplied = sum(p.numel() for p in model.parameters()) - tables + (head.weight.numel() if tied else 0)
    return multiplied - getattr(model, "inactive_parameters", 0)


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
        activation_checkpointing=settings.activation_checkpointing,
        save_strategy="steps" if settings.checkpoint_every else "no",
        save_steps=settings.checkpoint_every or settings.steps,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        ignore_data_skip=True,
        dataloader_pin_memory=False,
        # Every weight takes part in every loss; looking for others costs a walk over the graph each step.
        ddp_find_unused_parameters=False,
    )


class StreamTrainer(Trainer):
    """Trainer whose data is a ``BatchStream`` and whose loss is an ``Objective``."""

    # Trainer would otherwise divide by the number of micro-batches; the objective's weights make the mean exact.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: Any,
        arguments: TrainingArguments,
        stream: BatchStream,
        objective: Objective,
        settings: TrainSettings,
        result: TrainResult,
        identity: dict[str, Any],
        on_step: Callable[[StepReport], None] | None,
        stop: Callable[[StepReport], bool] | None,
    ) -> None:
        self.stream = stream
        self.objective: Objective = objective
        self.settings = settings
        self.result = result
        self.identity = identity
        self.stop = stop
        self.shares: list[float] = []
        self.step_sums: defaultdict[str, float] = defaultdict(float)
        self.step_counts = [0, 0]
        super().__init__(model=model, args=arguments, callbacks=[_Recorder(self, on_step)])
        self.remove_callback(PrinterCallback)
        self.parts = settings.gradient_accumulation * self.accelerator.num_processes
        if stream.batch_size % self.parts:
            raise ConfigError(
                f"batch_size={stream.batch_size} cannot be split into {self.parts} equal micro-batches "
                f"({self.accelerator.num_processes} processes x gradient_accumulation={settings.gradient_accumulation})"
                "; change one of them."
            )

    def run(self, checkpoint: Path | None) -> None:
        """Train to the end, from a checkpoint if there is one; a finished run's weights are only loaded."""
        if checkpoint is not None and self._over():
            self._load_from_checkpoint(str(checkpoint))
            return
        self.train(resume_from_checkpoint=str(checkpoint) if checkpoint is not None else None)

    def _over(self) -> bool:
        """Whether the run that wrote the checkpoint was at its end, or where it stops."""
        step, row = self.result.resumed_at, self.result.history[-1]
        values = {name: value for name, value in row.items() if name not in ("step", "learning_rate")}
        return self.stops(self.report(step, values)) or step >= self.settings.steps

    def report(self, step: int, values: dict[str, float]) -> StepReport:
        """What is told of a step whose row is in the history; ``values`` are its loss and metrics."""
        metrics = {name: value for name, value in values.items() if name != "loss"}
        result = self.result
        return StepReport(step, self.settings.steps, values["loss"], result.tokens, metrics, result.history)

    def stops(self, report: StepReport) -> bool:
        """Whether the run ends with this step by the caller's rule; the result keeps that it did."""
        if self.stop is None or not self.stop(report):
            return False
        self.result.steps = self.result.stopped_at = report.step
        return True

    def get_train_dataloader(self) -> Any:
        """Micro-batches from the step the state stands at; no skipping through those before it."""
        return _MicroBatches(self)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: Any
    ) -> tuple[list[Batch], None]:
        """All micro-batches of one step, and the share of each in the step's mean loss."""
        samples = [next(epoch_iterator) for _ in range(num_batches)]
        weights = [self.objective.weight(sample) for sample in samples]
        # Gradients are averaged over processes, so each process divides by the mean weight of a process.
        total = self.reduced([sum(weights)], "mean")[0]
        if total == 0:
            raise DataError(
                f"Step {self.state.global_step + 1} has no token to learn: every label of its {self.stream.batch_size} "
                "rows is masked; look for answers that were cut off, or raise the batch size."
            )
        self.shares = [weight / total for weight in weights]
        self.step_sums, self.step_counts = defaultdict(float), [0, 0]
        return samples, None

    def reduced(self, values: Sequence[float], how: Literal["mean", "sum"]) -> Sequence[float]:
        """Values brought together from all processes."""
        if self.accelerator.num_processes == 1:
            return values
        together = torch.tensor(values, dtype=torch.float64, device=self.args.device)
        return self.accelerator.reduce(together, reduction=how).tolist()

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The micro-batch's share of the step's mean loss, and of the mean regulariser."""
        loss = self.objective.loss(model, inputs)
        share = self.shares.pop(0)
        for name, value in {"loss": loss.value.detach(), **loss.metrics}.items():
            self.step_sums[name] += float(value) * share
        self.step_counts[0] += int(real_tokens(inputs).sum())
        self.step_counts[1] += loss.targets
        if loss.regulariser is None:
            return loss.value * share
        regulariser = loss.regulariser / self.settings.gradient_accumulation
        self.step_sums["aux_loss"] += float(regulariser.detach())
        return loss.value * share + regulariser

    def finish_step(self) -> dict[str, float]:
        """Loss and metrics of the step over all micro-batches and processes; counts tokens and targets.

        Raises ``ModelError`` if the loss is not finite.
        """
        tokens, targets = self.reduced(self.step_counts, "sum")
        self.result.tokens += int(tokens)
        self.result.targets += int(targets)
        values = dict(zip(self.step_sums, self.reduced(list(self.step_sums.values()), "mean"), strict=True))
        whole = values["loss"] + values.get("aux_loss", 0.0)
        if not math.isfinite(whole):
            raise Divergence(
                f"The loss is {whole} at step {self.state.global_step} of {self.settings.steps}; lower "
                f"learning_rate={self.settings.learning_rate} or look for damaged weights or data."
            )
        return values

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW or Muon with AdamW, by the settings."""
        if self.optimizer is None:
            network: Any = self.model if model is None else model
            self.optimizer = build_optimizer(network, self.settings)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Warm-up, then the schedule down to its floor."""
        if self.lr_scheduler is None:
            inner: Any = getattr(self.optimizer, "optimizer", self.optimizer)
            self.lr_scheduler = LambdaLR(inner, lambda step: rate_at(step, self.settings))
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        # Tied weights are saved once, so their second name is rightly missing; anything else is another model.
        missing = set(load_result.missing_keys) - set(getattr(self.model, "all_tied_weights_keys", {}))
        if missing or load_result.unexpected_keys:
            raise ModelError(
                f"The checkpoint of step {self.result.resumed_at} does not fit {type(self.model).__name__}: "
                f"{len(missing)} weights missing, {len(load_result.unexpected_keys)} too many; resume with the model "
                "that the run began with."
            )

    def floating_point_ops(self, inputs: Any) -> int:
        """Counted by ``TrainResult`` instead."""
        return 0


class _MicroBatches:
    """Iterates over the micro-batches of this process, starting at the trainer's current step."""

    def __init__(self, trainer: StreamTrainer) -> None:
        self.trainer = trainer

    def __iter__(self) -> Iterator[Batch]:
        trainer, accelerator = self.trainer, self.trainer.accelerator
        step = trainer.state.global_step
        while True:
            chunks = trainer.stream.rows(step).reshape(trainer.parts, -1)
            for chunk in chunks[accelerator.process_index :: accelerator.num_processes]:
                yield trainer.stream.dataset.batch(chunk)
            step += 1


class _Recorder(TrainerCallback):
    """Keeps the history, reports steps, and seals checkpoints."""

    def __init__(self, trainer: StreamTrainer, on_step: Callable[[StepReport], None] | None) -> None:
        self.trainer, self.on_step = trainer, on_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One row of history a step."""
        result, settings = self.trainer.result, self.trainer.settings
        values = self.trainer.finish_step()
        rate = settings.learning_rate * rate_at(state.global_step - 1, settings)
        result.history.append({"step": state.global_step, "learning_rate": rate, **values})
        report = self.trainer.report(state.global_step, values)
        if self.on_step is not None:
            self.on_step(report)
        if self.trainer.stops(report):
            control.should_training_stop = True
            control.should_save = settings.checkpoint_every > 0

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Trainer has just written ``checkpoint-<step>``; the seal makes it count."""
        accelerator, result = self.trainer.accelerator, self.trainer.result
        extra = {
            "tokens": result.tokens,
            "targets": result.targets,
            "history": result.history,
            "compute": result.compute.model_dump(),
        }
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            checkpoints.seal(folder, self.trainer.identity, extra)
            checkpoints.keep_newest(folder.parent, state.global_step)
