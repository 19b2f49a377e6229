"""``paribus sft``, ``dpo`` and ``reward``: one trainer, three objectives, on the user's own model and rows."""

from typing import Annotated, Any, Literal

import typer

from paribus.cli.parts_fitting import Fitting
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

    job = Job.of(locals())
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

    Fitting("sft", job, out, model, Causal(average=average), extra, {"data": facts}, prepare=checked).run(dataset)


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

    job = Job.of(locals())
    objective = DPO(beta=beta, label_smoothing=label_smoothing)
    dataset, facts = _pairs(model, job, pairs, Reading(out, languages, language, split, on_bad_row, limit))
    anchor = model_identity(reference) if reference else None
    extra = {"beta": beta, "label_smoothing": label_smoothing, "reference": anchor}

    def with_reference(network: Any, found: Any) -> Any:
        judge = load_causal(reference, dtype="float32", device=device) if reference else network
        return add_reference_logprobs(judge, found, batch_size=min(batch_size, 64), cache=out / "reference")

    Fitting("dpo", job, out, model, objective, extra, {"data": facts}, "pairs", prepare=with_reference).run(dataset)


def reward(
    model: Model,
    pairs: Pairs,
    out: OutFolder,
    critiques: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Read these with the answers (`paribus critique`).", show_default="none"),
    ] = None,
    reads: Annotated[
        Literal["both", "critique_only"],
        typer.Option(help="With --critiques: prompt, answer and critique, or, as an ablation, the critique alone."),
    ] = "both",
    on_missing_critique: Annotated[
        Literal["fail", "skip"],
        typer.Option(help="A pair without a critique of both answers: stop, or leave it out and count it."),
    ] = "fail",
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
             paribus reward my-model pairs.jsonl --critiques critiques.jsonl --out reader --epochs 1

    The folder it makes is what `paribus arbitrage --arbiter` takes. Rows are as for `paribus dpo`. Critiques belong to
    the answers they were written about (`paribus critique PAIRS`); truncation then cuts the prompt's head, the answer's
    middle, never a critique.
    """
    prepare(threads, device)
    from paribus.training.objectives.reward import Reward

    job = Job.of(locals())
    reading = Reading(out, languages, language, split, on_bad_row, limit)
    extra: dict[str, Any] = {"use_margin": use_margin, "centre": centre}
    if critiques is None:
        dataset, facts = _pairs(model, job, pairs, reading)
    else:
        dataset, facts = _critiqued_pairs(model, job, pairs, reading, (critiques, reads, on_missing_critique))
        extra |= {"reads": reads, "on_missing_critique": on_missing_critique}
    objective = Reward(use_margin, centre)
    Fitting("reward", job, out, model, objective, extra, {"data": facts}, "pairs", fresh_head=True).run(dataset)


def _pairs(model: str, job: Job, source: str, reading: Reading) -> tuple[Any, dict[str, Any]]:
    from paribus.models.load import load_tokenizer

    rows = reading.pairs(source)
    return _encoded(load_tokenizer(model), job, rows, source)


def _critiqued_pairs(
    model: str, job: Job, source: str, reading: Reading, reads: tuple[str, Any, Any]
) -> tuple[Any, dict[str, Any]]:
    """Pairs as a model that reads critiques sees them; ``reads``: the file, what is read, what to do where it lacks."""
    from paribus.cli.parts_progress import say
    from paribus.cli.parts_record import rows_hash
    from paribus.feedback.critiques import join, pairs_to_read
    from paribus.models.load import load_tokenizer
    from paribus.records import Critique, read_records

    (file, what, on_missing), vocabulary = reads, load_tokenizer(model)
    written = list(read_records(file, Critique))
    joined = join(reading.pairs(source), written, on_missing=on_missing)
    room = job.length if job.on_long_row == "truncate" else None
    rows, cut = pairs_to_read(joined.rows, reads=what, tokenizer=vocabulary, most_tokens=room)
    told = {"source": file, "hash": rows_hash(written), "critic": joined.critic, "missing": joined.missing}
    told |= {"cut": cut.prompts, "cut_answers": cut.answers, "cut_share": round(cut.share, 6)}
    dataset, facts = _encoded(vocabulary, job, rows, source)
    say(
        f"Critiques by {joined.critic}: {len(rows):,} pairs, {joined.missing:,} left out without; {cut.prompts:,} "
        f"({cut.share:.1%}) cut to {job.length:,} tokens, {cut.answers:,} of them in an answer."
    )
    return dataset, {**facts, "critiques": told}


def _encoded(vocabulary: Any, job: Job, rows: Any, source: str) -> tuple[Any, dict[str, Any]]:
    """The pairs' tokens, long rows treated as asked and counted; and what the run's record says of the data."""
    from paribus.cli.parts_record import rows_hash
    from paribus.data.lengths import shorten_pairs
    from paribus.data.pairs import encode_pairs

    assert job.on_long_row is not None  # both commands have the option
    dataset, cut = shorten_pairs(encode_pairs(vocabulary, rows), job.length, job.on_long_row)
    tell_shortened(cut)
    return dataset, {"source": source, "rows": len(dataset), "hash": rows_hash(rows)}
