"""``paribus winrate``: win rates of a model from a file of verdicts, with intervals, under one definition."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from paribus.cli.parts_inputs import Languages, OnBadRow, Reading
from paribus.errors import ConfigError

Verdicts = Annotated[str, typer.Argument(metavar="VERDICTS", help="The verdicts of one judge (`paribus judge`).")]
MEANINGS = {
    "ties_apart": "wins / all, ties beside it",
    "half_ties": "(wins + ties / 2) / all",
    "strong_x3": "mean score of games, ties a half, strong verdicts three times",
}


def winrate(
    verdicts: Verdicts,
    model: Annotated[str, typer.Option(metavar="NAME", help="Whose wins to count: a model's name in the verdicts.")],
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Against whom.", show_default="its only opponent")
    ] = None,
    definition: Annotated[
        Literal["ties_apart", "half_ties", "strong_x3"],
        typer.Option(help="What a win rate is; numbers under different definitions must not be compared."),
    ] = "ties_apart",
    by_language: Annotated[bool, typer.Option(help="A row for each language as well.")] = True,
    bootstrap: Annotated[
        Literal["question", "row"],
        typer.Option(help="Resample questions with all their languages and games, or single rows (too narrow)."),
    ] = "question",
    combine: Annotated[
        Literal["majority", "agreement"],
        typer.Option(help="How two games make one outcome: sign of their sum, or a tie unless both agree."),
    ] = "majority",
    unparsed: Annotated[
        Literal["drop-prompt", "drop-game", "fail"],
        typer.Option(help="Games whose verdict could not be read: drop the prompt, the game, or stop."),
    ] = "drop-prompt",
    resamples: Annotated[int, typer.Option(min=100, help="Resamples behind an interval.")] = 10_000,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    languages: Languages = "",
    on_bad_row: OnBadRow = "fail",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the table as JSON as well.", show_default="none")
    ] = None,
) -> None:
    """Win rates from verdicts: a table by language, with intervals that resample whole questions.

    \b
    Example: paribus winrate verdicts.jsonl --model tuned
             paribus winrate verdicts.jsonl --model tuned --definition half_ties --out winrate.json
    """
    from paribus.evaluation.winrate import win_rate_table

    rows = Reading(out or Path(verdicts), languages, on_bad_row=on_bad_row).verdicts(verdicts)
    names = sorted({name for row in rows for name in (row.a, row.b)})
    if model not in names:
        raise ConfigError(f"{verdicts} has no games of {model!r}; its models are {', '.join(names)}.")
    table = win_rate_table(
        rows,
        [model],
        definition,
        by_language=by_language,
        baseline=baseline,
        combine=combine,
        unparsed=unparsed,
        resample=bootstrap,
        resamples=resamples,
        level=level,
        rng=seed,
    )
    _print(table, level)
    if out is not None:
        _write(out, table, verdicts)


def _print(table: Any, level: float) -> None:
    from paribus.cli.parts_judging import share
    from paribus.cli.parts_progress import print_table

    first = table.rows[0]
    by = "questions" if first.resample == "question" else "rows (independence assumed: too narrow)"
    unit = "games" if first.definition == "strong_x3" else "prompts"
    title = (
        f"{first.model} against {first.baseline}, judged by {first.judge} ({first.protocol} games)\n"
        f"{first.definition}: {MEANINGS[first.definition]}; {100 * level:g}% intervals over {by}"
    )
    columns = ["language", "win rate", "wins", "ties", "losses", f"{unit}", "unparsed games"]
    rows = [
        [row.language, share(row.rate), row.wins, row.ties, row.losses, row.wins + row.ties + row.losses, row.unparsed]
        for row in table.rows
    ]
    print_table(title, columns, rows)


def _write(out: Path, table: Any, source: str) -> None:
    import json
    from dataclasses import asdict

    from paribus.cli.parts_record import versions

    content = {"verdicts": source, "versions": versions(), "rows": [asdict(row) for row in table.rows]}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(out)
