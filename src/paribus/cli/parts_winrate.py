"""``paribus winrate``: win rates from a file of verdicts or published annotations, under one definition."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from paribus.cli.parts_inputs import Languages, OnBadRow, Reading
from paribus.cli.parts_published import Category, Judge
from paribus.errors import ConfigError

Verdicts = Annotated[
    list[str], typer.Argument(metavar="VERDICTS...", help="The verdicts of one judge (`paribus judge`), or --format's.")
]
MEANINGS = {
    "ties_apart": "wins / all, ties beside it",
    "half_ties": "(wins + ties / 2) / all",
    "strong_x3": "mean score of games, ties a half, strong verdicts three times",
}


def winrate(
    verdicts: Verdicts,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Whose wins to count: a model's name in the verdicts; may be repeated.",
            show_default="all that met the baseline",
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Against whom.", show_default="its only opponent")
    ] = None,
    form: Annotated[
        Literal["paribus", "arena-hard", "alpaca-eval"],
        typer.Option("--format", help="What the files are: verdicts, or judgments and annotations as published."),
    ] = "paribus",
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
    answers: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Both models' answers: adds the rate at equal length.", show_default="none"),
    ] = None,
    judge: Judge = None,
    category: Category = None,
    leaderboard: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="AlpacaEval's board, to compare with.", show_default="none"),
    ] = None,
    length_control: Annotated[
        bool, typer.Option("--length-control", help="AlpacaEval: the win rate at equal length as well.")
    ] = False,
    gamed: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="AlpacaEval's df_gamed.csv (instruction difficulties, brief and wordy baselines) for length control.",
            show_default="none",
        ),
    ] = None,
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
             paribus winrate verdicts.jsonl --baseline base
             paribus winrate results/ --format alpaca-eval --judge weighted_alpaca_eval_gpt4_turbo
                 --leaderboard weighted_alpaca_eval_gpt4_turbo_leaderboard.csv

    Models that share a letter are not told apart by their differences on the same questions (Holm over all pairs).
    """
    resampling = {"resamples": resamples, "level": level, "rng": seed}
    from paribus.cli.parts_published import alpaca_eval, read_verdicts, refuse_foreign

    if form == "alpaca-eval":
        verdict_options = {"model": model, "baseline": baseline, "answers": answers, "category": category}
        refuse_foreign(form, verdict_options | {"languages": languages})
        found = alpaca_eval(verdicts, leaderboard, judge, gamed, length_control, resampling)
        _write(out, verdicts, found)
        return
    refuse_foreign(form, {"leaderboard": leaderboard, "length_control": length_control, "gamed": gamed})
    from paribus.evaluation.winrate import win_rate_table

    reading = Reading(out or Path(verdicts[0]), languages, on_bad_row=on_bad_row)
    rows = read_verdicts(verdicts, form, reading, judge, category, baseline)
    names = _models(rows, model, baseline, ", ".join(verdicts))
    counting: dict[str, Any] = {"baseline": baseline, "combine": combine, "unparsed": unparsed}
    table = win_rate_table(
        rows, names, definition, by_language=by_language, resample=bootstrap, **counting, **resampling
    )
    letters = _letters(rows, table, names, counting, 1.0 - level, seed)
    controlled = _at_equal_length(rows, answers, reading, table, unparsed, level, seed) if answers else {}
    _print(table, level, letters, controlled)
    _write(out, verdicts, _content(table, letters, controlled))


def _models(rows: Sequence[Any], wanted: list[str] | None, baseline: str | None, source: str) -> list[str]:
    """The models to count, checked; all that met the baseline where none is named."""
    names = sorted({name for row in rows for name in (row.a, row.b)})
    for name in wanted or []:
        if name not in names:
            raise ConfigError(f"{source} has no games of {name!r}; its models are {', '.join(names)}.")
    if wanted and (baseline or len(wanted) == 1):
        return list(dict.fromkeys(wanted))
    if baseline is None:
        raise ConfigError(f"Name one --model, or the --baseline that several met; the models are {', '.join(names)}.")
    met = {row.b if row.a == baseline else row.a for row in rows if baseline in (row.a, row.b)}
    if not met:
        raise ConfigError(f"{source} has no games of {baseline!r}; its models are {', '.join(names)}.")
    return sorted(met)


def _letters(
    rows: Sequence[Any], table: Any, names: list[str], counting: dict[str, Any], alpha: float, seed: int
) -> dict[tuple[str, str], str]:
    """Letters by model and language; none for a single model. A model without games in a language has none there."""
    from paribus.evaluation.significance import win_rate_groups

    letters: dict[tuple[str, str], str] = {}
    for language in dict.fromkeys(row.language for row in table.rows) if len(names) > 1 else ():
        there = [row.model for row in table.rows if row.language == language]
        chosen = None if language == "all" else language
        groups = win_rate_groups(rows, there, table.definition, language=chosen, alpha=alpha, rng=seed, **counting)
        letters |= {(name, language): found for name, found in groups.letters.items()}
    return letters


def _at_equal_length(
    rows: Sequence[Any], answers: list[str], reading: Reading, table: Any, unparsed: Any, level: float, seed: int
) -> dict[tuple[str, str], Any]:
    """Length-controlled rates by model and language; ``None`` where a language has too few rows or no differing gap."""
    from paribus.cli.parts_progress import say
    from paribus.errors import DataError
    from paribus.evaluation.length_control import answer_lengths, length_controlled_verdicts

    lengths = answer_lengths([row for source in answers for row in reading.completions(source)])
    found: dict[tuple[str, str], Any] = {}
    for row in table.rows:
        language = None if row.language == "all" else row.language
        options: dict[str, Any] = {"unparsed": unparsed, "level": level, "rng": seed}
        try:
            found[row.model, row.language] = length_controlled_verdicts(
                rows, lengths, row.model, baseline=row.baseline, language=language, **options
            )
        except DataError as error:
            say(f"{row.model}, {row.language}: no rate at equal length. {error}")
            found[row.model, row.language] = None
    return found


def _print(
    table: Any, level: float, letters: dict[tuple[str, str], str], controlled: dict[tuple[str, str], Any]
) -> None:
    from paribus.cli.parts_judging import share
    from paribus.cli.parts_progress import print_table

    first = table.rows[0]
    models = list(dict.fromkeys(row.model for row in table.rows))
    by = "questions" if first.resample == "question" else "rows (independence assumed: too narrow)"
    unit = "games" if first.definition == "strong_x3" else "prompts"
    title = (
        f"{', '.join(models)} against {first.baseline}, judged by {first.judge} ({first.protocol} games)\n"
        f"{first.definition}: {MEANINGS[first.definition]}; {100 * level:g}% intervals over {by}"
    )
    columns = [*(["model"] if letters else []), "language", "win rate", "wins", "ties", "losses", f"{unit}"]
    columns += ["unparsed games", *(["group"] if letters else []), *(["at equal length"] if controlled else [])]
    rows = []
    for row in table.rows:
        key = (row.model, row.language)
        cells = [*([row.model] if letters else []), row.language, share(row.rate), row.wins, row.ties, row.losses]
        cells += [row.wins + row.ties + row.losses, row.unparsed, *([letters[key]] if letters else [])]
        rows.append(cells + ([share(controlled[key] and controlled[key].rate)] if controlled else []))
    print_table(title, columns, rows)


def _content(table: Any, letters: dict[tuple[str, str], str], controlled: dict[tuple[str, str], Any]) -> dict[str, Any]:
    from dataclasses import asdict

    rows = []
    for row in table.rows:
        key = (row.model, row.language)
        more: dict[str, Any] = {"group": letters[key]} if letters else {}
        if controlled:
            more["at_equal_length"] = controlled[key] and asdict(controlled[key])
        rows.append(asdict(row) | more)
    return {"rows": rows}


def _write(out: Path | None, sources: list[str], content: dict[str, Any]) -> None:
    import json

    from paribus.cli.parts_record import versions

    if out is None:
        return
    whole = {"verdicts": sources if len(sources) > 1 else sources[0], "versions": versions(), **content}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(out)
