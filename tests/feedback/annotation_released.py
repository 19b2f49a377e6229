"""The released tables of part 2 (tests only, never copied), read once; and small ratings made by hand."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from paribus.feedback.annotation.aggregation import Outputs, aggregate
from paribus.feedback.annotation.columns import expert_table, tables_of
from paribus.feedback.annotation.tables import read_ratings
from paribus.records import Rating

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "human-feedback"
if not FOLDER.is_dir():
    FOLDER = Path(__file__).parents[3] / "shared" / "data" / "human-feedback"

needs_released = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the released tables are not in shared/data/human-feedback; they are not shipped"
)
LLAMA, COMMAND = "llama13chat", "command_52Bpref_v14.7_20230817"


@cache
def released_ratings() -> list[Rating]:
    names = ("error", "quality", "style")
    return [row for name in names for row in read_ratings(FOLDER / f"part2_{name}_annotations.csv")]


@cache
def released_experts() -> list[Rating]:
    return read_ratings(FOLDER / "part2_expert_labels.csv", rater="expert")


@cache
def released_outputs() -> Outputs:
    return aggregate(tables_of(released_ratings()).values())


@cache
def released_truth() -> Outputs:
    table = expert_table(released_experts())
    assert table is not None
    return aggregate([table])


def rating(
    pass_: str = "errors",
    *,
    source: str = "1",
    model: str = "a",
    preamble: str = "normal",
    rater: str = "r1",
    errors: tuple[str, ...] = (),
    scores: dict[str, float] | None = None,
    **meta: Any,
) -> Rating:
    """A rating by hand; scores default to 3 on the scales of the pass."""
    scales = {"errors": ("overall",), "quality": ("quality",), "style": ("assertiveness", "complexity")}[pass_]
    place = {"dataset": "d", "input": source, "model": model, "preamble": preamble}
    row = {
        "item": f"d/{source}/{model}/{preamble}",
        "rater": rater,
        "pass": pass_,
        "errors": errors,
        "scores": dict.fromkeys(scales, 3.0) if scores is None else scores,
        "meta": place | meta,
    }
    return Rating.model_validate(row)
