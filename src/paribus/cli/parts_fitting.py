"""How every training command runs: claim the folder, train from the newest checkpoint there, save, say what it took."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from paribus.cli.parts_recipe import Job
from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.cli.parts_record import Run
    from paribus.training.settings import TrainSettings
    from paribus.training.trainer import TrainResult


def as_given(network: Any, dataset: Any) -> Any:
    """The data as they are, whatever the network."""
    return dataset


def nothing_more(network: Any, vocabulary: Any) -> dict[str, Any]:
    """No results beside those of training."""
    return {}


@dataclass(frozen=True)
class Fitting:
    """One training command on one folder.

    ``extra``: the options, and ``inputs`` the data, that decide the result beside ``job`` and the model. ``rows``: what
    the data's rows are called. ``prepare`` (network, dataset) gives the data to train on, and may refuse the network;
    ``examine`` (network as saved, tokenizer) gives further results, before the checkpoints go.
    """

    part: str
    job: Job
    out: Path
    model: str
    objective: Any
    extra: dict[str, Any]
    inputs: dict[str, Any]
    rows: str = "packed rows"
    prepare: Callable[[Any, Any], Any] = as_given
    examine: Callable[[Any, Any], dict[str, Any]] = nothing_more
    fresh_head: bool = field(default=False, kw_only=True)

    def run(self, dataset: Any) -> None:
        """Train on ``dataset``; a folder that holds the finished run is left alone."""
        from paribus.cli.parts_progress import say
        from paribus.cli.parts_record import model_identity, open_folder

        job, settings = self.job, self.job.settings(len(dataset))
        inputs = {"model": model_identity(self.model), **self.inputs}
        run = open_folder(self.out, self.part, job.identity(settings) | self.extra, inputs)
        if run.complete:
            say(f"{self.out} is finished already; nothing to do.")
            return
        network, vocabulary = self._open_model()
        run.begin()
        dataset = self.prepare(network, dataset)
        say(
            f"{self.part}: {len(dataset):,} {self.rows}, {settings.steps:,} steps of {settings.batch_size} on "
            f"{job.device}"
        )
        result = self._fit(network, dataset, settings)
        found = self.examine(self._save(result.model, vocabulary), vocabulary)
        self._drop_checkpoints()
        _report(run, result, self.out, found)

    def _open_model(self) -> tuple[Any, Any]:
        """The network, in float32, and its tokenizer. A fresh head is drawn by the seed."""
        import torch

        from paribus.data.lengths import context_of
        from paribus.models.load import load_causal, load_reward, load_tokenizer

        job, model = self.job, self.model
        torch.manual_seed(job.seed)
        if self.fresh_head:
            network = load_reward(model, dtype="float32", device=job.device, fresh_head=True)
        else:
            network = load_causal(model, dtype="float32", device=job.device)
        context = context_of(network.config)
        if context is not None and job.length > context:
            raise ConfigError(f"--length {job.length} exceeds the {context} positions of {model}; lower it.")
        vocabulary = load_tokenizer(model, model=network)
        if network.config.pad_token_id is None:
            network.config.pad_token_id = vocabulary.pad_token_id
        return network, vocabulary

    def _fit(self, network: Any, dataset: Any, settings: "TrainSettings") -> "TrainResult":
        from paribus.cli.parts_progress import Steps, say
        from paribus.data.stream import BatchStream
        from paribus.training.compute import FP32, ComputePath
        from paribus.training.trainer import train

        job = self.job
        attention: Literal["eager", "sdpa"] = "eager" if job.device == "cpu" else "sdpa"
        paths = {"auto": "auto", "float32": FP32, "bfloat16": ComputePath(dtype="bfloat16", attention=attention)}
        stream = BatchStream(dataset, settings.batch_size, settings.seed)
        with Steps("training", settings.steps, "step") as steps, _memory_told(job):
            result = train(
                network,
                stream,
                self.objective,
                settings,
                compute=paths[job.compute],  # type: ignore[arg-type]
                checkpoint_dir=self.out / "checkpoints",
                on_step=lambda step: steps(step.step, tokens=step.tokens, loss=step.loss),
                device=job.device,
            )
        if result.resumed_at:
            say(f"(went on from the checkpoint of step {result.resumed_at})")
        return result

    def _save(self, network: Any, vocabulary: Any) -> Any:
        """Write the model folder's files by rename, the weights last; the network as it was saved."""
        import shutil

        from paribus.models.dtype import dtype_named, stored_dtype

        job = self.job
        if job.lora_rank:
            network = network.merge_and_unload()
        dtype = stored_dtype(self.model) if job.save_dtype == "stored" else dtype_named(job.save_dtype)
        partial = self.out / ".saving"
        shutil.rmtree(partial, ignore_errors=True)
        network.to(dtype=dtype).save_pretrained(partial)
        vocabulary.save_pretrained(partial)
        for file in sorted(partial.iterdir(), key=lambda file: (file.suffix == ".safetensors", file.name)):
            file.chmod(0o644)
            file.replace(self.out / file.name)
        partial.rmdir()
        return network

    def _drop_checkpoints(self) -> None:
        import shutil

        if not self.job.keep_checkpoints:
            shutil.rmtree(self.out / "checkpoints", ignore_errors=True)


@contextmanager
def _memory_told(job: Job) -> Iterator[None]:
    """Say what to do when the device is too small."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"The memory of {job.device} does not hold {job.batch_size} rows of {job.length} tokens at once; raise "
            "--gradient-accumulation, add --activation-checkpointing, or train adapters (--lora-rank)."
        ) from error


def _report(run: "Run", result: "TrainResult", out: Path, found: dict[str, Any]) -> None:
    import json

    from paribus.cli.parts_progress import say

    history = "".join(json.dumps(row) + "\n" for row in result.history)
    (out / "history.jsonl").write_text(history, encoding="utf-8")
    last = {name: value for name, value in result.history[-1].items() if name not in ("step", "learning_rate")}
    cost = {"tokens": result.tokens, "targets": result.targets, "flops": result.flops}
    run.finish(cost=cost, results={"last_step": last, "compute": result.compute.model_dump(), **found})
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in last.items())
    say(f"Finished: {result.steps:,} steps, {result.tokens:,} tokens; last step: {numbers}.")
    print(out)
