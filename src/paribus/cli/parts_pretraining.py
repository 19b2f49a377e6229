"""``paribus pretrain``: a causal model, dense or a mixture, trained on plain text of several domains."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.cli.parts_domains import HeldOut, draw, parse_domains, parse_sources
from paribus.cli.parts_fitting import Fitting
from paribus.cli.parts_inputs import Language, Languages, Limit, OnBadRow, Reading, Split
from paribus.cli.parts_options import Device, Model, OutFolder, Seed, Threads, prepare
from paribus.cli.parts_recipe import (
    Accumulation,
    CheckpointEvery,
    ClipNorm,
    Compute,
    Epochs,
    Freeze,
    Job,
    KeepCheckpoints,
    LearningRate,
    Length,
    LoraAlpha,
    LoraRank,
    Optimizer,
    Recompute,
    RouterLearningRate,
    RouterWeightDecay,
    SaveDtype,
    Schedule,
    StepCount,
    Warmup,
    WeightDecay,
)
from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.data.chat import Encoded

Texts = Annotated[
    list[str],
    typer.Option(
        "--text",
        metavar="NAME=SOURCE[:SHARE]",
        help="A domain: rows with a text column in a .jsonl/.parquet file, a folder or a hub dataset, and its share of "
        "the tokens (repeatable). Domains without a share take what is left, in equal parts.",
    ),
]
Tests = Annotated[
    list[str] | None,
    typer.Option(
        "--test",
        metavar="NAME=SOURCE",
        help="Held-out text: bits per byte before and after, by name (repeatable).",
        show_default="none",
    ),
]
Tokens = Annotated[
    int | None,
    typer.Option(min=1, help="Tokens to draw.", show_default="all that the shares allow without a document twice"),
]
Repeat = Annotated[bool, typer.Option("--repeat", help="With --tokens: use a domain's text again when it runs out.")]


def pretrain(
    model: Model,
    text: Texts,
    out: OutFolder,
    test: Tests = None,
    tokens: Tokens = None,
    repeat: Repeat = False,
    steps: StepCount = None,
    epochs: Epochs = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Packed rows of --length tokens a step.")] = 8,
    length: Length = 1024,
    learning_rate: LearningRate = 2e-5,
    warmup: Warmup = 0.05,
    schedule: Schedule = "cosine",
    weight_decay: WeightDecay = 0.1,
    max_grad_norm: ClipNorm = 1.0,
    optimizer: Optimizer = "adamw",
    freeze: Freeze = None,
    router_learning_rate: RouterLearningRate = None,
    router_weight_decay: RouterWeightDecay = None,
    packing: Annotated[
        bool, typer.Option(help="Several documents a row, blind to each other; --no-packing: one a row.")
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
    """Go on training a language model, or a mixture, on plain text (loss on all tokens), into a model folder.

    \b
    Example: paribus pretrain seed --text code=code.jsonl:0.9 --text general=web.jsonl --out code-expert --language en
             paribus pretrain mixture --text general=web.jsonl --text code=code.jsonl --out mixed --language en

    A row: {"text": "...", "language": "en"}. Documents longer than --length are cut into parts; none is lost.
    Stopped runs go on from their last checkpoint when the same command is given again.
    """
    domains, held_out = parse_domains(text), parse_sources(test or (), "--test")
    if repeat and tokens is None:
        raise ConfigError("--repeat needs --tokens; without an amount no domain runs out of text.")
    prepare(threads, device)
    from paribus.models.load import load_tokenizer
    from paribus.training.objectives.causal import Causal

    job, vocabulary = Job.of(locals()), load_tokenizer(model)
    reading = Reading(out, languages, language, split, on_bad_row, limit)
    texts = {name: reading.documents(source, name, name) for name, (source, _) in domains.items()}
    trial = HeldOut.read(held_out, reading)
    trial.tell_seen(texts)
    drawn = draw(texts, domains, vocabulary, length=length, tokens=tokens, repeat=repeat, seed=seed)
    dataset = _arranged(drawn.rows, vocabulary, length, packing)

    def checked(network: Any, found: Any) -> Any:
        _check(network, model, job, packing)
        trial.before(network, vocabulary)
        return found

    Fitting(
        "pretrain",
        job,
        out,
        model,
        Causal(),
        {"packing": packing, "tokens": tokens, "repeat": repeat},
        drawn.facts | trial.facts() | {"data": dataset.data_hash},
        "packed rows" if packing else "rows",
        prepare=checked,
        examine=lambda network, words: trial.after(network, words, out),
    ).run(dataset)


def _arranged(rows: "list[Encoded]", vocabulary: Any, length: int, packing: bool) -> Any:
    from paribus.data.packing import pack
    from paribus.data.pairs import padding_id
    from paribus.data.unpacked import one_a_row

    return (pack if packing else one_a_row)(rows, length, pad_id=padding_id(vocabulary))


def _check(network: Any, model: str, job: Job, packing: bool) -> None:
    """Refuse a model that the options do not fit."""
    from paribus.training.optimizers import split_parameters
    from paribus.training.separation import keeps_apart

    if packing and not keeps_apart(network):
        raise ConfigError(f"{model} does not keep packed documents apart; give --no-packing.")
    asked = {"learning-rate": job.router_learning_rate, "weight-decay": job.router_weight_decay}
    name = next((name for name, value in asked.items() if value is not None), None)
    if name is not None and not split_parameters(network).routers:
        raise ConfigError(f"--router-{name} is given, and {model} has no routers; leave it out.")
