"""Verdicts: every direction, every side of the margin."""

import pytest

from paribus.lab.results import Estimate
from paribus.lab.verdicts import claim_verdict, contrast_verdict

SURE, UNSURE = 0.001, 0.2


def judged(direction: str, margin: float, low: float, high: float, p: float = SURE) -> str:
    estimate = Estimate(value=(low + high) / 2, low=low, high=high, n=10, covers=("prompts",))
    return contrast_verdict(direction, margin, estimate, p, 0.05)


@pytest.mark.parametrize(
    ("direction", "margin", "low", "high", "verdict"),
    [
        ("greater", 0.0, 0.1, 0.3, "supported"),
        ("greater", 0.0, -0.1, 0.3, "unresolved"),
        ("greater", 0.2, 0.1, 0.3, "unresolved"),
        ("greater", 0.2, 0.25, 0.3, "supported"),
        ("greater", 0.2, -0.3, -0.1, "contradicted"),
        ("less", 0.0, -0.3, -0.1, "supported"),
        ("less", 0.2, -0.3, -0.1, "unresolved"),
        ("less", 0.0, 0.1, 0.3, "contradicted"),
        ("less", 0.0, -0.1, 0.1, "unresolved"),
        ("different", 0.0, 0.1, 0.3, "supported"),
        ("different", 0.0, -0.3, -0.1, "supported"),
        ("different", 0.0, -0.1, 0.1, "unresolved"),
        ("different", 0.5, -0.1, 0.1, "contradicted"),
        ("equivalent", 0.5, -0.1, 0.1, "supported"),
        ("equivalent", 0.5, -0.1, 0.6, "unresolved"),
        ("equivalent", 0.5, 0.6, 0.9, "contradicted"),
        ("equivalent", 0.5, -0.9, -0.6, "contradicted"),
    ],
)
def test_contrasts(direction: str, margin: float, low: float, high: float, verdict: str) -> None:
    assert judged(direction, margin, low, high) == verdict


@pytest.mark.parametrize("direction", ["greater", "different", "equivalent"])
def test_nothing_is_supported_without_a_small_corrected_p(direction: str) -> None:
    low, high = (0.1, 0.3) if direction != "equivalent" else (-0.1, 0.1)
    assert judged(direction, 0.5 if direction == "equivalent" else 0.0, low, high, UNSURE) == "unresolved"


def test_nothing_is_contradicted_by_chance_alone() -> None:
    """Of twenty contrasts of equal arms one has an interval off zero: the correction holds for both verdicts."""
    assert judged("greater", 0.0, -0.3, -0.1, UNSURE) == judged("less", 0.0, 0.1, 0.3, UNSURE) == "unresolved"


def test_a_claim_is_as_strong_as_all_of_its_contrasts() -> None:
    assert claim_verdict(["supported", "supported"]) == "supported"
    assert claim_verdict(["supported", "unresolved"]) == "unresolved"
    assert claim_verdict(["supported", "contradicted", "unresolved"]) == "contradicted"
