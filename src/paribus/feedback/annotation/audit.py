"""The audit of human (or machine) feedback: what the ratings are, how far they agree, and what they are blind to.

One call for any ratings at hand. What cannot be computed from them (no experts, no style pass, one rater each) is said
in the notices instead of failing; what was taken out is counted. Source: arXiv 2309.16349 in full.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np

from paribus.errors import DataError
from paribus.feedback.annotation.aggregation import Outputs, aggregate, agreements
from paribus.feedback.annotation.analysis import Analysis, AuditSettings, analyse
from paribus.feedback.annotation.checks import PassRate, RaterCheck, clean, distractor_rates, rater_checks, untrusted
from paribus.feedback.annotation.columns import Output, RatingTable, expert_table, tables_of, with_languages
from paribus.feedback.annotation.halo import Halo, halo
from paribus.feedback.annotation.notices import Notice
from paribus.feedback.annotation.schema import EXPERT, PASSES, Pass
from paribus.feedback.annotation.tables import UNNAMED
from paribus.records import Rating

__all__ = ["ALL", "Analysis", "Audit", "AuditSettings", "Pool", "audit"]

ALL = "all"


@dataclass(frozen=True)
class Pool:
    """The ratings of one pass: ``given``, of which ``dropped`` (by reason) and ``distractors`` do not count.

    ``raters`` is 0 where files do not name them.
    """

    pass_: Pass
    given: int
    dropped: dict[str, int]
    distractors: int
    counted: int
    raters: int
    outputs: int
    inputs: int

    @property
    def ratings_an_output(self) -> float:
        """Mean number of ratings that an output has."""
        return self.counted / self.outputs if self.outputs else 0.0


@dataclass(frozen=True)
class Audit:
    """What an audit found. ``analyses`` begins with all languages together; others follow where there are several."""

    settings: AuditSettings
    pools: tuple[Pool, ...]
    experts: int
    distractors: tuple[PassRate, ...]
    halo: tuple[Halo, ...]
    distrusted: tuple[RaterCheck, ...]
    analyses: tuple[Analysis, ...]
    notices: tuple[Notice, ...]

    def of(self, language: str = ALL) -> Analysis:
        """The analysis of one language. Raises ``DataError`` if it has none."""
        for analysis in self.analyses:
            if analysis.language == language:
                return analysis
        raise DataError(f"The audit has no analysis of {language!r}; it has {[a.language for a in self.analyses]}.")

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON; numbers that do not exist become null."""
        content: dict[str, Any] = _plain(asdict(self))
        return content


def audit(ratings: Sequence[Rating], experts: Sequence[Rating] = (), settings: AuditSettings | None = None) -> Audit:
    """Audit ratings of any passes.

    Args:
        ratings: the crowd's, in any order, distractors included; those by the rater ``"expert"`` count as experts'.
        experts: labels of errors to take for the truth, whoever their rater is.
        settings: how to count, ``None`` for the paper's ways.

    Raises:
        DataError: no rating that counts, one of an unknown pass, or a reference that no rating names.
    """
    settings = settings or AuditSettings()
    truth = [r.model_copy(update={"rater": EXPERT}) for r in experts] + [r for r in ratings if r.rater == EXPERT]
    crowd, truth = with_languages([rating for rating in ratings if rating.rater != EXPERT], truth)
    checks = rater_checks(r for r in crowd if not r.rater.startswith(UNNAMED))
    doubted = untrusted(checks) if settings.drop_untrusted else frozenset()
    kept = clean(crowd, untrusted=doubted).kept
    tables, expert = tables_of(kept), expert_table(clean(truth).kept)
    if not crowd:
        raise DataError("There is no rating to audit: the files hold none, or experts' labels alone.")
    if not tables:
        raise DataError(f"None of the {len(crowd)} ratings counts: all are distractors, duplicates or inattentive.")
    _check_reference(settings.reference, tables)
    given = [name for name in PASSES if any(rating.pass_ == name for rating in crowd)]
    pools = tuple(_pool(name, crowd, doubted, tables.get(name)) for name in given)
    rates = distractor_rates(kept)
    return Audit(
        settings=settings,
        pools=pools,
        experts=len(expert) if expert is not None else 0,
        distractors=rates,
        halo=halo(kept, **settings.drawing),
        distrusted=tuple(check for check in checks if check.reasons),
        analyses=_analyses(tables, expert, settings),
        notices=tuple(_notices(crowd, tables, expert, rates, settings)),
    )


def _check_reference(reference: str, tables: Mapping[Pass, RatingTable]) -> None:
    models = sorted({output.model for table in tables.values() for output in table.outputs})
    if reference and reference not in models:
        raise DataError(f"No rating is of the reference {reference!r}; the models are {', '.join(models)}.")


def _pool(name: Pass, crowd: Sequence[Rating], doubted: frozenset[str], table: RatingTable | None) -> Pool:
    """The pool of a pass; ``table`` is None where none of its ratings counts."""
    given = [rating for rating in crowd if rating.pass_ == name]
    cleaned = clean(given, untrusted=doubted)
    if table is None:
        return Pool(name, len(given), cleaned.dropped, len(cleaned.kept), 0, 0, 0, 0)
    named = {rater for rater in table.raters if not rater.startswith(UNNAMED)}
    inputs = {output.cluster for output in table.outputs}
    away = len(cleaned.kept) - len(table)
    return Pool(name, len(given), cleaned.dropped, away, len(table), len(named), len(table.outputs), len(inputs))


def _analyses(
    tables: Mapping[Pass, RatingTable], expert: RatingTable | None, settings: AuditSettings
) -> tuple[Analysis, ...]:
    outputs = aggregate(tables.values(), scores=settings.scores)
    truth = aggregate([expert]) if expert is not None else None
    whole = analyse(ALL, outputs, truth, agreements(tables, **settings.drawing), settings)
    return whole, *(_in_language(code, tables, outputs, truth, settings) for code in _languages(outputs, settings))


def _languages(outputs: Outputs, settings: AuditSettings) -> list[str]:
    """Languages to analyse on their own: where there are several, those of enough inputs."""
    inputs = _inputs_by_language(outputs.keys)
    if len(inputs) < 2:
        return []
    return sorted(code for code, own in inputs.items() if code and len(own) >= settings.language_inputs)


def _inputs_by_language(outputs: Iterable[Output]) -> dict[str, set[str]]:
    inputs: dict[str, set[str]] = {}
    for output in outputs:
        inputs.setdefault(output.language, set()).add(output.cluster)
    return inputs


def _in_language(
    code: str,
    tables: Mapping[Pass, RatingTable],
    outputs: Outputs,
    truth: Outputs | None,
    settings: AuditSettings,
) -> Analysis:
    own = {name: part for name, table in tables.items() if len(part := table.in_language(code))}
    agreement = agreements(own, **settings.drawing)
    labelled = None if truth is None else truth.where(truth.labels("language") == code)
    return analyse(code, outputs.where(outputs.labels("language") == code), labelled, agreement, settings)


def _notices(
    crowd: Sequence[Rating],
    tables: Mapping[Pass, RatingTable],
    expert: RatingTable | None,
    rates: Sequence[PassRate],
    settings: AuditSettings,
) -> list[Notice]:
    found = [_missing(name, crowd) for name in PASSES if name not in tables]
    if expert is None:
        text = "No experts' labels: whether the crowd's error labels are right cannot be said (give --experts)."
        found.append(Notice("missing-experts", "crowd and experts", text))
    if not rates:
        text = "No distractors: nothing shows whether raters read what they rated."
        found.append(Notice("missing-distractors", "raters", text))
    if not any("attention" in rating.meta for rating in crowd):
        found.append(Notice("missing-attention", "raters", "No form had attention checks (or they were taken out)."))
    if any(rating.rater.startswith(UNNAMED) for rating in crowd):
        text = "Raters are not named in some files, so duplicates and careless raters cannot be found there."
        found.append(Notice("unnamed-raters", "raters", text))
    for name, table in tables.items():
        if int(np.bincount(table.of).max()) == 1:
            text = f"Every output has one rating of the pass {name}: agreement is unknown, and errors are one opinion."
            found.append(Notice("single-rater", "agreement", text))
    return [*found, *_two_kinds(crowd), *_empty_cells(tables), *_small_languages(tables, settings)]


def _missing(name: Pass, crowd: Sequence[Rating]) -> Notice:
    given = sum(rating.pass_ == name for rating in crowd)
    lost = f"None of {given:,} ratings of the pass {name} counts (see the table of ratings). " if given else ""
    return Notice("missing-pass", name, lost + _ABSENT[name])


_ABSENT: dict[Pass, str] = {
    "errors": "No pass with error labels: nothing says what the scores reflect.",
    "quality": "No pass with quality alone; an overall score that is given after error labels is primed by them.",
    "style": "No pass with assertiveness and complexity: whether they bias the scores cannot be said.",
}


def _two_kinds(crowd: Sequence[Rating]) -> list[Notice]:
    """Error labels some of which lack an overall score, as when the experts' file is among the crowd's."""
    scored = ["overall" in rating.scores for rating in crowd if rating.pass_ == "errors" and "error" not in rating.meta]
    if all(scored) or not any(scored):
        return []
    text = f"{scored.count(False):,} of {len(scored):,} ratings of errors have no overall score."
    return [Notice("two-kinds", "errors", f"{text} If these are experts' labels, give their file as --experts.")]


def _empty_cells(tables: Mapping[Pass, RatingTable]) -> list[Notice]:
    """Combinations of model and preamble without any output, if there are several of both."""
    cells = {(output.model, output.preamble) for table in tables.values() for output in table.outputs}
    models, preambles = (sorted({cell[side] for cell in cells}) for side in (0, 1))
    empty = [f"{m} / {p}" for m in models for p in preambles if (m, p) not in cells]
    if not empty or len(models) < 2:
        return []
    some = ", ".join(empty[:4]) + (" ..." if len(empty) > 4 else "")
    text = f"{len(empty)} of {len(models) * len(preambles)} cells of model and preamble have no output ({some})."
    return [Notice("empty-cells", "design", f"{text} Means by model and by preamble mix the two.")]


def _small_languages(tables: Mapping[Pass, RatingTable], settings: AuditSettings) -> list[Notice]:
    """Languages that count in the whole only, if there are several."""
    inputs = _inputs_by_language(output for table in tables.values() for output in table.outputs)
    enough = settings.language_inputs
    small = [f"{code or 'not told'} ({len(own)})" for code, own in sorted(inputs.items()) if len(own) < enough]
    if not small or len(inputs) < 2:
        return []
    text = f"Languages with fewer than {enough} inputs have no analysis of their own: {', '.join(small)}."
    return [Notice("small-languages", "languages", text)]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key).rstrip("_"): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value
