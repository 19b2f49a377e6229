"""``paribus critique``: a critic writes about every answer by itself, seeing no other answer and no label."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paribus.cli.parts_engines import (
    ApiKeyVariable,
    Concurrency,
    DryRun,
    Endpoint,
    EngineChoice,
    PriceCap,
    Prices,
    cache_beside,
    cost_of,
    foresee,
    name_of,
)
from paribus.cli.parts_inputs import Language, Languages, Limit, OnBadRow, Reading, Split
from paribus.cli.parts_options import AcceptFailures, BatchSize, Device, Dtype, OutFile, Seed, Threads, prepare
from paribus.errors import ConfigError, DataError

if TYPE_CHECKING:
    from paribus.feedback.critiques import Critic
    from paribus.records import Completion, Critique, Prompt

Source = Annotated[
    str,
    typer.Argument(metavar="PROMPTS", help="Prompts, with COMPLETIONS; alone: pairs, both answers of which are meant."),
]
Answers = Annotated[
    str | None, typer.Argument(metavar="[COMPLETIONS]", help="Answers to the prompts (`paribus generate`).")
]
CriticModel = Annotated[
    str,
    typer.Option(
        "--critic",
        metavar="MODEL",
        help="The critic: a folder, a hub id, a name at --endpoint, or 'rules': the graded world's own verifier.",
    ),
]
Template = Annotated[
    Literal["review", "review-one-turn", "short"],
    typer.Option(help="What the critic is asked: in full, without a system turn, or as a trained critic is."),
]
RULES = "rules"


def critique(
    source: Source,
    completions: Answers = None,
    *,
    out: OutFile,
    critic: CriticModel,
    endpoint: Endpoint = None,
    template: Template = "review",
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a critique at most.")] = 512,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: the critic's likeliest words.")] = 0.0,
    top_p: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Draw from the likeliest tokens of this total probability.")
    ] = 1.0,
    accuracy: Annotated[float, typer.Option(min=0.0, max=1.0, help="rules: the chance of a claim to be right.")] = 1.0,
    omission: Annotated[float, typer.Option(min=0.0, max=1.0, help="rules: the chance of one to be left out.")] = 0.0,
    dry_run: DryRun = False,
    seed: Seed = 0,
    batch_size: BatchSize = 64,
    api_key_variable: ApiKeyVariable = "OPENAI_API_KEY",
    concurrency: Concurrency = 8,
    prices: Prices = "",
    price_cap: PriceCap = None,
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
    """Let a critic write about answers, each alone, into a file of critiques for reward models to read.

    \b
    Example: paribus critique prompts.jsonl answers.jsonl --critic my-critic --out critiques.jsonl
             paribus critique pairs.jsonl --critic a-model --endpoint http://localhost:8000/v1 --out critiques.jsonl

    Critiques are saved as they come; the same command given again asks only for what is missing. `paribus reward
    MODEL PAIRS --critiques FILE` trains on them.
    """
    prepare(threads, device)
    reading = Reading(out, languages, language, split, on_bad_row, limit)
    answers = _read(reading, source, completions)
    settings: dict[str, Any] = {"template": template, "max_tokens": max_tokens, "temperature": temperature}
    settings |= {"top_p": top_p, "seed": seed}
    if critic == RULES:
        settings = {"accuracy": accuracy, "omission": omission, "seed": seed}
    choice = EngineChoice(
        critic, name_of(critic, None), endpoint, api_key_variable, concurrency, prices, price_cap, device, dtype
    )
    _write(choice, answers, settings, out, batch_size, accept_failures, dry_run)
    if not dry_run:
        print(out)


@dataclass(frozen=True)
class _Answers:
    """What is asked about; ``sources`` are the files, ``failed`` and ``others`` count completions left out."""

    rows: "Sequence[tuple[Prompt, Completion]]"
    sources: tuple[str, ...]
    failed: int = 0
    others: int = 0

    @property
    def facts(self) -> dict[str, Any]:
        """Names and hashes for the run's record."""
        from paribus.cli.parts_record import rows_hash

        hashes = [rows_hash(row[place] for row in self.rows) for place in (0, 1)]
        counts = {"answers": len(self.rows), "failed": self.failed, "to_other_prompts": self.others}
        return {"sources": list(self.sources), "hashes": hashes, **counts}


def _read(reading: Reading, source: str, completions: str | None) -> _Answers:
    from paribus.cli.parts_progress import say
    from paribus.feedback.critiques import answers_of

    if completions is None:
        return _Answers(list(zip(*answers_of(reading.pairs(source)), strict=True)), (source,))
    prompts = {prompt.id: prompt for prompt in reading.prompts(source)}  # the readers refuse an id that comes twice
    given = reading.completions(completions)
    own = [row for row in given if row.prompt_id in prompts]
    rows = [(prompts[row.prompt_id], row) for row in own if row.finish != "error"]
    if not rows:
        raise DataError(f"{completions} has no answer to a prompt of {source}; are these files of one run?")
    found = _Answers(rows, (source, completions), failed=len(own) - len(rows), others=len(given) - len(own))
    if found.failed or found.others:
        say(f"Of {len(given)} answers {found.others} to other prompts and {found.failed} failed requests are left out.")
    return found


def _requests(answers: _Answers, settings: dict[str, Any]) -> list[Any]:
    """What a model would be asked; equal answers to a prompt share a request."""
    from paribus.inference.scripted import ScriptedEngine

    asking = _engine_critic(ScriptedEngine(lambda request: ""), settings)
    return list({request.id: request for request in (asking.request(*row) for row in answers.rows)}.values())


def _engine_critic(engine: Any, settings: dict[str, Any]) -> Any:
    from paribus.feedback.critiques import TEMPLATES, EngineCritic

    sampling = {name: value for name, value in settings.items() if name != "template"}
    return EngineCritic(engine, template=TEMPLATES[settings["template"]], **sampling)


def _write(
    choice: EngineChoice,
    answers: _Answers,
    settings: dict[str, Any],
    out: Path,
    batch_size: int,
    accept: bool,
    dry_run: bool,
) -> None:
    """Have the critiques written into ``out``, going on where an earlier run stopped, and say what they are like."""
    from paribus.cli.parts_answers import settle
    from paribus.cli.parts_progress import Steps, say
    from paribus.cli.parts_record import open_file
    from paribus.data.growing import GrowingFile, fill
    from paribus.records import Critique, read_records

    languages = {prompt.id: prompt.language for prompt, _ in answers.rows}
    run = open_file(out, "critique", settings, {"critic": _identity(choice), "data": answers.facts})
    if run.complete:
        say(f"{out} is finished already; nothing to do.")
        report(list(read_records(out, Critique)), languages)
        return
    if dry_run:
        foresee(choice, _requests(answers, settings) if choice.model != RULES else [], out)
        return
    file = GrowingFile(out, Critique, lambda row: f"{row.prompt_id}/{row.completion_id}")
    keys = [f"{row.prompt_id}/{row.id}" for _, row in answers.rows]
    cache = cache_beside(out)
    with Steps(f"critiques of {choice.name}", len(keys), "answer") as steps:
        critic = _open(choice, settings, cache, answers)
        run.begin()
        failures = fill(
            file,
            list(zip(keys, answers.rows, strict=True)),
            lambda item: [item[0]],
            lambda chunk: critic.critique([row[0] for _, row in chunk], [row[1] for _, row in chunk]),
            size=batch_size,
            failed=lambda row: row.meta.get("error"),
            progress=steps,
        )
    settle(file, failures, accept)
    rows = file.finish(keys)
    cache.unlink(missing_ok=True)
    run.finish(cost=_cost(critic, rows), results={"failures": len(failures), **report(rows, languages)})


def _identity(choice: EngineChoice) -> dict[str, str]:
    if choice.model != RULES:
        return choice.identity
    if choice.endpoint is not None:
        raise ConfigError("--critic rules needs no --endpoint; leave it off, or name a model there.")
    return {"name": RULES}


def _open(choice: EngineChoice, settings: dict[str, Any], cache: Path, answers: _Answers) -> "Critic":
    from paribus.cli.parts_answers import check_lengths
    from paribus.feedback.critiques import graded_critic

    if choice.model == RULES:
        return graded_critic(**settings)
    critic = _engine_critic(choice.open(cache), settings)
    asked = [(answer.id, critic.request(prompt, answer).messages) for prompt, answer in answers.rows]
    check_lengths(critic.engine, asked, settings["max_tokens"])
    written: Critic = critic
    return written


def _cost(critic: "Critic", rows: "Sequence[Critique]") -> dict[str, Any]:
    """Calls and tokens; equal answers shared a call."""
    calls = {row.meta["request"]: int(row.meta["tokens"]) for row in rows if "request" in row.meta}
    spent = cost_of(getattr(critic, "engine", None), [])
    return {**spent, "calls": len(calls), "generated_tokens": sum(calls.values())}


def report(critiques: "Sequence[Critique]", languages: dict[str, str]) -> dict[str, Any]:
    """Print and return, by language, how many critiques there are, how many are empty or end at the limit, how many
    speak of all three aspects, and their mean length in letters. ``languages`` by prompt id."""
    from paribus.cli.parts_progress import print_table

    found = {}
    for code in ["all", *sorted(set(languages.values()))]:
        rows = [row for row in critiques if code in ("all", languages[row.prompt_id])]
        found[code] = {
            "critiques": len(rows),
            "empty": sum(not row.text.strip() for row in rows),
            "at_limit": sum(row.meta.get("finish") == "length" for row in rows),
            "all_aspects": sum(len(row.aspects) >= 3 for row in rows),
            "mean_letters": round(sum(len(row.text) for row in rows) / len(rows), 1) if rows else 0.0,
        }
    columns = ["language", "critiques", "empty", "at --max-tokens", "with all aspects", "letters (mean)"]
    print_table(f"Critic {critiques[0].critic}", columns, [[code, *counts.values()] for code, counts in found.items()])
    return {"by_language": found}
