"""From numbers to words: when a contrast, and a claim, counts as supported, contradicted or unresolved."""

from collections.abc import Sequence

from paribus.lab.results import Estimate, Verdict


def contrast_verdict(direction: str, margin: float, difference: Estimate, p_holm: float, alpha: float) -> Verdict:
    """Supported: corrected p below alpha and the whole interval beyond the margin, in the declared direction.

    Contradicted: as surely the other way, corrected p below alpha and the whole interval on the other side of zero. For
    ``equivalent`` the p-value is that of two one-sided tests, and contradicted means that the whole interval lies
    outside the margin. ``different`` is contradicted by an interval wholly inside a positive margin. Everything else is
    unresolved.
    """
    low, high = difference.low, difference.high
    if direction == "equivalent":
        return _decide(p_holm < alpha and -margin < low and high < margin, low > margin or high < -margin)
    if direction == "different":
        return _decide(p_holm < alpha and (low > margin or high < -margin), -margin < low and high < margin)
    if direction == "less":
        low, high = -high, -low
    return _decide(p_holm < alpha and low > margin, p_holm < alpha and high < 0)


def claim_verdict(verdicts: Sequence[Verdict]) -> Verdict:
    """A claim is as strong as all of its contrasts: one contradicted contradicts it, one unresolved leaves it open."""
    return _decide(all(v == "supported" for v in verdicts), any(v == "contradicted" for v in verdicts))


def _decide(supported: bool, contradicted: bool) -> Verdict:
    return "supported" if supported else "contradicted" if contradicted else "unresolved"
