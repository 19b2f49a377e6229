"""Verdicts and annotations as other benchmarks publish them, read for `paribus winrate` and `paribus rank`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paribus.cli.parts_inputs import Reading

if TYPE_CHECKING:
    from paribus.evaluation.alpaca_eval import AlpacaScore, Annotations, Comparison
    from paribus.evaluation.length_control import LengthControlled
    from paribus.records import Verdict

Judge = Annotated[
    str | None,
    typer.Option(
        "--judge",
        metavar="NAME",
        help="Whose verdicts to count; in Arena-Hard and AlpacaEval folders the name of the judge's folder.",
        show_default="the only one",
    ),
]
Category = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Category of Arena-Hard v2.0, such as hard_prompt.", show_default="all"),
]
VerdictFormat = Literal["paribus", "arena-hard"]
SAME = 1e-6
"""Percent points within which a number counts as the published one: boards round to eight digits and more."""


def refuse_foreign(form: str, options: Mapping[str, Any]) -> None:
    """Raise ``ConfigError`` for an option that was given and says nothing about files of this ``form``."""
    from paribus.errors import ConfigError

    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if given:
        raise ConfigError(f"{', '.join(given)} cannot be used with --format {form}; leave it out.")


def read_verdicts(
    sources: Sequence[str], form: str, reading: Reading, judge: str | None, category: str | None, baseline: str | None
) -> "list[Verdict]":
    """Verdicts of all ``sources`` by one judge, where one is named. Raises ``DataError`` where that leaves none."""
    from paribus.errors import DataError
    from paribus.evaluation.arena_hard import judgment_files, read_judgments

    if form == "arena-hard":
        refuse_foreign(form, {"languages": reading.languages})
        files = [file for source in sources for file in judgment_files(Path(source), judge)]
        return read_judgments(files, baseline=baseline, category=category)
    refuse_foreign(form, {"category": category})
    rows = [row for source in sources for row in reading.verdicts(source)]
    kept = [row for row in rows if judge in (None, row.judge)]
    if not kept:
        known = ", ".join(sorted({row.judge for row in rows}))
        raise DataError(f"{', '.join(sources)} has no verdicts by {judge!r}; its judges are {known}.")
    return kept


def alpaca_eval(
    sources: Sequence[str],
    leaderboard: Path | None,
    annotator: str | None,
    gamed: Path | None,
    length_control: bool,
    resampling: Mapping[str, Any],
) -> dict[str, Any]:
    """Print AlpacaEval's numbers of every model, beside the published ones where a board is given, and return them."""
    from paribus.evaluation.alpaca_eval import (
        alpaca_score,
        annotation_files,
        compare,
        preference_groups,
        read_annotations,
        read_leaderboard,
    )

    board = {} if leaderboard is None else read_leaderboard(leaderboard)
    files = [file for source in sources for file in annotation_files(Path(source), annotator)]
    read = [read_annotations(file, models=board) for file in files]
    compared = compare([alpaca_score(rows, **resampling) for rows in read], board)
    letters = preference_groups(read, alpha=1.0 - resampling["level"], rng=resampling["rng"]).letters
    controlled = _controlled(read, gamed, resampling) if length_control or gamed else {}
    _print(compared, letters, controlled, leaderboard)
    rows = [_as_json(row, controlled) | {"group": letters[row.score.model]} for row in compared]
    return {"rows": rows, "leaderboard": str(leaderboard or "")}


def _controlled(
    read: "Sequence[Annotations]", gamed: Path | None, resampling: Mapping[str, Any]
) -> "dict[str, LengthControlled]":
    from paribus.errors import DataError
    from paribus.evaluation.length_control import length_controlled, read_gamed

    extra, difficulty = (None, None) if gamed is None else read_gamed(gamed)
    found = {}
    for rows in read:
        try:
            hard = None if difficulty is None else [difficulty[number] for number in range(len(rows))]
        except KeyError as error:
            raise DataError(f"{gamed} has no difficulty of instruction {error}, which {rows.source} holds.") from error
        found[rows.model] = length_controlled(
            rows.preference,
            rows.length,
            rows.baseline_length,
            questions=rows.instructions,
            difficulty=hard,
            gamed=extra,
            level=resampling["level"],
            rng=resampling["rng"],
        )
    return found


def _print(
    compared: "Sequence[Comparison]",
    letters: Mapping[str, str],
    controlled: "Mapping[str, LengthControlled]",
    leaderboard: Path | None,
) -> None:
    from paribus.cli.parts_progress import print_table, say

    first = compared[0].score
    title = (
        f"AlpacaEval: {len(compared)} model(s) against {first.baseline}, judged by {first.annotator}; percent\n"
        f"{100 * first.rate.level:g}% intervals over instructions; error: the standard error, as published\n"
        f"one letter: not told apart on the same instructions (alpha {1 - first.rate.level:.2g}, Holm)"
    )
    columns = ["model", "win rate", "group", "error", "won-lost-drawn", "left out", "length"]
    columns += ["at equal length"] if controlled else []
    columns += ["published rate", "ours less it", "published error", "ours less it"] if leaderboard else []
    print_table(title, columns, [_cells(row, letters, controlled, leaderboard is not None) for row in compared])
    if controlled:
        variant = next(iter(controlled.values())).variant
        say(f"At equal length: AlpacaEval's regression, {variant}, with an interval that resamples instructions.")
    if leaderboard:
        say(_agreement(compared, leaderboard))


def _cells(
    row: "Comparison", letters: Mapping[str, str], controlled: "Mapping[str, LengthControlled]", board: bool
) -> list[str]:
    score: AlpacaScore = row.score
    cells = [score.model, f"{score.win_rate:.2f} [{score.rate.low:.1f}, {score.rate.high:.1f}]", letters[score.model]]
    cells += [f"{score.standard_error:.2f}", f"{score.n_wins}-{score.n_wins_base}-{score.n_draws}"]
    cells += [str(score.left_out), str(score.avg_length)]
    if controlled:
        rate = controlled[score.model].rate
        cells.append(f"{100 * rate.estimate:.2f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]")
    for column in ("win_rate", "standard_error") if board else ():
        gap = row.difference(column)
        cells += ["–", "–"] if gap is None else [f"{(row.published or {})[column]:.2f}", f"{gap:+.1e}"]
    return cells


def _agreement(compared: "Sequence[Comparison]", leaderboard: Path) -> str:
    known = [row for row in compared if row.published is not None]
    gaps = [max(abs(row.difference(column) or 0.0) for column in ("win_rate", "standard_error")) for row in known]
    same, unknown = sum(gap <= SAME for gap in gaps), len(compared) - len(known)
    return (
        f"{same} of {len(known)} models come out as in {leaderboard}, win rate and standard error to {SAME:g} points"
        f"{f' (the largest difference is {max(gaps):.2g})' if gaps else ''}; {unknown} not on the board."
    )


def _as_json(row: "Comparison", controlled: "Mapping[str, LengthControlled]") -> dict[str, Any]:
    from dataclasses import asdict

    columns = ("win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws", "n_total", "avg_length")
    return {
        **asdict(row.score),
        "published": row.published,
        "differences": {column: row.difference(column) for column in columns},
        "length_controlled": asdict(controlled[row.score.model]) if controlled else None,
    }
