"""``paribus sft``, ``dpo`` and ``reward``: one trainer, three objectives, on the user's own model and rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paribus.cli.parts_inputs import Language, Languages, Limit, OnBadRow, Reading, Split, tell_shortened
from paribus.cli.parts_options import (
    Device,
    Model,
    OutFolder,
    Seed,
    Threads,
    prepare,
)
from paribus.cli.parts_recipe import (
    Accumulation,
    CheckpointEvery,
    ClipNorm,
    Compute,
    Epochs,
    Job,
    KeepCheckpoints,
    LearningRate,
    Length,
    LoraAlpha,
    LoraRank,
    OnLong,
    Optimizer,
    Recompute,
    SaveDtype,
    Schedule,
    StepCount,
    Warmup,
    WeightDecay,
)
from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.cli.parts_record import Run
    from paribus.training.settings import TrainSettings
    from paribus.training.trainer import TrainResult

Examples = Annotated[
    str,
    typer.Argument(
        metavar="DATA", help="Conversations that end with the answer: a .jsonl/.parquet file or a hub dataset."
    ),
]
Pairs = Annotated[
    str,
    typer.Argument(
        metavar="PAIRS", help="Rows with prompt, chosen and rejected: a .jsonl/.parquet file or a hub dataset."
    ),
]


def sft(
    model: Model,
    data: Examples,
    out: OutFolder,
    steps: StepCount = None,
    epochs: Epochs = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Packed rows of --length tokens a step.")] = 8,
    length: Length = 1024,
    on_long_row: OnLong = "fail",
    learning_rate: LearningRate = 2e-5,
    warmup: Warmup = 0.05,
    schedule: Schedule = "cosine",
    weight_decay: WeightDecay = 0.0,
    max_grad_norm: ClipNorm = 1.0,
    optimizer: Optimizer = "adamw",
    average: Annotated[
        Literal["token", "example"],
        typer.Option(help="Average the loss over tokens, or over examples (long answers then weigh no more)."),
    ] = "token",
    packing: Annotated[
        bool,
        typer.Option(help="Several conversations a row, blind to each other; --no-packing: one a row."),
    ] = True,
    lora_rank: LoraRank = 0,
    lora_alpha: LoraAlpha = 16.0,
    gradient_accumulation: Accumulation = 1,
    activation_checkpointing: Recompute = False,
    compute: Compute = "auto",
    checkpoint_every: CheckpointEvery = None,
    keep_checkpoints: KeepCheckpoints = False,
    save_dtype: SaveDtype = "stored",
    seed: Seed = 0,
    languages: Languages = "",
    language: Language = None,
    split: Split = None,
    on_bad_row: OnBadRow = "fail",
    limit: Limit = None,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Fine-tune a language model on conversations (loss on the answers only), into a model folder.

    \b
    Example: paribus sft my-model train.jsonl --out tuned --epochs 2 --batch-size 16 --length 1024

    A row: {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}], "language": "de"}.
    Stopped runs go on from their last checkpoint when the same command is given again.
    """
    prepare(threads, device)
    from paribus.cli.parts_record import rows_hash
    from paribus.data.chat import encode_many
    from paribus.data.lengths import shorten
    from paribus.data.packing import pack
    from paribus.data.pairs import padding_id
    from paribus.data.unpacked import one_a_row
    from paribus.models.load import load_tokenizer
    from paribus.training.objectives.causal import Causal
    from paribus.training.separation import keeps_apart

    job = _job(locals())
    rows = Reading(out, languages, language, split, on_bad_row, limit).examples(data)
    vocabulary = load_tokenizer(model)
    encoded, cut = shorten(encode_many(vocabulary, [row.messages for row in rows]), length, on_long_row)
    tell_shortened(cut)
    dataset = (pack if packing else one_a_row)(encoded, length, pad_id=padding_id(vocabulary))
    facts = {"source": data, "rows": len(encoded), "hash": rows_hash(rows)}
    extra = {"average": average, "packing": packing}

    def checked(network: Any, found: Any) -> Any:
        if packing and not keeps_apart(network):
            raise ConfigError(f"{model} does not keep packed conversations apart; give --no-packing.")
        return found

    _train("sft", job, out, model, dataset, Causal(average=average), extra, facts, prepare=checked)


def dpo(
    model: Model,
    pairs: Pairs,
    out: OutFolder,
    reference: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Whom to stay close to.", show_default="MODEL itself")
    ] = None,
    beta: Annotated[float, typer.Option(help="How strongly to stay close to the reference.")] = 0.1,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of pairs taken to be the wrong way round, in [0, 0.5).")
    ] = 0.0,
    steps: StepCount = None,
    epochs: Epochs = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs a step.")] = 16,
    length: Length = 1024,
    on_long_row: OnLong = "fail",
    learning_rate: LearningRate = 1e-6,
    warmup: Warmup = 0.1,
    schedule: Schedule = "cosine",
    weight_decay: WeightDecay = 0.0,
    max_grad_norm: ClipNorm = 1.0,
    optimizer: Optimizer = "adamw",
    lora_rank: LoraRank = 0,
    lora_alpha: LoraAlpha = 16.0,
    gradient_accumulation: Accumulation = 1,
    activation_checkpointing: Recompute = False,
    compute: Compute = "auto",
    checkpoint_every: CheckpointEvery = None,
    keep_checkpoints: KeepCheckpoints = False,
    save_dtype: SaveDtype = "stored",
    seed: Seed = 0,
    languages: Languages = "",
    language: Language = None,
    split: Split = None,
    on_bad_row: OnBadRow = "fail",
    limit: Limit = None,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Teach a model preferences (direct preference optimisation) from chosen and rejected answers.

    \b
    Example: paribus dpo tuned pairs.jsonl --out preferred --beta 0.1 --epochs 1

    A row is {"prompt": [{"role": "user", "content": ...}], "chosen": "...", "rejected": "...", "language": "de"};
    `paribus arbitrage` writes such a file. The reference's log-probabilities are computed once and kept.
    """
    prepare(threads, device)
    from paribus.cli.parts_record import model_identity
    from paribus.models.load import load_causal
    from paribus.training.objectives.dpo import DPO
    from paribus.training.references import add_reference_logprobs

    job = _job(locals())
    objective = DPO(beta=beta, label_smoothing=label_smoothing)
    dataset, facts = _pairs(model, job, pairs, Reading(out, languages, language, split, on_bad_row, limit))
    anchor = model_identity(reference) if reference else None
    extra = {"beta": beta, "label_smoothing": label_smoothing, "reference": anchor}

    def with_reference(network: Any, found: Any) -> Any:
        judge = load_causal(reference, dtype="float32", device=device) if reference else network
        return add_reference_logprobs(judge, found, batch_size=min(batch_size, 64), cache=out / "reference")

    _train("dpo", job, out, model, dataset, objective, extra, facts, prepare=with_reference)


def reward(
    model: Model,
    pairs: Pairs,
    out: OutFolder,
    use_margin: Annotated[
        bool, typer.Option("--use-margin", help="Ask for a gap as large as the pair's margin.")
    ] = False,
    centre: Annotated[float, typer.Option(min=0.0, help="Weight of a term that keeps scores near zero.")] = 0.0,
    steps: StepCount = None,
    epochs: Epochs = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs a step.")] = 32,
    length: Length = 1024,
    on_long_row: OnLong = "fail",
    learning_rate: LearningRate = 1e-5,
    warmup: Warmup = 0.1,
    schedule: Schedule = "cosine",
    weight_decay: WeightDecay = 0.0,
    max_grad_norm: ClipNorm = 1.0,
    optimizer: Optimizer = "adamw",
    gradient_accumulation: Accumulation = 1,
    activation_checkpointing: Recompute = False,
    compute: Compute = "auto",
    checkpoint_every: CheckpointEvery = None,
    keep_checkpoints: KeepCheckpoints = False,
    save_dtype: SaveDtype = "stored",
    seed: Seed = 0,
    languages: Languages = "",
    language: Language = None,
    split: Split = None,
    on_bad_row: OnBadRow = "fail",
    limit: Limit = None,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Train a reward model (Bradley-Terry) on preference pairs, from a language model's body and a fresh head.

    \b
    Example: paribus reward my-model pairs.jsonl --out arbiter --epochs 1 --learning-rate 1e-5

    The folder it makes is what `paribus arbitrage --arbiter` takes. Rows are as for `paribus dpo`.
    """
    prepare(threads, device)
    from paribus.training.objectives.reward import Reward

    job = _job(locals())
    dataset, facts = _pairs(model, job, pairs, Reading(out, languages, language, split, on_bad_row, limit))
    extra = {"use_margin": use_margin, "centre": centre}
    _train("reward", job, out, model, dataset, Reward(use_margin, centre), extra, facts)


def _job(given: dict[str, Any]) -> Job:
    return Job(**{name: given[name] for name in Job.__dataclass_fields__ if name in given})


def _pairs(model: str, job: Job, source: str, reading: Reading) -> tuple[Any, dict[str, Any]]:
    from paribus.cli.parts_record import rows_hash
    from paribus.data.lengths import shorten_pairs
    from paribus.data.pairs import encode_pairs
    from paribus.models.load import load_tokenizer

    rows = reading.pairs(source)
    dataset, cut = shorten_pairs(encode_pairs(load_tokenizer(model), rows), job.length, job.on_long_row)
    tell_shortened(cut)
    return dataset, {"source": source, "rows": len(dataset), "hash": rows_hash(rows)}


def _train(
    part: str,
    job: Job,
    out: Path,
    model: str,
    dataset: Any,
    objective: Any,
    extra: dict[str, Any],
    data_facts: dict[str, Any],
    prepare: Callable[[Any, Any], Any] = lambda network, dataset: dataset,
) -> None:
    """Claim the folder, train (from the newest checkpoint there, if any), save, and say what it took."""
    from paribus.cli.parts_progress import say
    from paribus.cli.parts_record import model_identity, open_folder

    settings = job.settings(len(dataset))
    inputs = {"model": model_identity(model), "data": data_facts}
    run = open_folder(out, part, job.identity(settings) | extra, inputs)
    if run.complete:
        say(f"{out} is finished already; nothing to do.")
        return
    network, vocabulary = _open_model(part, model, job)
    run.begin()
    dataset = prepare(network, dataset)
    rows = "packed rows" if part == "sft" else "pairs"
    say(f"{part}: {len(dataset):,} {rows}, {settings.steps:,} steps of {settings.batch_size} on {job.device}")
    result = _fit(network, dataset, objective, settings, job, out)
    _save(result.model, vocabulary, model, job, out)
    _report(run, result, out)


def _open_model(part: str, model: str, job: Job) -> tuple[Any, Any]:
    """The network, in float32, and its tokenizer. A reward model starts with a head drawn by the seed."""
    import torch

    from paribus.data.lengths import context_of
    from paribus.models.load import load_causal, load_reward, load_tokenizer

    torch.manual_seed(job.seed)
    if part == "reward":
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


def _fit(network: Any, dataset: Any, objective: Any, settings: "TrainSettings", job: Job, out: Path) -> "TrainResult":
    from paribus.cli.parts_progress import Steps, say
    from paribus.data.stream import BatchStream
    from paribus.training.compute import FP32, ComputePath
    from paribus.training.trainer import train

    attention: Literal["eager", "sdpa"] = "eager" if job.device == "cpu" else "sdpa"
    paths = {"auto": "auto", "float32": FP32, "bfloat16": ComputePath(dtype="bfloat16", attention=attention)}
    stream = BatchStream(dataset, settings.batch_size, settings.seed)
    with Steps("training", settings.steps, "step") as steps, _memory_told(job):
        result = train(
            network,
            stream,
            objective,
            settings,
            compute=paths[job.compute],  # type: ignore[arg-type]
            checkpoint_dir=out / "checkpoints",
            on_step=lambda step: steps(step.step, tokens=step.tokens, loss=step.loss),
            device=job.device,
        )
    if result.resumed_at:
        say(f"(went on from the checkpoint of step {result.resumed_at})")
    return result


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


def _save(network: Any, vocabulary: Any, model: str, job: Job, out: Path) -> None:
    """Write the model folder's files by rename, the weights last, then drop checkpoints unless they are to be kept."""
    import shutil

    from paribus.models.dtype import dtype_named, stored_dtype

    if job.lora_rank:
        network = network.merge_and_unload()
    dtype = stored_dtype(model) if job.save_dtype == "stored" else dtype_named(job.save_dtype)
    partial = out / ".saving"
    shutil.rmtree(partial, ignore_errors=True)
    network.to(dtype=dtype).save_pretrained(partial)
    vocabulary.save_pretrained(partial)
    for file in sorted(partial.iterdir(), key=lambda file: (file.suffix == ".safetensors", file.name)):
        file.chmod(0o644)
        file.replace(out / file.name)
    partial.rmdir()
    if not job.keep_checkpoints:
        shutil.rmtree(out / "checkpoints", ignore_errors=True)


def _report(run: "Run", result: "TrainResult", out: Path) -> None:
    import json

    from paribus.cli.parts_progress import say

    history = "".join(json.dumps(row) + "\n" for row in result.history)
    (out / "history.jsonl").write_text(history, encoding="utf-8")
    last = {name: value for name, value in result.history[-1].items() if name not in ("step", "learning_rate")}
    cost = {"tokens": result.tokens, "targets": result.targets, "flops": result.flops}
    run.finish(cost=cost, results={"last_step": last, "compute": result.compute.model_dump()})
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in last.items())
    say(f"Finished: {result.steps:,} steps, {result.tokens:,} tokens; last step: {numbers}.")
    print(out)
