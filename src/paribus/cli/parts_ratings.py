"""``paribus ratings``: what human (or machine) ratings of answers are worth. ``ratings_app`` is the group."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.cli import parts_ratings_collect
from paribus.cli.parts_inputs import OnBadRow
from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.feedback.annotation.audit import Audit
    from paribus.feedback.annotation.halo import Halo
    from paribus.records import Rating
    from paribus.statistics import Interval

ratings_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

Files = Annotated[
    list[str],
    typer.Argument(metavar="FILES...", help="Ratings: CSV tables of one pass each, or JSONL or Parquet of records."),
]


@ratings_app.command(short_help="What ratings reflect, and what they are blind to.")
def audit(
    context: typer.Context,
    files: Files,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page to write, such as audit.html.")],
    experts: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Experts' labels of errors, taken for the truth.", show_default="none"),
    ] = None,
    json_out: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="All numbers as JSON.", show_default="none")
    ] = None,
    language: Annotated[
        str, typer.Option(metavar="CODE", help="The language of rows that do not say theirs.", show_default="none")
    ] = "",
    reference: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The model to compare others with at equal quality.", show_default="the best rated"
        ),
    ] = "",
    alpha: Annotated[float, typer.Option(min=0, help="The Lasso's penalty.")] = 0.01,
    drop_untrusted: Annotated[
        bool, typer.Option("--drop-untrusted", help="Leave out raters that fail the checks of raters.")
    ] = False,
    resamples: Annotated[int, typer.Option(min=100, help="Resamples of inputs behind an interval.")] = 1_000,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    on_bad_row: OnBadRow = "fail",
) -> None:
    """Audit ratings: agreement, what scores reflect, missed errors, assertiveness; as a page and a summary.

    \b
    Example: paribus ratings audit errors.csv quality.csv style.csv --experts expert.csv --out audit.html
             paribus ratings audit annotated.jsonl --out audit.html --json audit.json

    Any part of the passes will do: what cannot be said without the others is listed.
    """
    from paribus.feedback.annotation.audit import AuditSettings
    from paribus.feedback.annotation.audit import audit as audit_ratings
    from paribus.report.audit import write_audit

    if out.suffix not in (".html", ".htm"):
        raise ConfigError(f"--out {out} has the ending {out.suffix!r}; the page is .html (--json writes the numbers).")
    settings = AuditSettings(
        alpha=alpha,
        reference=reference,
        drop_untrusted=drop_untrusted,
        resamples=resamples,
        level=level,
        seed=seed,
    )
    ratings = [rating for file in files for rating in _read(file, out, on_bad_row, language)]
    truth = _read(experts, out, on_bad_row, language, rater="expert") if experts else []
    found = audit_ratings(ratings, truth, settings)
    sources = [*files, *([f"{experts} (experts)"] if experts else [])]
    _print(found)
    if json_out is not None:
        _write_json(json_out, found, sources)
    print(write_audit(found, out, sources=sources, command=str(context.find_root().obj)))


def _read(file: str, out: Path, on_bad_row: Any, language: str, rater: str = "") -> "list[Rating]":
    from paribus.cli.parts_inputs import tell_skipped
    from paribus.feedback.annotation.tables import read_ratings
    from paribus.records import ReadReport

    report, bad_rows = ReadReport(), out.with_name(f"{out.name}.{Path(file).name}.bad.jsonl")
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = read_ratings(file, rater=rater, language=language, on_bad_row=on_bad_row, bad_rows=bad_rows, report=report)
    tell_skipped(file, report, bad_rows)
    return rows


def _write_json(path: Path, found: "Audit", sources: list[str]) -> None:
    from paribus.cli.parts_record import versions

    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"files": sources, "versions": versions(), **found.as_dict()}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)


def _print(found: "Audit") -> None:
    """The summary: what there is, weights of errors, gaps to experts, style; notices last."""
    from paribus.cli.parts_progress import print_table, say

    whole = found.of()
    title = (
        f"{whole.outputs:,} outputs of {whole.inputs:,} inputs; {100 * found.settings.level:g}% intervals over inputs"
    )
    pools = [
        [p.pass_, f"{p.counted:,}", f"{p.distractors:,}", *p.dropped.values(), f"{p.ratings_an_output:.1f}"]
        for p in found.pools
    ]
    print_table(title, ["pass", "ratings", "distractors", *_dropped(found), "an output"], pools)
    rates = [[r.pass_, _share(r.not_above), _share(r.below), r.pairs] for r in found.distractors]
    if rates:
        print_table("Distractors", ["pass", "not above", "below", "forms"], rates)
    halo = [[h.question, _share_of(h, "distractor"), _share_of(h, "genuine"), _halo(h)] for h in found.halo]
    if halo:
        print_table(
            "Errors on distractors: do raters tell them apart?", ["question", "on them", "elsewhere", "more"], halo
        )
    _print_agreement(found)
    _print_regressions(found)
    _print_gaps(found)
    _print_style(found)
    for notice in [*found.notices, *(note for analysis in found.analyses for note in analysis.notices)]:
        say(f"note ({notice.part}): {notice.text}")


def _share_of(row: "Halo", side: str) -> str:
    value = getattr(row, side)
    return f"{value:.2f}" if row.question == "overall" else f"{value:.1%}"


def _halo(row: "Halo") -> str:
    return _points(row.difference) if row.question == "overall" else _gap(row.difference)


def _dropped(found: "Audit") -> list[str]:
    return [f"dropped: {reason}" for reason in found.pools[0].dropped]


def _print_agreement(found: "Audit") -> None:
    from paribus.cli.parts_progress import print_table

    rows = [[a.question, _points(a.ac1), _points(a.alpha), a.items, a.ratings] for a in found.of().agreement]
    if rows:
        unit = "repeated forms" if found.of().agreement[0].unit == "form" else "outputs rated twice or more"
        print_table(f"Agreement on {unit}", ["question", "AC1", "alpha", "items", "ratings"], rows)


def _print_regressions(found: "Audit") -> None:
    from paribus.cli.parts_progress import print_table

    for fit in found.of().regressions:
        rows = [
            [w.error, f"{w.rate:.1%}", _points(w.lasso), _points(w.ols), _points(w.correlation)] for w in fit.weights
        ]
        title = f"What an error costs {fit.target}, points of 5 (Lasso, alpha {fit.alpha:g}; R2 {fit.r2.estimate:.3f})"
        print_table(title, ["error", "seen in", "Lasso", "least squares", "r"], rows)


def _print_gaps(found: "Audit") -> None:
    from paribus.cli.parts_progress import print_table

    gaps = found.of().gaps
    if gaps is not None:
        groups, errors = (list(dict.fromkeys(getattr(row, name) for row in gaps.rows)) for name in ("group", "error"))
        rows = [[error, *(_gap(gaps.of(error, group).difference) for group in groups)] for error in errors]
        print_table("Crowd minus experts, percentage points, without refusals", ["error", *groups], rows)
    seen = [[d.error, _share(d.precision), _share(d.recall), d.crowd, d.expert, d.found] for d in found.of().detection]
    if seen:
        print_table("What experts see", ["error", "precision", "recall", "crowd", "experts", "both"], seen)


def _print_style(found: "Audit") -> None:
    from paribus.cli.parts_progress import print_table

    rows = []
    for s in found.of().style:
        of = (s.assertiveness, s.assertiveness_given_complexity, s.complexity, s.complexity_given_assertiveness)
        rows.append([s.target, *map(_points, of)])
    if rows:
        columns = ["score", "assertiveness", "complexity fixed", "complexity", "assertiveness fixed"]
        print_table("Correlation of scores with style", columns, rows)
    lines = [[e.model, e.reference, _points(e.more_assertive), _points(e.better)] for e in found.of().equal_quality]
    if lines:
        columns = ["model", "against", "more assertive at equal quality", "better at equal assertiveness"]
        print_table("Models, points of 5", columns, lines)


def _points(interval: "Interval") -> str:
    return _shown(interval, 1, "{:.2f}")


def _share(interval: "Interval") -> str:
    return _shown(interval, 100, "{:.1f}%")


def _gap(interval: "Interval") -> str:
    return _shown(interval, 100, "{:+.1f}")


def _shown(interval: "Interval", scale: float, form: str) -> str:
    value, low, high = (
        form.format(scale * number) if number == number else "–"
        for number in (interval.estimate, interval.low, interval.high)
    )
    return value if "–" in (low, high) else f"{value} [{low}, {high}]"


def register(app: typer.Typer) -> None:
    """Add the group to the app."""
    parts_ratings_collect.register(ratings_app)
    app.add_typer(
        ratings_app,
        name="ratings",
        help="Ratings of answers by people or models: design, collect, audit.",
        short_help="Ratings: design, collect, audit.",
    )
