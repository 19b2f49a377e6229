"""``paribus generate``: answers to prompts, from a model here or behind an address, kept item by item."""

from typing import Annotated

import typer

from paribus.cli.parts_engines import (
    ApiKeyVariable,
    Concurrency,
    DryRun,
    Endpoint,
    EngineChoice,
    PriceCap,
    Prices,
    name_of,
)
from paribus.cli.parts_inputs import Language, Languages, Limit, OnBadRow, Reading, Split
from paribus.cli.parts_options import (
    AcceptFailures,
    BatchSize,
    Device,
    Dtype,
    OutFile,
    Prompts,
    Seed,
    Threads,
    prepare,
)

AnsweringModel = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model folder or a hub id; with --endpoint, the name the server lists.")
]
Samples = Annotated[int, typer.Option(min=1, help="Answers to each prompt.")]
Temperature = Annotated[float, typer.Option(min=0.0, help="0: the likeliest token each time; 1: as the model says.")]
TopP = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Draw from the likeliest tokens of this total probability.")
]
MaxTokens = Annotated[int, typer.Option(min=1, help="Tokens of an answer at most.")]
Name = Annotated[str | None, typer.Option(help="The model's name in the records.", show_default="folder or hub id")]


def generate(
    model: AnsweringModel,
    prompts: Prompts,
    out: OutFile,
    samples: Samples = 1,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    max_tokens: MaxTokens = 256,
    seed: Seed = 0,
    name: Name = None,
    batch_size: BatchSize = 64,
    endpoint: Endpoint = None,
    api_key_variable: ApiKeyVariable = "OPENAI_API_KEY",
    concurrency: Concurrency = 8,
    prices: Prices = "",
    price_cap: PriceCap = None,
    dry_run: DryRun = False,
    accept_failures: AcceptFailures = False,
    languages: Languages = "",
    language: Language = None,
    split: Split = None,
    on_bad_row: OnBadRow = "fail",
    limit: Limit = None,
    device: Device = "cpu",
    dtype: Dtype = "auto",
    threads: Threads = None,
) -> None:
    """Let a model answer prompts, into a file of completions.

    \b
    Example: paribus generate my-model prompts.jsonl --out answers.jsonl --max-tokens 200
             paribus generate a-model prompts.jsonl --out answers.jsonl --endpoint http://localhost:8000/v1

    A prompt is {"id": "p1", "language": "de", "messages": [{"role": "user", "content": "..."}]}. Answers are saved as
    they come; the same command given again asks only for what is missing.
    """
    prepare(threads, device)
    from paribus.cli.parts_answers import Asked, answer

    rows = Reading(out, languages, language, split, on_bad_row, limit).prompts(prompts)
    choice = EngineChoice(
        model, name_of(model, name), endpoint, api_key_variable, concurrency, prices, price_cap, device, dtype
    )
    asked = Asked(samples, temperature, top_p, max_tokens, seed)
    answer(
        choice,
        rows,
        asked,
        out,
        source=prompts,
        batch_size=batch_size,
        accept_failures=accept_failures,
        dry_run=dry_run,
    )
    if not dry_run:
        print(out)
