"""``paribus ratings cells | design | rate | import``: from prompts to forms, and from forms to ratings."""

from collections.abc import Sequence
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
from paribus.cli.parts_options import (
    AcceptFailures,
    BatchSize,
    Device,
    Dtype,
    OutFile,
    OutFolder,
    Prompts,
    Seed,
    Threads,
    prepare,
)
from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.feedback.annotation.design import Form
    from paribus.feedback.annotation.machine import RatingTask
    from paribus.records import Completion, Prompt, Rating

Answers = Annotated[
    list[str], typer.Argument(metavar="ANSWERS...", help="Completions, of several models or preambles or both.")
]
Passes = Annotated[str, typer.Option(help="Passes to make forms for; each has raters of its own.")]
System = Annotated[
    bool, typer.Option(help="Put rules and preambles into a system turn; --no-system for chat templates without one.")
]
RaterModelName = Annotated[
    str, typer.Option("--rater", metavar="MODEL", help="The rater: a folder, a hub id, or a name at --endpoint.")
]


def cells(
    prompts: Prompts,
    models: Annotated[str, typer.Option(metavar="NAMES", help="Models that will answer, with commas between.")],
    out: OutFolder,
    preambles: Annotated[
        str, typer.Option(metavar="NAMES", help="Preambles to cross the models with.", show_default="all five")
    ] = "",
    per_input: Annotated[int, typer.Option(min=1, help="Answers to each prompt, each in another cell.")] = 5,
    system: System = True,
    seed: Seed = 0,
    languages: Languages = "",
    language: Language = None,
    split: Split = None,
    on_bad_row: OnBadRow = "fail",
    limit: Limit = None,
) -> None:
    """Deal each prompt to some of the cells model x preamble, evenly; write what each model is to answer.

    \b
    Example: paribus ratings cells prompts.jsonl --models small,large --out cells
             paribus generate path/of/small cells/small.jsonl --name small --samples 4 --temperature 0.7
                 --out small.jsonl

    Then `paribus ratings design` makes forms of the answers.
    """
    from paribus.cli.parts_progress import print_table
    from paribus.feedback.annotation.design import deal_cells
    from paribus.feedback.annotation.preambles import prompts_by_model
    from paribus.feedback.annotation.schema import PREAMBLES
    from paribus.records import write_records

    out.mkdir(parents=True, exist_ok=True)
    rows = Reading(out / "prompts", languages, language, split, on_bad_row, limit).prompts(prompts)
    names, manners = _names(models), _names(preambles) or PREAMBLES
    dealt = deal_cells([row.id for row in rows], names, manners, per_input=per_input, seed=seed)
    asked = prompts_by_model(rows, dealt, system=system)
    for name in names:
        write_records(out / f"{_file_name(name)}.jsonl", asked.get(name, []))
    table = [[name, *(_count(asked.get(name, []), manner) for manner in manners)] for name in names]
    print_table("Answers wanted", ["model", *manners], table)
    print(out)


def design(
    prompts: Prompts,
    answers: Answers,
    out: OutFile,
    passes: Passes = "errors,quality,style",
    errors: Annotated[
        Literal["ten", "seven"], typer.Option(help="Errors to ask for; seven leaves out scope, fluency and harm.")
    ] = "ten",
    repeats: Annotated[int, typer.Option(min=0, help="Further showings of a repeated pair, for agreement.")] = 4,
    repeated: Annotated[float, typer.Option(min=0, max=1, help="Share of prompts with a repeated pair.")] = 0.25,
    distractors: Annotated[int, typer.Option(min=0, help="Pairs a prompt with an answer to another prompt.")] = 1,
    attention: Annotated[bool, typer.Option(help="Two questions with a told answer on forms for errors.")] = True,
    select: Annotated[
        bool, typer.Option("--select", help="Keep one of several answers in a cell: by readability or apology.")
    ] = False,
    seed: Seed = 0,
    languages: Languages = "",
    language: Language = None,
    split: Split = None,
    on_bad_row: OnBadRow = "fail",
    limit: Limit = None,
) -> None:
    """Make forms, two answers side by side, for people (`paribus annotate`) or models (`paribus ratings rate`).

    \b
    Example: paribus ratings design prompts.jsonl small.jsonl large.jsonl --out forms.jsonl

    All pairs of the answers to a prompt are shown, in random order and places, each pass on forms of its own.
    """
    from paribus.feedback.annotation.design import Design, make_forms
    from paribus.feedback.annotation.schema import ERRORS, SEVEN, the_pass
    from paribus.records import write_records

    reading = Reading(out, languages, language, split, on_bad_row, limit)
    rows = reading.prompts(prompts)
    given = _of_prompts(rows, [row for path in answers for row in reading.completions(path)])
    plan = Design(
        passes=tuple(the_pass(name) for name in _names(passes)),
        repeats=repeats,
        repeated=repeated,
        distractors=distractors,
        errors=ERRORS if errors == "ten" else SEVEN,
        attention={"errors": ("yes", "no")} if attention else {},
        seed=seed,
    )
    forms = make_forms(rows, _selected(given) if select else given, plan)
    write_records(out, forms)
    _print_forms(forms)
    print(out)


def rate(
    forms: Annotated[str, typer.Argument(metavar="FORMS", help="Forms from `paribus ratings design`.")],
    out: OutFile,
    rater: RaterModelName,
    endpoint: Endpoint = None,
    name: Annotated[
        str | None, typer.Option(help="The rater's name in the records.", show_default="folder or hub id")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a reply at most.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: the rater's likeliest reply.")] = 0.0,
    system: System = True,
    seed: Seed = 0,
    batch_size: BatchSize = 64,
    api_key_variable: ApiKeyVariable = "OPENAI_API_KEY",
    concurrency: Concurrency = 8,
    prices: Prices = "",
    price_cap: PriceCap = None,
    dry_run: DryRun = False,
    accept_failures: AcceptFailures = False,
    on_bad_row: OnBadRow = "fail",
    device: Device = "cpu",
    dtype: Dtype = "auto",
    threads: Threads = None,
) -> None:
    """Let a model rate the outputs on forms, each alone and each pass by itself, for the same audit as people.

    \b
    Example: paribus ratings rate forms.jsonl --rater my-judge --out machine.jsonl
             paribus ratings rate forms.jsonl --rater a-model --endpoint http://localhost:8000/v1 --out machine.jsonl

    Ratings are saved as they come; the same command given again asks only for what is missing.
    """
    prepare(threads, device)
    from paribus.feedback.annotation.design import Form
    from paribus.feedback.annotation.machine import rating_tasks
    from paribus.records import read_records

    tasks = rating_tasks(list(read_records(forms, Form, on_bad_row=on_bad_row, bad_rows=Path(f"{out}.bad.jsonl"))))
    rules = {"max_tokens": max_tokens, "temperature": temperature, "system": system, "seed": seed}
    choice = EngineChoice(
        rater, name_of(rater, name), endpoint, api_key_variable, concurrency, prices, price_cap, device, dtype
    )
    if dry_run:
        foresee(choice, _requests(tasks, rules), out)
        return
    _rate(choice, tasks, rules, out, forms, batch_size, accept_failures)
    print(out)


def import_(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILES...", help="Ratings: CSV tables of one pass each, or JSONL or Parquet."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="The file to make: .jsonl, .parquet, or .csv (one pass)."),
    ],
    rater: Annotated[
        str, typer.Option(metavar="NAME", help="Who rated, for all rows ('expert' for experts' labels).")
    ] = "",
    language: Annotated[
        str, typer.Option(metavar="CODE", help="The language of rows that do not say theirs.", show_default="none")
    ] = "",
    on_bad_row: OnBadRow = "fail",
) -> None:
    """Turn tables of ratings into records or records into a table; says how many rows would not count.

    \b
    Example: paribus ratings import errors.csv quality.csv style.csv --out ratings.jsonl
             paribus ratings import machine.jsonl --out quality.csv
    """
    from paribus.feedback.annotation.tables import write_ratings_csv
    from paribus.records import write_records

    rows = [row for path in files for row in _read(path, out, rater, language, on_bad_row)]
    _print_ratings(rows)
    if out.suffix == ".csv":
        write_ratings_csv(out, _readable(rows))
    else:
        write_records(out, rows)
    print(out)


def register(group: typer.Typer) -> None:
    """Add the commands to the group ``paribus ratings``."""
    group.command(short_help="What each model is to answer, and how.")(cells)
    group.command(short_help="Forms of two answers side by side.")(design)
    group.command(short_help="Let a model fill in the forms.")(rate)
    group.command("import", short_help="Tables of ratings to records and back.")(import_)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _file_name(model: str) -> str:
    return model.replace("/", "--")


def _count(rows: Sequence["Prompt"], preamble: str) -> int:
    return sum(row.meta["preamble"] == preamble for row in rows)


def _of_prompts(prompts: Sequence["Prompt"], answers: "list[Completion]") -> "list[Completion]":
    """Answers under the prompts' own ids, whether or not they were given under a preamble; says what is left out."""
    from paribus.cli.parts_progress import say
    from paribus.feedback.annotation.preambles import is_preambled, restored

    known = {prompt.id for prompt in prompts}
    plain = [row for row in answers if row.prompt_id in known or not is_preambled(row.prompt_id)]
    under = [row for row in answers if row.prompt_id not in known and is_preambled(row.prompt_id)]
    own = [row for row in [*plain, *restored(under)] if row.prompt_id in known]
    if len(own) < len(answers):
        say(f"{len(answers) - len(own)} of {len(answers)} answers are to other prompts and are left out.")
    sound = [row for row in own if row.finish != "error"]
    if len(sound) < len(own):
        say(f"{len(own) - len(sound)} of {len(own)} answers failed and are left out.")
    return sound


def _selected(answers: "list[Completion]") -> "list[Completion]":
    from paribus.cli.parts_progress import say
    from paribus.feedback.annotation.preambles import select

    chosen = select(answers)
    say(
        f"Kept {len(chosen.kept):,} of {chosen.candidates:,} answers; {chosen.disqualified:,} were too short for a "
        f"readability, {chosen.apologies:,} apologised, and in {len(chosen.unfit):,} cells none did better."
    )
    return list(chosen.kept)


def _print_forms(forms: Sequence["Form"]) -> None:
    from paribus.cli.parts_progress import print_table

    rows = []
    for pass_ in dict.fromkeys(form.pass_ for form in forms):
        own = [form for form in forms if form.pass_ == pass_]
        outputs = {item.id for form in own for item in form.items if not form.distractor}
        repeats = sum(form.repeat > 0 for form in own)
        rows.append([pass_, len(own), len(outputs), repeats, sum(form.distractor for form in own)])
    print_table("Forms", ["pass", "forms", "outputs", "repeats", "distractors"], rows)


def _requests(tasks: Sequence["RatingTask"], rules: dict[str, Any]) -> list[Any]:
    """What a model would be asked."""
    from paribus.feedback.annotation.machine import EngineRater
    from paribus.inference.scripted import ScriptedEngine

    asking = EngineRater(ScriptedEngine(lambda request: ""), **rules)
    return [asking.request(task) for task in tasks]


def _rate(
    choice: EngineChoice,
    tasks: Sequence["RatingTask"],
    rules: dict[str, Any],
    out: Path,
    source: str,
    batch_size: int,
    accept_failures: bool,
) -> None:
    """Have the tasks rated into ``out``, going on where an earlier run stopped."""
    from paribus.cli.parts_answers import check_lengths, settle
    from paribus.cli.parts_progress import Steps, say
    from paribus.cli.parts_record import file_hash, open_file
    from paribus.data.growing import GrowingFile, fill
    from paribus.feedback.annotation.machine import EngineRater
    from paribus.records import Rating, read_records

    data = {"source": source, "tasks": len(tasks), "hash": file_hash(source)}
    run = open_file(out, "rate", rules | {"name": choice.name}, {"rater": choice.identity, "data": data})
    if run.complete:
        say(f"{out} is finished already; nothing to do.")
        _print_ratings(list(read_records(out, Rating)))
        return
    file = GrowingFile(out, Rating, lambda row: str(row.meta["task"]))
    cache = cache_beside(out)
    with Steps(f"ratings of {choice.name}", len(tasks), "output") as steps:
        asking = EngineRater(choice.open(cache), **rules)
        check_lengths(asking.engine, [(task.key, asking.request(task).messages) for task in tasks], rules["max_tokens"])
        run.begin()
        failures = fill(
            file, tasks, lambda task: [task.key], asking.rate, size=batch_size, failed=_failure, progress=steps
        )
    settle(file, failures, accept_failures)
    rows = file.finish([task.key for task in tasks])
    cache.unlink(missing_ok=True)
    unread = sum("error" in row.meta for row in rows)
    run.finish(cost=cost_of(asking.engine, rows), results={"failures": len(failures), "unread": unread})
    _print_ratings(rows)


def _failure(row: "Rating") -> str | None:
    """Why the request failed; a reply that came and cannot be read is no failure of the request."""
    return str(row.meta["error"]) if row.meta.get("finish") == "error" else None


def _read(path: str, out: Path, rater: str, language: str, on_bad_row: Any) -> "list[Rating]":
    from paribus.cli.parts_inputs import tell_skipped
    from paribus.feedback.annotation.tables import read_ratings
    from paribus.records import ReadReport

    report, place = ReadReport(), out.with_name(f"{out.name}.{Path(path).name}.bad.jsonl")
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = read_ratings(path, rater=rater, language=language, on_bad_row=on_bad_row, bad_rows=place, report=report)
    tell_skipped(path, report, place)
    return rows


def _readable(rows: "list[Rating]") -> "list[Rating]":
    """Without replies that could not be read, for which a table has no cell."""
    from paribus.cli.parts_progress import say

    kept = [row for row in rows if not row.meta.get("error")]
    if len(kept) < len(rows):
        say(f"{len(rows) - len(kept)} of {len(rows)} ratings have no scores and are left out of the table.")
    if not kept:
        raise ConfigError("No rating is left to write; a table needs at least one.")
    return kept


def _print_ratings(ratings: "list[Rating]") -> None:
    from paribus.cli.parts_progress import print_table
    from paribus.feedback.annotation.checks import clean
    from paribus.feedback.annotation.tables import UNNAMED

    rows = []
    for pass_ in dict.fromkeys(rating.pass_ for rating in ratings):
        own = [rating for rating in ratings if rating.pass_ == pass_]
        dropped = clean(own).dropped
        lost = [dropped[name] for name in ("unread", "attention", "duplicate")]
        distractors = sum(bool(rating.meta.get("distractor")) for rating in own)
        named = {rating.rater for rating in own if not rating.rater.startswith(UNNAMED)}
        rows.append([pass_, len(own), len(named) or "not named", distractors, *lost])
    columns = ["pass", "ratings", "raters", "distractors", "unread", "inattentive", "duplicates"]
    print_table("Ratings", columns, rows)
