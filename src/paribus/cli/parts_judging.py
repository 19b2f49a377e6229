"""``paribus judge``: a model compares two models' answers, game by game."""

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
from paribus.cli.parts_inputs import Language, Languages, Limit, OnBadRow, Reading, Split, one_answer_each
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
from paribus.errors import DataError

if TYPE_CHECKING:
    from paribus.feedback.games import Game
    from paribus.records import Verdict

AnswersA = Annotated[str, typer.Argument(metavar="A", help="Completions of one model (`paribus generate`).")]
AnswersB = Annotated[str, typer.Argument(metavar="B", help="Completions of the other model, to the same prompts.")]
JudgeModel = Annotated[
    str, typer.Option("--judge", metavar="MODEL", help="The judge: a folder, a hub id, or a name at --endpoint.")
]
Protocol = Annotated[
    Literal["double", "single"],
    typer.Option(help="Judge each prompt twice with places exchanged, or once in a random order."),
]
Labels = Annotated[
    Literal["five", "three", "two"],
    typer.Option(help="Verdicts to choose from: A>>B A>B A=B B>A B>>A (Arena-Hard), A B TIE (Aya), A B (AlpacaEval)."),
]
JudgeLanguage = Annotated[
    str,
    typer.Option(
        metavar="prompt|CODE",
        help="In which language the judge gets its rules: each prompt's own, or one of the 23, such as en.",
    ),
]
Logprobs = Annotated[
    bool,
    typer.Option(
        "--logprobs", help="With --labels two: weigh A and B by their log-probabilities (a model in this process)."
    ),
]
CheckLanguage = Annotated[
    bool, typer.Option("--check-language", help="Find out which answers are in another language than asked for.")
]
System = Annotated[
    bool, typer.Option(help="Put the rules into a system turn; --no-system for chat templates without one.")
]


def judge(
    prompts: Prompts,
    a: AnswersA,
    b: AnswersB,
    out: OutFile,
    judge_model: JudgeModel,
    endpoint: Endpoint = None,
    arbiter: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Who scored the training data; refused if it is the judge.", show_default="none"
        ),
    ] = None,
    protocol: Protocol = "double",
    labels: Labels = "five",
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a reply at most.")] = 1024,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: the judge's likeliest reply.")] = 0.0,
    system: System = True,
    judge_language: JudgeLanguage = "en",
    logprobs: Logprobs = False,
    check_language: CheckLanguage = False,
    seed: Seed = 0,
    batch_size: BatchSize = 64,
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
    """Let a judge compare two models' answers, into a file of verdicts; reports parse rate and position bias.

    \b
    Example: paribus judge prompts.jsonl a.jsonl b.jsonl --judge my-judge --out verdicts.jsonl
             paribus judge prompts.jsonl a.jsonl b.jsonl --judge a-model --endpoint http://localhost:8000/v1
                 --out verdicts.jsonl --judge-language prompt --check-language

    Verdicts are saved as they come, each with the judge's raw reply; the same command given again asks only for what is
    missing. `paribus winrate` reads the file; `paribus agree` compares the files of several judges.
    """
    prepare(threads, device)
    from paribus.feedback.arbiters import ensure_distinct
    from paribus.feedback.games import games

    if arbiter is not None:
        ensure_distinct(arbiter, judge_model)
    choice = EngineChoice(
        judge_model,
        name_of(judge_model, None),
        endpoint,
        api_key_variable,
        concurrency,
        prices,
        price_cap,
        device,
        dtype,
    )
    reading = Reading(out, languages, language, split, on_bad_row, limit)
    sides = [one_answer_each(reading.completions(path), path) for path in (a, b)]
    played = games(reading.prompts(prompts), *sides, protocol=protocol, seed=seed)
    rules = {
        "labels": labels,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "system": system,
        "judge_language": judge_language,
        "logprobs": logprobs,
        "check_language": check_language,
        "seed": seed,
    }
    _play(choice, played, rules, out, (prompts, a, b), batch_size, accept_failures, dry_run)
    if not dry_run:
        print(out)


def _play(
    choice: EngineChoice,
    played: Sequence["Game"],
    rules: dict[str, Any],
    out: Path,
    sources: tuple[str, str, str],
    batch_size: int,
    accept_failures: bool,
    dry_run: bool,
) -> None:
    """Have the games judged into ``out``, going on where an earlier run stopped, and report on the judge."""
    from paribus.cli.parts_answers import check_lengths, settle
    from paribus.cli.parts_progress import Steps, say
    from paribus.cli.parts_record import open_file
    from paribus.data.growing import GrowingFile, fill
    from paribus.feedback.engine_judge import EngineJudge
    from paribus.inference.scripted import ScriptedEngine
    from paribus.records import Verdict, read_records

    inputs = {"judge": choice.identity, "data": _facts(played, sources)}
    run = open_file(out, "judge", rules | {"protocol": played[0].protocol}, inputs)
    if run.complete:
        say(f"{out} is finished already; nothing to do.")
        report(list(read_records(out, Verdict)))
        return
    if dry_run:
        asking = EngineJudge(ScriptedEngine(lambda request: "", score=lambda request: 0.0), **rules)
        foresee(choice, [asking.request(game) for game in played], out)
        return
    file = GrowingFile(out, Verdict, lambda row: f"{row.language}/{row.prompt_id}/{row.order}")
    keys = [f"{game.prompt.language}/{game.prompt.id}/{game.order}" for game in played]
    cache = cache_beside(out)
    with Steps(f"verdicts of {choice.name}", len(played), "game") as steps:
        judge = EngineJudge(choice.open(cache), **rules)
        requests = [judge.request(game) for game in played]
        check_lengths(judge.engine, [(row.id, row.messages) for row in requests], rules["max_tokens"])
        run.begin()
        failures = fill(
            file,
            list(zip(keys, played, strict=True)),
            lambda item: [item[0]],
            lambda chunk: judge.judge([game for _, game in chunk]),
            size=batch_size,
            failed=lambda row: row.meta.get("error"),
            progress=steps,
        )
    settle(file, failures, accept_failures)
    rows = file.finish(keys)
    cache.unlink(missing_ok=True)
    run.finish(cost=cost_of(judge.engine, rows), results={"failures": len(failures), **report(rows)})


def _facts(played: Sequence["Game"], sources: tuple[str, str, str]) -> dict[str, Any]:
    from paribus.cli.parts_record import rows_hash

    hashes = [rows_hash(getattr(game, part) for game in played) for part in ("prompt", "a", "b")]
    names = {"a": played[0].a.model, "b": played[0].b.model}
    return {"sources": list(sources), "games": len(played), "hashes": hashes, **names}


def report(verdicts: Sequence["Verdict"]) -> dict[str, Any]:
    """Print and return the judge's parse rate, why replies were not read, position bias and, where it was checked, how
    many answers are in a wrong language; all by language."""
    from dataclasses import asdict

    from paribus.cli.parts_progress import print_table, say
    from paribus.evaluation.position import position_report
    from paribus.feedback.games import parse_rates

    rates = {row.language: row.interval for row in parse_rates(verdicts)}
    rows, found = [], {}
    for code in ["all", *sorted(rates.keys() - {"all"})]:
        language = None if code == "all" else code
        try:
            position = position_report(verdicts, verdicts[0].a, language=language)
        except DataError as error:
            say(f"{code}: no position report, {error}")
            position = None
        found[code] = {"parse_rate": asdict(rates[code]), "position": asdict(position) if position else None}
        rows.append([code, share(rates[code]), *_position_cells(position)])
    columns = ["language", "replies read", "first shown wins", "games that flip", "prompts"]
    print_table(f"Judge {verdicts[0].judge}: {verdicts[0].a} against {verdicts[0].b}", columns, rows)
    return {"by_language": found, "unread": _unread(verdicts), "answer_languages": _languages(verdicts)}


def _unread(verdicts: Sequence["Verdict"]) -> dict[str, int]:
    """How many replies gave no label and why, and how many gave it in single brackets; said aloud where there are any.

    The counts do not overlap: ``failed`` (no reply), ``cut_off`` (at --max-tokens), ``no_label``.
    """
    from paribus.cli.parts_progress import say

    lost = [row.meta.get("finish", "stop") for row in verdicts if row.label is None]
    counts = {"failed": lost.count("error"), "cut_off": lost.count("length"), "no_label": lost.count("stop")}
    if any(counts.values()):
        say(
            f"{len(lost)} of {len(verdicts)} games have no verdict: {counts['failed']} requests failed, "
            f"{counts['cut_off']} replies were cut off at --max-tokens, {counts['no_label']} name no label."
        )
    return counts | {"single_brackets": sum(row.meta.get("brackets") == "single" for row in verdicts)}


def _languages(verdicts: Sequence["Verdict"]) -> list[dict[str, Any]]:
    """Shares of answers in the right, a wrong and an undetermined language, by side and language; [] if not checked."""
    from dataclasses import asdict

    from paribus.cli.parts_progress import print_table
    from paribus.evaluation.language_check import MEASURES, judged_language_rates

    if not any("answer_languages" in row.meta for row in verdicts):
        return []
    rates = judged_language_rates(verdicts)
    cells = {(row.language, row.group, row.measure): row.interval for row in rates}
    rows = [
        [language, model, *(share(cells[language, model, measure]) for measure in MEASURES)]
        for language, model in dict.fromkeys((row.language, row.group) for row in rates)
        if model != "all"
    ]
    columns = ["language", "answers of", "right language", "wrong language", "undetermined"]
    print_table("Languages of the answers", columns, rows)
    return [asdict(row) for row in rates]


def _position_cells(position: Any) -> list[str]:
    if position is None:
        return ["–", "–", "0"]
    return [share(position.first_wins), share(position.flip_rate), str(position.prompts)]


def share(interval: Any) -> str:
    """``61.2% [55.0, 67.1]``; a dash where there is nothing to say."""
    from paribus.report.formatting import show, show_interval

    if interval is None:
        return "–"
    return f"{show(interval.estimate, 'share')} {show_interval(interval.low, interval.high, 'share')}"
