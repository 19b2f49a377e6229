"""``paribus agree``: how far several judges agree on the same games, and their common verdicts."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.cli.parts_inputs import Languages, OnBadRow, Reading
from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.feedback.panel import PairAgreement, PanelReport, Standing
    from paribus.records import Verdict

Files = Annotated[
    list[str],
    typer.Argument(
        metavar="VERDICTS...",
        help="Verdicts of two or more judges; NAME=FILE counts all of a file as by NAME, such as people=arena.jsonl.",
    ),
]


def agree(
    verdicts: Files,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the tables as JSON as well.", show_default="none"),
    ] = None,
    majority: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the panel's majority verdicts here (.jsonl).", show_default="none"),
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Resamples behind an interval.")] = 2_000,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    languages: Languages = "",
    on_bad_row: OnBadRow = "fail",
) -> None:
    """Compare judges on the games they share: agreement by language, parse rates and position bias side by side.

    \b
    Example: paribus agree big-judge.jsonl small-judge.jsonl people=arena.jsonl
             paribus agree one.jsonl two.jsonl three.jsonl --majority panel.jsonl --out agreement.json

    A game is one comparison in one order. Agreement is on win, tie and loss; a majority verdict is the median label.
    `paribus winrate` reads the file of majority verdicts.
    """
    from paribus.feedback.panel import majority as common
    from paribus.feedback.panel import panel_report
    from paribus.records import write_records

    for target in (out, majority):
        _check_free(target, verdicts)
    rows = [row for source in verdicts for row in _read(source, out or majority, languages, on_bad_row)]
    found = panel_report(rows, resamples=resamples, level=level)
    _print_pairs(found, level)
    _print_standings(found)
    if majority is not None:
        write_records(majority, common(rows))
        print(majority)
    if out is not None:
        _write(out, found, verdicts)


def _read(source: str, beside: Path | None, languages: str, on_bad_row: Any) -> list["Verdict"]:
    """The verdicts of one argument, under the name that it gives them."""
    name, equals, path = source.partition("=")
    named = bool(equals) and not Path(source).exists()
    path = path if named else source
    rows = Reading(beside or Path(path), languages, on_bad_row=on_bad_row).verdicts(path)
    return [row.model_copy(update={"judge": name}) for row in rows] if named else rows


def _check_free(out: Path | None, sources: Sequence[str]) -> None:
    read = {Path(part).resolve() for source in sources for part in (source, source.partition("=")[2]) if part}
    if out is not None and out.resolve() in read:
        raise ConfigError(f"{out} is one of the files that are read; write to another one.")


def _print_pairs(found: "PanelReport", level: float) -> None:
    from paribus.cli.parts_progress import print_table, say

    for language, alpha in found.alpha.items():
        title = f"Agreement, {language}: alpha of all {len(found.judges)} judges {_number(alpha)}"
        columns = ["judges", "same outcome", "other winner", "kappa", "games", "left out"]
        rows = [_pair_cells(row) for row in found.pairs if row.language == language]
        print_table(f"{title}; {100 * level:g}% intervals over questions", columns, rows)
    for first, second in found.apart:
        say(f"{first} and {second} have no game in common that both were read on.")


def _pair_cells(row: "PairAgreement") -> list[Any]:
    from paribus.cli.parts_judging import share

    judges = f"{row.first} and {row.second}"
    return [judges, share(row.same), share(row.opposite), _number(row.kappa), row.games, row.left_out]


def _print_standings(found: "PanelReport") -> None:
    from paribus.cli.parts_progress import print_table

    columns = ["judge", "models", "language", "replies read", "first shown wins", "games that flip"]
    print_table("Judges side by side", columns, [_standing_cells(row) for row in found.standings])


def _standing_cells(row: "Standing") -> list[str]:
    from paribus.cli.parts_judging import share

    bias = (row.position.first_wins, row.position.flip_rate) if row.position else (None, None)
    return [row.judge, " and ".join(row.models), row.language, share(row.parse_rate), *map(share, bias)]


def _number(interval: Any) -> str:
    """``0.61 [0.55, 0.67]``; a dash where there is nothing to say."""
    from paribus.report.formatting import show, show_interval

    if interval is None:
        return "–"
    return f"{show(interval.estimate, 'number')} {show_interval(interval.low, interval.high, 'number')}"


def _write(out: Path, found: "PanelReport", sources: Sequence[str]) -> None:
    import json
    from dataclasses import asdict

    from paribus.cli.parts_record import versions

    out.parent.mkdir(parents=True, exist_ok=True)
    content = {"verdicts": list(sources), "versions": versions(), **asdict(found)}
    out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(out)
