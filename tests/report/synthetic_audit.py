"""Ratings by chance of two languages, and their audit, for the page."""

import numpy as np

from paribus.feedback.annotation.audit import Audit, AuditSettings, audit
from paribus.records import Rating

MODELS, PREAMBLES = ("one", "<b>two</b> & a_long_name.v2"), ("normal", "assertive_high", "assertive_low")
PASSES = {"errors": ("overall",), "quality": ("quality",), "style": ("assertiveness", "complexity")}
ERRORS = ("factuality", "refusal", "repetition")


def synthetic_ratings(*, inputs: int = 48, seed: int = 0) -> list[Rating]:
    """Each output three times in each pass, and once by an expert."""
    rng = np.random.default_rng(seed)
    places = [(n, m, p) for n in range(inputs) for m in MODELS for p in PREAMBLES]
    rows = [_rating(rng, place, name, f"rater {k}") for place in places for name in PASSES for k in range(3)]
    strays = [_distractor(rng, n, model) for n in range(inputs) for model in ("distractor", "one")]
    return rows + strays + [_rating(rng, place, "errors", "expert") for place in places]


def _distractor(rng: np.random.Generator, number: int, model: str) -> Rating:
    row = _rating(rng, (number, model, "normal"), "errors", "rater 0")
    return row.model_copy(update={"meta": row.meta | {"distractor": True, "form": f"stray {number}"}})


def _rating(rng: np.random.Generator, place: tuple[int, str, str], name: str, rater: str) -> Rating:
    number, model, preamble = place
    meta = {"dataset": "d", "input": str(number), "model": model, "preamble": preamble, "asked": list(ERRORS)}
    more = {"language": ("ar", "en")[number % 2], "words": int(rng.integers(5, 500))}
    errors = [error for error in ERRORS if rng.random() < 0.3] if name == "errors" else []
    scores = {scale: int(rng.integers(1, 6)) for scale in PASSES[name] if rater != "expert"}
    item = f"d/{number}/{model}/{preamble}"
    row = {"item": item, "rater": rater, "pass": name, "errors": errors, "scores": scores, "meta": meta | more}
    return Rating.model_validate(row)


def synthetic_audit() -> Audit:
    return audit(synthetic_ratings(), settings=AuditSettings(resamples=100))
