"""Stages that hold ratings against the truth: what is under-reported, whom scores favour, what they reflect."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from paribus.lab import stage
from paribus.studies.stages.annotation import SEVEN, read_feedback
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.rows import item_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paribus.feedback.annotation.aggregation import Outputs
    from paribus.feedback.annotation.columns import Output

REFUSAL = "refusal"


class GapsConfig(StageConfig):
    """The preamble under which labels are held against experts' labels."""

    preamble: str


@stage(version="1")
def examine_labels(config: GapsConfig, ratings: Path, experts: Path, *, out: Path) -> None:
    """Raters' label minus experts' label of every error, for the output of each input under one preamble.

    The measures are ``<error>_gap``, the items inputs, so that two preambles are paired by input. Outputs that experts
    call refusals count for no other error: who declines says nothing that could be wrong. Writes ``items.jsonl``.
    """
    from paribus.lab import write_items

    crowd, truth = aggregated(ratings), aggregated(experts)
    true = {key: place for place, key in enumerate(truth.keys)}
    rows = []
    for place, key in enumerate(crowd.keys):
        if key.preamble != config.preamble:
            continue
        known = {name: float(truth.errors[name][true[key]]) for name in SEVEN}
        for name in SEVEN:
            value = float(crowd.errors[name][place]) - known[name]
            kept = name == REFUSAL or not known[REFUSAL]
            rows.append(_item(f"{name}_gap", key, _number(value) if kept else None))
    write_items(out, rows)


class SystemConfigName(StageConfig):
    """The system whose outputs are looked at, and the others that it is compared with."""

    system: str
    systems: tuple[str, ...]


@stage(version="1")
def examine_system(config: SystemConfigName, ratings: Path, experts: Path, *, out: Path) -> None:
    """How a system's outputs are rated, input by input; writes ``items.jsonl``.

    Measures: ``quality_at_equal_truth``, perceived quality less what the true errors cost (least squares over all
    systems); ``assertiveness_at_equal_quality``, perceived assertiveness less what goes with perceived quality (the
    regression has an indicator a system, so that the difference of two means is the difference of their indicators).
    """
    import numpy as np

    from paribus.lab import write_items

    outputs = with_truth(aggregated(ratings), aggregated(experts))
    models = outputs.labels("model")
    indicators = np.stack([models == name for name in config.systems], axis=1).astype(float)
    errors = np.stack([outputs.errors[name] for name in SEVEN], axis=1)
    quality, assertive = outputs.column("quality"), outputs.column("assertiveness")
    values = {
        "quality_at_equal_truth": _given(quality, errors, indicators),
        "assertiveness_at_equal_quality": _given(assertive, quality[:, None], indicators),
    }
    own = models == config.system
    write_items(out, (row for name, found in values.items() for row in _by_input(name, outputs.keys, found, own)))


def _given(target: Any, others: Any, indicators: Any) -> Any:
    """The target less what the other columns account for beside the indicators; NaN where something is missing."""
    import numpy as np

    design = np.concatenate([others, indicators], axis=1)
    usable = np.isfinite(design).all(axis=1) & np.isfinite(target)
    weights = np.linalg.lstsq(design[usable], target[usable], rcond=None)[0][: others.shape[1]]
    return target - (others - np.nanmean(others, axis=0)) @ weights


def _by_input(measure: str, keys: "tuple[Output, ...]", values: Any, own: Any) -> "Iterator[dict[str, Any]]":
    """Means over a system's outputs of each input."""
    import numpy as np

    found: dict[tuple[str, str], list[int]] = {}
    for place in np.flatnonzero(own):
        found.setdefault((keys[place].input, keys[place].language), []).append(int(place))
    for places in found.values():
        yield _item(measure, keys[places[0]], _number(float(np.mean(values[places]))))


class WeightsConfig(StageConfig):
    """What was planted, the Lasso's penalty, and whether quality is shuffled over outputs (the control)."""

    planted: dict[str, float]
    alpha: float = Field(default=0.01, ge=0)
    shuffled: bool = False


@stage(version="1")
def examine_weights(config: WeightsConfig, ratings: Path, experts: Path, *, out: Path, seed: int) -> None:
    """Does the Lasso of quality on true errors find what was planted? Writes ``items.jsonl``.

    Measures: ``weight_is_planted``, an item an error, 1 where a weight is zero exactly if the planted one is;
    ``order_is_planted``, an item a pair of errors with different planted weights, 1 where the weights found are in that
    order and a half where they are equal. Pairs are clustered by the heavier error.
    """
    import numpy as np

    from paribus.feedback.annotation.regression import regress
    from paribus.lab import write_items

    outputs = with_truth(aggregated(ratings), aggregated(experts))
    if config.shuffled:
        order = np.random.default_rng([seed, 53]).permutation(len(outputs))
        outputs = replace(outputs, scores={**outputs.scores, "quality": outputs.column("quality")[order]})
    fit = regress(outputs, errors=SEVEN, alpha=config.alpha, resamples=2)
    weights = {row.error: row.lasso.estimate for row in fit.weights}
    planted = {name: config.planted.get(name, 0.0) for name in SEVEN}
    rows = [item_row("weight_is_planted", name, float((weights[name] > 0) == (planted[name] > 0))) for name in SEVEN]
    for pair in combinations(sorted(SEVEN, key=lambda name: -planted[name]), 2):
        heavy, light = pair
        if planted[heavy] > planted[light]:
            step = weights[heavy] - weights[light]
            value = 0.5 if step == 0 else float(step > 0)
            rows.append(item_row("order_is_planted", f"{heavy} over {light}", value, cluster=heavy))
    write_items(out, rows)


def aggregated(folder: Path) -> "Outputs":
    """One row an output of the ratings that count; a folder of experts' labels gives theirs."""
    from paribus.feedback.annotation.aggregation import aggregate
    from paribus.feedback.annotation.checks import clean
    from paribus.feedback.annotation.columns import expert_table, tables_of
    from paribus.feedback.annotation.schema import EXPERT

    rows = clean(read_feedback(folder)).kept
    if all(row.rater == EXPERT for row in rows):
        table = expert_table(rows)
        assert table is not None, "experts label every output"
        return aggregate([table])
    return aggregate(tables_of(rows).values())


def with_truth(rated: "Outputs", truth: "Outputs") -> "Outputs":
    """The raters' scores with experts' labels in the place of the raters' own."""
    import numpy as np

    places = {key: place for place, key in enumerate(truth.keys)}
    order = np.array([places[key] for key in rated.keys])
    return replace(rated, errors={name: values[order] for name, values in truth.errors.items()})


def _item(measure: str, key: "Output", value: float | None) -> dict[str, Any]:
    row = {"measure": measure, "item": f"{key.input}/{key.language}", "cluster": key.input}
    return {**row, "language": key.language, "value": value}


def _number(value: float) -> float | None:
    return value if value == value else None
