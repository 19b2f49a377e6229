"""Contrasts and claims of the human-feedback study, as data.

What the study must show, fixed before it ran: raters under-report errors of fact and inconsistencies, the more so the
more assertive the text; a score reflects some errors strongly and others hardly; of two systems equally good the more
assertive one is scored higher; and optimising against such scores raises assertiveness more than it raises truth.
Sentences and directions of the first three are the paper's; planted raters, their unbiased twins and the last
experiment, which the paper did not run, are ours and say so.
"""

from collections.abc import Iterable
from typing import Literal

from paribus.lab import Claim, Contrast, Matched, Unmatched
from paribus.studies.human_feedback_recipe import RANDOM, TRUTH
from paribus.studies.human_feedback_settings import ASSERTIVE, PLAIN, TWIN, HumanFeedback

PAPER = "Human Feedback is not Gold Standard (arXiv 2309.16349)"
OWN = "control of this study"
MISSING = "experiment of this study: the paper does not run it"

HIGH, LOW = "assertive_high", "assertive_low"
HIDDEN = {"factuality": "errors of fact", "inconsistent": "inconsistencies"}

GAP_MARGIN = 0.085
"""Half of what the paper finds between its two assertive preambles for errors of fact (-22.3 and -5.3 points)."""
SCORE_MARGIN = 0.15
"""Points of five: half of what Llama 2 is ahead of Command in assertiveness at equal quality, in the paper's data."""
STYLE_MARGIN = 0.25
"""A quarter of a step of assertiveness, of which answers have five."""

_SAME_RATINGS = Unmatched(reason="both arms read the same ratings")
_SAME_RAW = Unmatched(reason="the same ratings, of which one arm's are shuffled")
_NO_MODEL = Unmatched(reason="a random pick has no reward model")
_SAME_PAIRS = Matched(currency="examples", labels=("reward",))

Direction = Literal["greater", "less", "equivalent"]


def under(condition: str, preamble: str) -> str:
    """Name of the arm that holds a condition's labels under a preamble against experts'."""
    return f"{condition}_on_{preamble}"


def of_system(condition: str, system: str) -> str:
    """Name of the arm of a system as a condition's raters see it."""
    return f"{condition}_of_{system}"


def weights(condition: str) -> str:
    """Name of the arm of the Lasso of a condition's quality scores."""
    return f"weights_{condition}"


SHUFFLED = "weights_shuffled"


def picked(by: str) -> str:
    """Name of the arm of what a reward model picks."""
    return f"picked_by_{by}"


def policy(by: str) -> str:
    """Name of the arm of a policy that was trained on what a reward model picks."""
    return f"policy_by_{by}"


def contrasts(settings: HumanFeedback) -> list[Contrast]:
    """The comparisons that the settings' systems and raters allow."""
    rows = [*_gaps(settings), *_picks(settings), *_policies(settings)]
    return rows if settings.served else [*rows, *_systems(settings), *_weights()]


def _row(
    name: str,
    arm: str,
    baseline: str,
    measure: str,
    differs: tuple[str, ...],
    family: str,
    *,
    direction: Direction = "greater",
    matched: Matched | Unmatched = _SAME_RATINGS,
    margin: float = 0.0,
) -> Contrast:
    return Contrast(
        name=name,
        arm=arm,
        baseline=baseline,
        measure=measure,
        direction=direction,
        differs_in=differs,
        matched=matched,
        margin=margin,
        family=family,
    )


def _gap_name(condition: str, words: str) -> str:
    return f"{condition}: {words} reported in assertive text against hedged text"


def _gaps(s: HumanFeedback) -> list[Contrast]:
    rows = []
    for condition in s.conditions:
        control = condition == "fair"
        rows += [
            _row(
                _gap_name(condition, words),
                under(condition, HIGH),
                under(condition, LOW),
                f"{error}_gap",
                ("examine.preamble",),
                "under-reporting, no bias planted" if control else f"under-reporting by the {condition}",
                direction="equivalent" if control else "less",
                margin=GAP_MARGIN if control else 0.0,
            )
            for error, words in HIDDEN.items()
        ]
    return rows


def _systems(s: HumanFeedback) -> list[Contrast]:
    differs = ("examine.system",)
    rows = []
    for condition in s.conditions:
        arms = {name: of_system(condition, name) for name in (PLAIN, TWIN, ASSERTIVE)}
        biased = condition != "fair"
        rows += [
            _row(
                f"{condition}: score of the assertive system over the plain one, at equal truth",
                arms[ASSERTIVE],
                arms[PLAIN],
                "quality_at_equal_truth",
                differs,
                "scores of assertive systems" if biased else "scores, no bias planted",
                direction="greater" if biased else "equivalent",
                margin=0.0 if biased else SCORE_MARGIN,
            ),
            _row(
                f"{condition}: assertiveness of the assertive system over the plain one, at equal score",
                arms[ASSERTIVE],
                arms[PLAIN],
                "assertiveness_at_equal_quality",
                differs,
                "assertiveness at equal scores",
            ),
            _row(
                f"{condition}: assertiveness of the plain system's twin against it, at equal score",
                arms[TWIN],
                arms[PLAIN],
                "assertiveness_at_equal_quality",
                differs,
                "assertiveness of twins",
                direction="equivalent",
                margin=SCORE_MARGIN,
            ),
        ]
    return rows


def _weights() -> list[Contrast]:
    return [
        _row(
            f"{words} of the Lasso's weights on scores over shuffled scores",
            weights("crowd"),
            SHUFFLED,
            measure,
            ("examine.shuffled",),
            "weights",
            matched=_SAME_RAW,
        )
        for measure, words in (("weight_is_planted", "support"), ("order_is_planted", "order"))
    ]


def _made(s: HumanFeedback) -> tuple[str, ...]:
    """What stands behind a reward model and not behind a random pick."""
    trained = () if s.base.model else ("corpus", "tokenizer")
    return ("reward", "pairs", "ratings", "forms", "base", "compute", *trained)


_PAIRS = ("pairs.by", "pairs.inputs", "ratings*")


def _picks(s: HumanFeedback) -> list[Contrast]:
    rows = []
    for condition in s.conditions:
        biased = condition != "fair"
        rows.append(
            _row(
                f"assertiveness of what {condition} feedback picks against what the truth picks",
                picked(condition),
                picked(TRUTH),
                "picked_assertiveness",
                _PAIRS,
                "optimising against biased feedback" if biased else "optimising, no bias planted",
                direction="greater" if biased else "equivalent",
                margin=0.0 if biased else STYLE_MARGIN,
                matched=_SAME_PAIRS,
            )
        )
        if biased:
            rows.append(
                _row(
                    f"{condition} feedback raises assertiveness more than truth",
                    picked(condition),
                    picked(RANDOM),
                    "style_over_truth",
                    ("picks.inputs", *_made(s)),
                    "style over truth",
                    matched=_NO_MODEL,
                )
            )
    if "crowd" in s.conditions:
        rows.append(
            _row(
                "truth of what crowd feedback picks against what the same crowd picks without bias",
                picked("crowd"),
                picked("fair"),
                "picked_truth",
                ("ratings.assertiveness_gain", "ratings.hiding*"),
                "the price of bias",
                direction="less",
                matched=_SAME_PAIRS,
            )
        )
    return rows


def _policies(s: HumanFeedback) -> list[Contrast]:
    if not s.rounds.count or TRUTH not in s.rounds.by:
        return []
    matched = Matched(currency="calls", labels=("samples-*",))
    return [
        _row(
            f"assertiveness of a policy trained by {by} feedback against one trained by the truth",
            policy(by),
            policy(TRUTH),
            "policy_assertiveness",
            _PAIRS,
            "policies, no bias planted" if by == "fair" else "policies trained by biased feedback",
            direction="equivalent" if by == "fair" else "greater",
            margin=STYLE_MARGIN if by == "fair" else 0.0,
            matched=matched,
        )
        for by in s.rounds.by
        if by != TRUTH
    ]


def claims(settings: HumanFeedback) -> list[Claim]:
    """Claims of which at least one contrast is there."""
    found = {row.name for row in contrasts(settings)}

    def claim(contrasts: Iterable[str], **words: str) -> list[Claim]:
        kept = tuple(name for name in contrasts if name in found)
        return [Claim(contrasts=kept, **words)] if kept else []

    def gaps(condition: str) -> list[str]:
        return [_gap_name(condition, words) for words in HIDDEN.values()]

    return [
        *claim(
            gaps("crowd"),
            id="hidden",
            sentence="Assertiveness biases error labels: raters report fewer of the factual errors and inconsistencies "
            "that are there, the more assertive the text is.",
            source=f"{PAPER}, abstract and section 3; the crowd's biases are planted here",
        ),
        *claim(
            gaps("fair"),
            id="not-hidden",
            sentence="Where raters have no such bias, the analysis finds none.",
            source=OWN,
        ),
        *claim(
            gaps("machine"),
            id="machine",
            sentence="A language model that rates is audited by the same forms, and its bias is found.",
            source=f"{PAPER}, section 3, of people; machine raters are ours",
        ),
        *claim(
            (row.name for row in contrasts(settings) if row.family == "weights"),
            id="weights",
            sentence="A regression of the score on errors tells which errors the score reflects, and which hardly.",
            source=f"{PAPER}, section 2 (refusal and formatting most, factuality and inconsistency least)",
        ),
        *claim(
            (row.name for row in contrasts(settings) if row.family == "scores of assertive systems"),
            id="scores",
            sentence="Preference scores favour assertive text that is no better.",
            source=f"{PAPER}, section 3; equal truth by construction is ours",
        ),
        *claim(
            (row.name for row in contrasts(settings) if row.family == "scores, no bias planted"),
            id="no-favour",
            sentence="Raters without that liking score both systems alike.",
            source=OWN,
        ),
        *claim(
            (row.name for row in contrasts(settings) if row.family == "assertiveness at equal scores"),
            id="equal-scores",
            sentence="Of two systems with equal scores one can be more assertive, and the comparison shows it.",
            source=f"{PAPER}, section 4 (Llama 2 against Command)",
            scope_note="the paper ties it to training on human feedback; this shows the comparison, not the cause",
        ),
        *claim(
            (row.name for row in contrasts(settings) if row.family == "assertiveness of twins"),
            id="twins",
            sentence="Two systems of one kind do not differ in it.",
            source=OWN,
        ),
        *claim(
            (
                row.name
                for row in contrasts(settings)
                if row.family in ("optimising against biased feedback", "style over truth")
            ),
            id="optimising",
            sentence="Optimising against biased feedback raises assertiveness more than truth.",
            source=f"{MISSING}; its discussion expects it",
        ),
        *claim(
            (row.name for row in contrasts(settings) if row.family == "optimising, no bias planted"),
            id="optimising-fair",
            sentence="Optimising against unbiased feedback leaves assertiveness where the truth leaves it.",
            source=MISSING,
        ),
        *claim(
            (row.name for row in contrasts(settings) if row.family.startswith("policies")),
            id="policies",
            sentence="A model trained on what biased feedback picks from its answers becomes more assertive; trained "
            "by unbiased feedback, no more than the truth makes it.",
            source=MISSING,
        ),
        *claim(
            (row.name for row in contrasts(settings) if row.family == "the price of bias"),
            id="price",
            sentence="The bias costs truth: answers picked by biased feedback are worse.",
            source=MISSING,
        ),
    ]
