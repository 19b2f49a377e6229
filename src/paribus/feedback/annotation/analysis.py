"""All analyses of one set of outputs, each where the ratings allow it, with notices of those they do not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from paribus.errors import DataError
from paribus.feedback.annotation.aggregation import Agreement, By, Combine, Outputs
from paribus.feedback.annotation.assertiveness import (
    ASSERTIVE,
    COMPLEX,
    QUALITY,
    EqualQuality,
    ModelLine,
    StyleCorrelations,
    at_equal_quality,
    model_lines,
    style_correlations,
)
from paribus.feedback.annotation.confounders import Detection, Gaps, crowd_minus_expert, detection
from paribus.feedback.annotation.groups import GroupMeans, group_means, rating_bins, refused, word_bins
from paribus.feedback.annotation.notices import Notice
from paribus.feedback.annotation.regression import ALPHA, ErrorRegression, regress

T = TypeVar("T")
TARGETS = (QUALITY, "overall")
"""Scores to explain: quality rated on its own, and overall quality rated after error labels."""


@dataclass(frozen=True)
class AuditSettings:
    """How an audit counts.

    Attributes:
        alpha: the Lasso's penalty. scores: how scores of several raters become one.
        reference: the model that others are compared with at equal quality; ``""`` takes the best rated.
        drop_untrusted: leave out raters that fail the checks of raters (they are always named).
        resamples, level, seed: of the intervals, which resample inputs.
        language_inputs: inputs from which on a language has an analysis of its own.
    """

    alpha: float = ALPHA
    scores: Combine = "mean"
    reference: str = ""
    drop_untrusted: bool = False
    resamples: int = 1_000
    level: float = 0.95
    seed: int = 0
    language_inputs: int = 20

    @property
    def drawing(self) -> dict[str, Any]:
        """The arguments of every interval."""
        return {"resamples": self.resamples, "level": self.level, "rng": self.seed}


@dataclass(frozen=True)
class Analysis:
    """All analyses of the outputs of one language, or of all; None or empty where the ratings do not allow one.

    Attributes:
        regressions: of ``quality`` and ``overall`` on errors.
        gaps: crowd minus expert without refusals; ``gaps_with_refusals`` with them; ``gaps_labelled`` without refusals
            on labelled outputs only.
        by_*: means by preamble, model, perceived style, length; ``answered_by_*`` without refusals.
    """

    language: str
    outputs: int
    inputs: int
    agreement: tuple[Agreement, ...]
    regressions: tuple[ErrorRegression, ...]
    gaps: Gaps | None
    gaps_with_refusals: Gaps | None
    gaps_labelled: Gaps | None
    detection: tuple[Detection, ...]
    by_preamble: tuple[GroupMeans, ...]
    by_model: tuple[GroupMeans, ...]
    by_assertiveness: tuple[GroupMeans, ...]
    answered_by_assertiveness: tuple[GroupMeans, ...]
    by_complexity: tuple[GroupMeans, ...]
    answered_by_complexity: tuple[GroupMeans, ...]
    by_length: tuple[GroupMeans, ...]
    style: tuple[StyleCorrelations, ...]
    lines: tuple[ModelLine, ...]
    equal_quality: tuple[EqualQuality, ...]
    notices: tuple[Notice, ...]


def analyse(
    language: str,
    outputs: Outputs,
    truth: Outputs | None,
    agreement: tuple[Agreement, ...],
    settings: AuditSettings,
) -> Analysis:
    """All analyses of ``outputs``, with ``truth`` what experts say of them (None or empty if they say nothing)."""
    made = _Parts(outputs, truth if truth is not None and len(truth) else None, settings, [])
    regressions = made.regressions()
    return Analysis(
        language=language,
        outputs=len(outputs),
        inputs=len(set(outputs.clusters)),
        agreement=agreement,
        regressions=regressions,
        gaps=made.gaps(),
        gaps_with_refusals=made.gaps(without_refusals=False),
        gaps_labelled=made.gaps(population="labelled"),
        detection=made.detection(),
        by_preamble=made.means("preamble"),
        by_model=made.means("model"),
        by_assertiveness=made.bins(ASSERTIVE),
        answered_by_assertiveness=made.bins(ASSERTIVE, answered=True),
        by_complexity=made.bins(COMPLEX),
        answered_by_complexity=made.bins(COMPLEX, answered=True),
        by_length=made.by_length(),
        style=made.style(),
        lines=made.lines(),
        equal_quality=made.equal_quality(),
        notices=tuple(dict.fromkeys([*made.notices, *(note for each in regressions for note in each.notices)])),
    )


@dataclass(frozen=True)
class _Parts:
    """The analyses of one set of outputs. One that the ratings do not allow becomes a notice."""

    outputs: Outputs
    truth: Outputs | None
    settings: AuditSettings
    notices: list[Notice]

    def regressions(self) -> tuple[ErrorRegression, ...]:
        if not self.outputs.errors:
            return ()
        drawing = {"alpha": self.settings.alpha, **self.settings.drawing}
        calls = {f"errors and {name}": partial(regress, self.outputs, name, **drawing) for name in self._targets()}
        return self._all(calls)

    def gaps(self, **how: Any) -> Gaps | None:
        if self.truth is None or not self.outputs.errors:
            return None
        call = partial(crowd_minus_expert, self.outputs, self.truth, **how, **self.settings.drawing)
        return self._attempt("crowd and experts", call)

    def detection(self) -> tuple[Detection, ...]:
        if self.truth is None or not self.outputs.errors:
            return ()
        call = partial(detection, self.outputs, self.truth, **self.settings.drawing)
        return self._attempt("crowd and experts", call) or ()

    def means(self, by: By) -> tuple[GroupMeans, ...]:
        return group_means(self.outputs, self.outputs.labels(by), self._columns(), **self.settings.drawing)

    def bins(self, style: str, *, answered: bool = False) -> tuple[GroupMeans, ...]:
        others = [name for name in self._columns() if name != style]
        if not others or not self.outputs.has(style):
            return ()
        kept = self.outputs.where(~refused(self.outputs)) if answered else self.outputs
        return group_means(kept, rating_bins(kept.column(style)), others, **self.settings.drawing)

    def by_length(self) -> tuple[GroupMeans, ...]:
        return group_means(self.outputs, word_bins(self.outputs.words), self._columns(), **self.settings.drawing)

    def style(self) -> tuple[StyleCorrelations, ...]:
        if not self.outputs.has(ASSERTIVE, COMPLEX):
            return ()
        drawing = self.settings.drawing
        return self._all(
            {
                f"style and {name}": partial(style_correlations, self.outputs, name, **drawing)
                for name in self._targets()
            }
        )

    def lines(self) -> tuple[ModelLine, ...]:
        if not self.outputs.has(ASSERTIVE, QUALITY):
            return ()
        return self._attempt("models", partial(model_lines, self.outputs, **self.settings.drawing)) or ()

    def equal_quality(self) -> tuple[EqualQuality, ...]:
        if not self.outputs.has(ASSERTIVE, QUALITY):
            return ()
        reference = self.settings.reference or _best(self.outputs)
        return (
            self._attempt("models", partial(at_equal_quality, self.outputs, reference, **self.settings.drawing)) or ()
        )

    def _targets(self) -> list[str]:
        return [name for name in TARGETS if self.outputs.has(name)]

    def _columns(self) -> list[str]:
        return [*self.outputs.errors, *self.outputs.scores]

    def _all(self, calls: Mapping[str, Callable[[], T]]) -> tuple[T, ...]:
        found = [self._attempt(part, call) for part, call in calls.items()]
        return tuple(each for each in found if each is not None)

    def _attempt(self, part: str, compute: Callable[[], T]) -> T | None:
        try:
            return compute()
        except DataError as error:
            self.notices.append(Notice("not-computed", part, str(error)))
            return None


def _best(outputs: Outputs) -> str:
    """The model with the highest mean quality, the first by name on a tie."""
    labels, quality = outputs.labels("model"), outputs.column(QUALITY)
    return max(sorted(set(labels.tolist())), key=lambda model: float(np.nanmean(quality[labels == model])))
