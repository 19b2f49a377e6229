"""Answers from an engine into a file, item by item: what ``generate`` does, and ``arbitrage`` for each teacher."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from paribus.cli.parts_engines import EngineChoice, cache_beside, cost_of, foresee
from paribus.cli.parts_progress import Steps, say
from paribus.cli.parts_record import open_file, rows_hash

if TYPE_CHECKING:
    from paribus.records import Completion, Prompt


@dataclass(frozen=True)
class Asked:
    """How answers are drawn; the fields are those of ``sample_completions``."""

    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int = 0


def answer(
    choice: EngineChoice,
    prompts: Sequence["Prompt"],
    asked: Asked,
    out: Path,
    *,
    source: str,
    batch_size: int,
    accept_failures: bool = False,
    dry_run: bool = False,
) -> list["Completion"]:
    """Have prompts answered into ``out``, going on where an earlier run stopped; returns the completions.

    Leaves with exit code 1 when requests failed and that is not accepted: then ``out`` does not come to be. A dry run
    prints what would be asked, and returns nothing.
    """
    from paribus.data.growing import GrowingFile, fill
    from paribus.feedback.sampling import completion_requests, sample_completions
    from paribus.records import Completion, read_records

    data = {"source": source, "rows": len(prompts), "hash": rows_hash(prompts)}
    run = open_file(out, "generate", asdict(asked) | {"name": choice.name}, {"model": choice.identity, "data": data})
    if run.complete:
        say(f"{out} is finished already; nothing to do.")
        return list(read_records(out, Completion))
    if dry_run:
        foresee(choice, completion_requests(prompts, **asdict(asked)), out)
        return []
    file = GrowingFile(out, Completion, lambda row: row.id)
    cache = cache_beside(out)
    with Steps(f"answers of {choice.name}", len(prompts), "prompt") as steps:
        engine = choice.open(cache)
        check_lengths(engine, [(prompt.id, prompt.messages) for prompt in prompts], asked.max_tokens)
        run.begin()
        failures = fill(
            file,
            prompts,
            lambda prompt: [f"{choice.name}/{prompt.id}#{number}" for number in range(asked.samples)],
            lambda chunk: sample_completions(engine, chunk, **asdict(asked)),
            size=batch_size,
            failed=_failure,
            progress=steps,
        )
    settle(file, failures, accept_failures)
    rows = file.finish([f"{choice.name}/{prompt.id}#{number}" for prompt in prompts for number in range(asked.samples)])
    cache.unlink(missing_ok=True)
    run.finish(cost=cost_of(engine, rows), results={"failures": len(failures), **finishes(rows)})
    return rows


def check_lengths(engine: Any, prompts: Sequence[tuple[str, Any]], max_tokens: int) -> None:
    """Refuse prompts (ids, messages) that do not fit a local model before any is answered; a server checks itself."""
    from paribus.data.lengths import check_fit, context_of

    if not hasattr(engine, "chat"):
        return
    lengths = [len(ids) for ids in engine.chat.prompts([messages for _, messages in prompts])]
    check_fit([key for key, _ in prompts], lengths, max_tokens, context_of(engine.model.config), engine.name)


def settle(file: Any, failures: Sequence[tuple[Any, str]], accept: bool) -> None:
    """Keep failed rows as they are if that is accepted; otherwise say how to ask again, and leave with exit code 1."""
    if not failures:
        return
    say(f"{len(failures)} requests failed; the first said: {failures[0][1]}")
    if not accept:
        say(
            f"What was answered is kept in {file.partial}. Give the same command again to ask for the rest, or add "
            "--accept-failures to finish without."
        )
        raise typer.Exit(1)
    file.add(row for row, _ in failures)


def finishes(rows: Sequence["Completion"]) -> dict[str, Any]:
    """How answers ended: many at the length limit mean that --max-tokens is too small."""
    from collections import Counter

    return {"finish": dict(Counter(row.finish for row in rows)), "empty": sum(not row.text.strip() for row in rows)}


def _failure(row: "Completion") -> str | None:
    return str(row.meta.get("error", "no reason given")) if row.finish == "error" else None
