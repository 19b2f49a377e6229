"""``paribus evaluate-reward``: a reward model or a judge on RewardBench, PandaLM, or the user's own pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paribus.cli.parts_engines import (
    ApiKeyVariable,
    Concurrency,
    Endpoint,
    EngineChoice,
    PriceCap,
    Prices,
    cost_of,
    name_of,
)
from paribus.cli.parts_inputs import Language, Languages, Limit, OnBadRow, Reading, Split
from paribus.cli.parts_judging import Labels, Protocol, System
from paribus.cli.parts_options import AcceptFailures, BatchSize, Device, Dtype, Model, OutFolder, Seed, Threads, prepare
from paribus.cli.parts_progress import Steps, say
from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.cli.parts_record import Run
    from paribus.evaluation.pandalm import PandaItem
    from paribus.evaluation.reward_models import Outcomes, ScoredPairs
    from paribus.records import PreferencePair

Bench = Literal["rewardbench", "pandalm", "pairs"]
Ties = Literal["drop", "three-way"]
OnLong = Literal["fail", "skip", "truncate"]


def evaluate_reward(
    model: Model,
    out: OutFolder,
    bench: Annotated[Bench, typer.Option(help="What to measure on.")] = "pairs",
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="The pairs: a file, a folder or a hub id; for pandalm its testset-v1.json.",
            show_default="the hub's, for rewardbench",
        ),
    ] = None,
    judge: Annotated[
        bool, typer.Option("--judge", help="MODEL is a language model that judges, not a reward model.")
    ] = False,
    ties: Annotated[
        Ties, typer.Option(help="pandalm: leave ties of the annotators out, or count them as a class.")
    ] = "drop",
    on_long_pair: Annotated[
        OnLong,
        typer.Option(help="A pair longer than the reward model reads: stop, leave it out, or cut its prompt's head."),
    ] = "fail",
    critiques: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The reward model reads these with the answers (`paribus critique`).",
            show_default="none",
        ),
    ] = None,
    endpoint: Endpoint = None,
    protocol: Protocol = "double",
    labels: Labels = "five",
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a judge's reply at most.")] = 1024,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: the judge's likeliest reply.")] = 0.0,
    system: System = True,
    resamples: Annotated[int, typer.Option(min=100, help="Resamples behind an interval.")] = 2_000,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
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
    """How often does a reward model, or a judge, prefer the better answer? By section and language, with intervals.

    \b
    Example: paribus evaluate-reward arbiter --data pairs.jsonl --out found
             paribus evaluate-reward arbiter --bench rewardbench --out found
             paribus evaluate-reward a-model --judge --endpoint http://localhost:8000/v1
                 --bench pandalm --data testset-v1.json --out found

    A reward model's tie is a loss; a judge's tie or unread verdict is a half. Scores or verdicts are saved as they come
    (scores.jsonl or verdicts.jsonl), so the same command given again goes on; result.json holds every table.
    """
    prepare(threads, device)
    if endpoint is not None and not judge:
        raise ConfigError("--endpoint gives no scores; add --judge to let the model there judge, or leave it off.")
    if critiques is not None and judge:
        raise ConfigError("--critiques are read by reward models; leave them off, or --judge.")
    reading = Reading(out, languages, language, split, on_bad_row, limit)
    task = _Task.read(bench, data, ties, reading)
    rules: dict[str, Any] = {"bench": bench, "ties": ties if bench == "pandalm" else None, "judge": judge, "seed": seed}
    facts: dict[str, Any] = {}
    if judge:
        asked = {"labels": labels, "max_tokens": max_tokens, "temperature": temperature, "system": system, "seed": seed}
        settings = (endpoint, api_key_variable, concurrency, prices, price_cap, device, dtype)
        choice = EngineChoice(model, name_of(model, None), *settings)
        run = _open(out, rules | asked | {"protocol": protocol}, choice.identity, task)
        found: Any = _judged(choice, task, asked, protocol, out, run, batch_size, accept_failures)
    else:
        from paribus.cli.parts_record import file_hash, model_identity

        read = {"critiques": file_hash(critiques) if critiques else None, "on_long_pair": on_long_pair}
        run = _open(out, rules | read, model_identity(model), task)
        found, facts = _scored(model, task, (critiques, on_long_pair), out, run, batch_size, (device, dtype))
    _report(task, found, facts, out, {"resamples": resamples, "level": level, "rng": seed})
    print(out / "result.json")


@dataclass(frozen=True)
class _Task:
    """What is measured: the pairs, where they are from, and PandaLM's items where ties are a class."""

    bench: Bench
    source: str
    pairs: "Sequence[PreferencePair]"
    items: "Sequence[PandaItem]" = ()
    ties_left_out: int = 0

    @classmethod
    def read(cls, bench: Bench, data: str | None, ties: Ties, reading: Reading) -> "_Task":
        from paribus.evaluation.reward_bench_data import HUB_ID

        if data is None and bench != "rewardbench":
            raise ConfigError(f"--bench {bench} needs --data: the file, folder or data set with the pairs.")
        source = data or HUB_ID
        if bench == "pairs":
            return cls(bench, source, reading.pairs(source))
        if bench == "rewardbench":
            return cls(bench, source, reading.reward_bench(source))
        return cls._pandalm(source, ties, reading.limit)

    @classmethod
    def _pandalm(cls, source: str, ties: Ties, limit: int | None) -> "_Task":
        from paribus.evaluation.pandalm import all_pairs, decided_pairs, load_pandalm

        items = load_pandalm(source)[:limit]
        if ties == "three-way":
            return cls("pandalm", source, all_pairs(items), items)
        pairs = decided_pairs(items)
        return cls("pandalm", source, pairs, ties_left_out=len(items) - len(pairs))


def _open(out: Path, options: dict[str, Any], model: dict[str, str], task: _Task) -> "Run":
    from paribus.cli.parts_record import open_folder, rows_hash

    facts = {"source": task.source, "rows": len(task.pairs), "hash": rows_hash(task.pairs)}
    return open_folder(out, "evaluate-reward", options, {"model": model, "data": facts})


def _scored(
    model: str,
    task: _Task,
    reading: tuple[str | None, OnLong],
    out: Path,
    run: "Run",
    batch_size: int,
    loading: tuple[str, str],
) -> tuple["ScoredPairs", dict[str, Any]]:
    """Scores of both answers of every pair, going on where an earlier run stopped, and how the pairs were read."""
    from paribus.data.growing import GrowingFile, fill
    from paribus.evaluation.reward_models import score_pairs, scored_rows, scores_of_rows
    from paribus.feedback.arbiters import RewardModelArbiter
    from paribus.records import Completion, read_records

    if run.complete:
        say(f"{out} is finished already; nothing is scored again.")
        return scores_of_rows(model, task.pairs, list(read_records(out / "scores.jsonl", Completion))), run.results
    arbiter = RewardModelArbiter.load(model, device=loading[0], dtype=loading[1], batch_size=batch_size)
    pairs, facts = _as_read(task.pairs, arbiter, *reading)
    run.begin()
    file = GrowingFile(out / "scores.jsonl", Completion, lambda row: row.id)
    with Steps(f"scores of {name_of(model, None)}", len(pairs), "pair") as steps:
        fill(
            file,
            pairs,
            lambda pair: [f"{pair.id}/chosen", f"{pair.id}/rejected"],
            lambda chunk: scored_rows(score_pairs(arbiter, chunk)),
            size=batch_size,
            progress=steps,
        )
    rows = file.finish([f"{pair.id}/{side}" for pair in pairs for side in ("chosen", "rejected")])
    run.finish(cost={"scores": len(rows)}, results=facts)
    return scores_of_rows(model, task.pairs, rows), facts


def _as_read(
    pairs: "Sequence[PreferencePair]", arbiter: Any, critiques: str | None, on_long: OnLong
) -> tuple["list[PreferencePair]", dict[str, Any]]:
    """The pairs as the reward model reads them, with critiques where there are some, and what was cut or left out."""
    from paribus.data.lengths import context_of
    from paribus.evaluation.reward_models import fitting
    from paribus.feedback.critiques import CritiquedPair, join, pairs_to_read
    from paribus.records import Critique, read_records

    limit = context_of(arbiter.model.config)
    joined = join(pairs, read_records(critiques, Critique)) if critiques else None
    rows = joined.rows if joined else [CritiquedPair(pair) for pair in pairs]
    most = limit if on_long == "truncate" else None
    shown, cut = pairs_to_read(rows, tokenizer=arbiter.tokenizer, most_tokens=most)
    kept, long = fitting(shown, arbiter.tokenizer, limit if on_long == "skip" else None)
    if long:
        say(f"{len(long)} of {len(pairs)} pairs are longer than the model reads ({limit} tokens) and left out.")
    if cut.prompts:
        say(f"{cut.prompts} of {len(pairs)} pairs were cut to {limit} tokens, {cut.answers} of them in an answer.")
    critic = joined.critic if joined else None
    return kept, {"critic": critic, "cut": cut.prompts, "cut_answers": cut.answers, "left_out_for_length": len(long)}


def _judged(
    choice: EngineChoice,
    task: _Task,
    asked: dict[str, Any],
    protocol: Literal["double", "single"],
    out: Path,
    run: "Run",
    batch_size: int,
    accept_failures: bool,
) -> "Outcomes":
    """Verdicts on every pair, and the outcomes they make."""
    from paribus.cli.parts_judging import report
    from paribus.evaluation.reward_models import judged_pairs, players
    from paribus.feedback.games import games
    from paribus.records import Verdict, read_records

    if run.complete:
        say(f"{out} is finished already; nothing is judged again.")
        verdicts = list(read_records(out / "verdicts.jsonl", Verdict))
    else:
        played = games(*players(task.pairs), protocol=protocol, seed=asked["seed"])
        verdicts = _verdicts(choice, played, asked, out, run, batch_size, accept_failures)
    report(verdicts)
    return judged_pairs(task.pairs, verdicts)


def _verdicts(
    choice: EngineChoice,
    played: Sequence[Any],
    asked: dict[str, Any],
    out: Path,
    run: "Run",
    batch_size: int,
    accept_failures: bool,
) -> list[Any]:
    from paribus.cli.parts_answers import check_lengths, settle
    from paribus.data.growing import GrowingFile, fill
    from paribus.feedback.engine_judge import EngineJudge
    from paribus.records import Verdict

    keys = [f"{game.prompt.id}/{game.order}" for game in played]
    cache = out.with_name(f"{out.name}.requests.sqlite")
    with Steps(f"verdicts of {choice.name}", len(played), "game") as steps:
        judge = EngineJudge(choice.open(cache), **asked)
        requests = [judge.request(game) for game in played]
        check_lengths(judge.engine, [(row.id, row.messages) for row in requests], asked["max_tokens"])
        run.begin()
        file = GrowingFile(out / "verdicts.jsonl", Verdict, lambda row: f"{row.prompt_id}/{row.order}")
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
    run.finish(cost=cost_of(judge.engine, rows), results={"failures": len(failures)})
    return rows


def _report(task: _Task, found: Any, facts: dict[str, Any], out: Path, drawing: dict[str, Any]) -> None:
    """Print the tables and write them, with the item rows behind them."""
    from paribus.cli.parts_reward_tables import bench_table, length_table, pair_table
    from paribus.evaluation.items import write_item_rows
    from paribus.evaluation.pandalm import three_way_rows
    from paribus.evaluation.reward_models import Outcomes

    outcomes: Outcomes = found if isinstance(found, Outcomes) else found.outcomes()
    left_out = {"ties": task.ties_left_out, "length": len(task.pairs) - len(outcomes.pairs)}
    content: dict[str, Any] = {"by": outcomes.by, "pairs": len(outcomes.pairs), "left_out": left_out}
    content |= {"tied": outcomes.tied, "unparsed": outcomes.unparsed, "reading": facts}
    if task.items:
        preference = 2 * found.value - 1 if found is outcomes else found.margins
        kept = {pair.id for pair in outcomes.pairs}
        rows = three_way_rows([item for item in task.items if item.pair_id in kept], preference)
    else:
        rows = outcomes.rows(group="subset" if task.bench == "rewardbench" else None)
    write_item_rows(out / "items.jsonl", rows)
    content["accuracy"] = pair_table(f"{task.bench}: {outcomes.by}", rows, drawing)
    if task.bench == "rewardbench":
        content["rewardbench"] = bench_table(outcomes, drawing)
    if not task.items:
        content["length"] = length_table(found, task.bench == "rewardbench", drawing)
    _tell(content)
    _write(out / "result.json", task, content)


def _tell(content: dict[str, Any]) -> None:
    told = {"ties of the annotators": content["left_out"]["ties"], "too long": content["left_out"]["length"]}
    for reason, count in told.items():
        if count:
            say(f"{count} pairs left out: {reason}.")
    if content["tied"] or content["unparsed"]:
        say(f"{content['tied']} ties, {content['unparsed']} unread verdicts.")


def _write(path: Path, task: _Task, content: dict[str, Any]) -> None:
    import json

    from paribus.cli.parts_record import versions

    whole = {"bench": task.bench, "source": task.source, "versions": versions(), **content}
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
