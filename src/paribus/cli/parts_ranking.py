"""``paribus rank``: many models in one ranking, by Bradley-Terry, with groups, style control and a reference."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paribus.cli.parts_inputs import Languages, OnBadRow, Reading
from paribus.cli.parts_published import Category, Judge, VerdictFormat

if TYPE_CHECKING:
    from paribus.evaluation.arena_hard import OfficialScore
    from paribus.evaluation.ranking import Ranking, Unranked
    from paribus.evaluation.style import Style, StyleKey
    from paribus.evaluation.style_control import Coefficient

Answers = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE", help="Answers of the judged models: adds style control.", show_default="none"),
]
LengthIn = Literal["tokens", "characters", "words"]


def rank(
    verdicts: Annotated[
        list[str], typer.Argument(metavar="VERDICTS...", help="Verdicts of one judge (`paribus judge`), or --format's.")
    ],
    baseline: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who stands at 1,000 points.", show_default="the model with most games"),
    ] = None,
    form: Annotated[
        VerdictFormat, typer.Option("--format", help="What the files are: verdicts, or Arena-Hard's judgments.")
    ] = "paribus",
    judge: Judge = None,
    category: Category = None,
    weighting: Annotated[
        Literal["strong_x3", "half_ties"], typer.Option(help="Strong verdicts count three times, or like all others.")
    ] = "strong_x3",
    unparsed: Annotated[
        Literal["drop-prompt", "drop-game", "fail"],
        typer.Option(help="Games whose verdict could not be read: drop the prompt, the game, or stop."),
    ] = "drop-prompt",
    bootstrap: Annotated[
        Literal["question", "row"],
        typer.Option(help="Resample questions with all their languages and games, or single rows (too narrow)."),
    ] = "question",
    official: Annotated[
        Literal["v0.1", "v2.0"] | None,
        typer.Option(help="Arena-Hard's own scores and row intervals as well.", show_default="none"),
    ] = None,
    answers: Answers = None,
    features: Annotated[Literal["v0.1", "v2.0"], typer.Option(help="Style features of which Arena-Hard.")] = "v2.0",
    length_in: Annotated[LengthIn, typer.Option(help="How long an answer is; tokens as its file says.")] = "tokens",
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Scores by other means: CSV with model, score[, low, high], or a ranking's --out.",
            show_default="none",
        ),
    ] = None,
    by_language: Annotated[bool, typer.Option(help="A ranking for each language as well.")] = True,
    resamples: Annotated[int, typer.Option(min=100, help="Resamples behind an interval.")] = 1_000,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    alpha: Annotated[float, typer.Option(help="Chance of any false separation among the groups.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    languages: Languages = "",
    on_bad_row: OnBadRow = "fail",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the rankings as JSON as well.", show_default="none"),
    ] = None,
) -> None:
    """Rank many models from one judge's verdicts: ratings, chances to beat the baseline, groups, by language.

    \b
    Example: paribus rank verdicts-*.jsonl --baseline base --out ranking.json
             paribus rank verdicts.jsonl --answers a.jsonl --answers b.jsonl --length-in characters
             paribus rank data/arena-hard-v0.1 --format arena-hard --official v0.1 --reference votes.csv

    Models that share a letter are not told apart (Holm over all pairs of the table).
    """
    from paribus.cli.parts_published import read_verdicts
    from paribus.evaluation.ranking import rank as rank_models
    from paribus.evaluation.ranking import rank_by_language, read_reference

    reading = Reading(out or Path(verdicts[0]), languages, on_bad_row=on_bad_row)
    rows = read_verdicts(verdicts, form, reading, judge, category, baseline)
    settings: dict[str, Any] = {
        "weighting": weighting,
        "unparsed": unparsed,
        "resample": bootstrap,
        "resamples": resamples,
        "level": level,
        "alpha": alpha,
        "rng": seed,
        "styles": _styles(answers, form, reading, length_in) if answers else None,
        "features": features,
        "reference": None if reference is None else read_reference(reference),
    }
    rankings = (
        rank_by_language(rows, baseline, **settings) if by_language else (rank_models(rows, baseline, **settings),)
    )
    board = _official(rows, official, rankings, seed)
    _print(rankings)
    _print_official(board)
    if out is not None:
        _write(out, verdicts, rankings, board)


def _styles(answers: Sequence[str], form: str, reading: Reading, length_in: LengthIn) -> "dict[StyleKey, Style]":
    from paribus.evaluation.arena_hard import read_answers
    from paribus.evaluation.style import completion_styles

    counter = {"tokens": None, "characters": len, "words": lambda text: len(text.split())}[length_in]
    if form == "arena-hard":
        folders = [Path(source) for source in answers]
        files = [file for path in folders for file in (sorted(path.rglob("*.jsonl")) if path.is_dir() else [path])]
        return read_answers(files, count_tokens=counter).styles
    rows = [row for source in answers for row in reading.completions(source)]
    return completion_styles(rows, counter)


def _official(
    rows: Sequence[Any], version: Any, rankings: "Sequence[Ranking | Unranked]", seed: int
) -> "tuple[OfficialScore, ...]":
    from paribus.evaluation.arena_hard import official_scores
    from paribus.evaluation.ranking import Ranking

    whole = rankings[0]
    assert isinstance(whole, Ranking)  # a whole that cannot be ranked has raised
    return official_scores(rows, whole.rating.baseline, version, rng=seed) if version else ()


def _print(rankings: "Sequence[Ranking | Unranked]") -> None:
    from paribus.cli.parts_progress import print_table, say
    from paribus.evaluation.ranking import Unranked

    for ranking in rankings:
        if isinstance(ranking, Unranked):
            say(f"{ranking.language}: not ranked. {ranking.reason}")
            continue
        rating, groups = ranking.rating, ranking.groups
        n = next(iter(rating.ratings.values())).n
        what = "questions" if rating.resample == "question" else "rows (independence assumed: too narrow)"
        title = (
            f"{ranking.language}: {len(groups.models)} models, judged by {ranking.judge}, {rating.baseline} at 1,000 "
            f"points; {rating.weighting}\n{100 * next(iter(rating.ratings.values())).level:g}% intervals over {n:,} "
            f"{what}; one letter: not told apart (alpha {groups.alpha:g}, Holm)"
        )
        style = ["equal style", "average gap"] if ranking.style else []
        columns = ["model", "points", "group", "beats baseline", *style, "games"]
        print_table(title, columns, [_cells(ranking, name) for name in groups.models])
        for line in _remarks(ranking):
            say(line)
        if ranking.style:
            print_table(
                "Style: log odds per standard deviation of the gap", ["feature", *_COEFFICIENT], _style(ranking)
            )


_COEFFICIENT = ("per sd", "mean gap", "sd of gap")


def _cells(ranking: "Ranking", name: str) -> list[str]:
    from paribus.cli.parts_judging import share

    rating = ranking.rating
    points = rating.ratings[name]
    shown = f"{points.estimate:.0f} [{points.low:.0f}, {points.high:.0f}]"
    cells = [name, shown + (" (no bound)" if name in rating.unbounded else ""), ranking.groups.letters[name]]
    cells.append(share(rating.win_probability[name]))
    if ranking.style:
        cells += [share(ranking.style.at_zero_gap[name]), share(ranking.style.at_mean_gap[name])]
    return [*cells, f"{ranking.games[name]:,}"]


def _style(ranking: "Ranking") -> list[list[str]]:
    def cells(row: "Coefficient") -> list[str]:
        per_sd = row.per_sd
        shown = f"{per_sd.estimate:+.2f} [{per_sd.low:+.2f}, {per_sd.high:+.2f}]" if row.sd_gap else "never differs"
        return [row.feature, shown, f"{row.mean_gap:+.3f}", f"{row.sd_gap:.3f}"]

    return [cells(row) for row in ranking.style.coefficients] if ranking.style else []


def _remarks(ranking: "Ranking") -> list[str]:
    rating, quality = ranking.rating, ranking.quality
    lines = [
        f"{ranking.language}: {100 * ranking.groups.separability:.0f}% of the pairs told apart by test, "
        f"{100 * ranking.separability:.0f}% by intervals that do not overlap (separability); "
        f"{rating.unparsed} games unread, {rating.dropped} dropped with them."
    ]
    if ranking.unstyled:
        lines.append(f"{ranking.language}: no style control. {ranking.unstyled}")
    if quality is not None:
        figures = {"agreement": quality.agreement, "Brier": quality.brier, "Spearman": quality.spearman}
        shown = ", ".join(f"{name} {'–' if value is None else f'{value:.3f}'}" for name, value in figures.items())
        absent = f"; not in it: {', '.join(quality.left_out)}" if quality.left_out else ""
        shared = f"on {len(quality.models)} shared models"
        lines.append(f"{ranking.language}: against the reference, {shared}: {shown}{absent}.")
        lines += [f"{ranking.language}: {reason}" for reason in quality.missing]
    return lines


def _print_official(board: "Sequence[OfficialScore]") -> None:
    from paribus.cli.parts_judging import share
    from paribus.cli.parts_progress import print_table

    if not board:
        return
    first = board[0]
    title = (
        f"Arena-Hard {first.version}, official: against {first.baseline}; {100 * first.score.level:g}% intervals over "
        "rows as published (independence assumed: too narrow)"
    )
    rows = [[row.model, share(row.score), f"{row.score.n:,}", str(row.unparsed), str(row.dropped)] for row in board]
    print_table(title, ["model", "score", "rows", "unread games", "dropped"], rows)


def _write(
    out: Path, sources: list[str], rankings: "Sequence[Ranking | Unranked]", board: "Sequence[OfficialScore]"
) -> None:
    import json
    from dataclasses import asdict

    from paribus.cli.parts_record import versions
    from paribus.evaluation.ranking import Unranked

    content = {
        "verdicts": sources,
        "versions": versions(),
        "rankings": [_as_json(row) for row in rankings if not isinstance(row, Unranked)],
        "unranked": [asdict(row) for row in rankings if isinstance(row, Unranked)],
        "official": [asdict(row) for row in board],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(out)


def _as_json(ranking: "Ranking") -> dict[str, Any]:
    from dataclasses import asdict

    rating, groups, style = ranking.rating, ranking.groups, ranking.style
    models = []
    for name in groups.models:
        points = rating.ratings[name]
        row = {"model": name, "score": points.estimate, "low": points.low, "high": points.high, "level": points.level}
        row |= {"n": points.n, "group": groups.letters[name], "games": ranking.games[name]}
        row["win_probability"] = asdict(rating.win_probability[name])
        if style:
            row |= {"at_zero_gap": asdict(style.at_zero_gap[name]), "at_mean_gap": asdict(style.at_mean_gap[name])}
        models.append(row)
    return {
        "language": ranking.language,
        "judge": ranking.judge,
        "baseline": rating.baseline,
        "weighting": rating.weighting,
        "resample": rating.resample,
        "models": models,
        "unbounded": rating.unbounded,
        "unparsed": rating.unparsed,
        "dropped": rating.dropped,
        "alpha": groups.alpha,
        "pairs": [{"better": a, "worse": b, "p_value": p} for (a, b), p in groups.p_values.items()],
        "separated": groups.separability,
        "separability": ranking.separability,
        "style": style and {"features": style.features, "coefficients": [asdict(row) for row in style.coefficients]},
        "unstyled": ranking.unstyled,
        "quality": ranking.quality and asdict(ranking.quality),
    }
