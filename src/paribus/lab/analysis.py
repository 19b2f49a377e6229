"""The analysis stage: from the arms' item tables to a ``StudyResult`` with intervals, verdicts and costs."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from paribus.errors import ConfigError, DataError
from paribus.lab.budget import CURRENCIES, TOLERANCE, Cost, Matched, miss, total
from paribus.lab.items import ALL, Grid, Table, pair, read_items
from paribus.lab.manifest import read_manifest
from paribus.lab.results import ArmSummary, ClaimResult, ContrastResult, Estimate, Panel, StudyResult
from paribus.lab.stages import near, stage
from paribus.lab.study import Claim, Contrast
from paribus.lab.verdicts import claim_verdict, contrast_verdict

RESULT = "result.json"
PANELS = "panels.jsonl"


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArmMeta(_Config):
    """An arm without its handles: words, seeds, and the address of each stage by seed (as text) and label."""

    name: str
    description: str
    factors: dict[str, Any] = {}
    seeds: tuple[int, ...]
    addresses: dict[str, dict[str, str]] = {}


class AnalysisConfig(_Config):
    """Everything the analysis decides by. ``resamples`` of the bootstrap; ``seed`` of its random numbers."""

    study: str
    title: str = ""
    question: str = ""
    paper: str = ""
    scale: str = ""
    settings: dict[str, Any] = {}
    covers: tuple[str, ...] = ("prompts", "seeds")
    covers_note: str = ""
    arms: tuple[ArmMeta, ...]
    contrasts: tuple[Contrast, ...] = ()
    claims: tuple[Claim, ...] = ()
    ladder: tuple[str, ...] = ()
    alpha: float = 0.05
    level: float = 0.95
    resamples: int = 2000
    seed: int = 0


# ``panels`` defaults to None, not to an empty list: inputs must be artifacts.
@stage(version="1", name="analysis")
def analyse(
    config: AnalysisConfig, evaluations: dict[str, list[Path]], panels: list[Path] | None = None, *, out: Path
) -> None:
    """Write ``result.json``.

    ``evaluations`` maps ``<arm>/<seed>`` to artifacts with ``items.jsonl``; ``panels`` lists artifacts with
    ``panels.jsonl``, which the result takes in as they are.
    """
    tables = {key: read_items(folders) for key, folders in evaluations.items()}
    anchor = next((folders[0].parent for folders in evaluations.values() if folders), out.parent)
    costs = Costs(anchor, config.arms)
    result = study_result(config, tables, costs, read_panels(panels or ()))
    (out / RESULT).write_text(result.model_dump_json(indent=1), encoding="utf-8")


class Costs:
    """Measured costs of the stages of each arm, without seconds (those change from run to run)."""

    def __init__(self, artifacts: Path, arms: Iterable[ArmMeta]) -> None:
        self._artifacts = artifacts
        self._arms = {arm.name: arm for arm in arms}
        self._known: dict[str, Cost] = {}

    def of(self, arm: str, labels: Sequence[str] = ("*",)) -> Cost:
        """Cost of building the arm once: the mean over its seeds of the sum over stages with matching labels."""
        from paribus.lab.comparison import matches

        runs = self._arms[arm].addresses.values()
        sums = [total(self._cost(a) for label, a in run.items() if matches(label, labels)) for run in runs]
        return Cost(**{c: sum(s.get(c) for s in sums) / len(sums) for c in CURRENCIES}) if sums else Cost()

    def _cost(self, address: str) -> Cost:
        if address not in self._known:
            self._known[address] = self._read(address)
        return self._known[address]

    def _read(self, address: str) -> Cost:
        return read_manifest(self._artifacts / address).measured


def study_result(
    config: AnalysisConfig, tables: Mapping[str, Table], costs: Costs, panels: Sequence[Panel] = ()
) -> StudyResult:
    """The whole result from item tables keyed ``<arm>/<seed>``. Pure but for reading costs."""
    runs = {arm.name: [_table(tables, arm.name, seed) for seed in arm.seeds] for arm in config.arms}
    contrasts = _contrasts(config, runs, costs)
    return StudyResult(
        study=config.study,
        title=config.title,
        question=config.question,
        paper=config.paper,
        scale=config.scale,
        settings=config.settings,
        covers_note=config.covers_note,
        arms=tuple(_arm_summary(config, arm, runs[arm.name], costs) for arm in config.arms),
        contrasts=contrasts,
        claims=tuple(_claim(claim, contrasts) for claim in config.claims),
        panels=tuple(panels),
        ladder=config.ladder,
        provenance={"alpha": config.alpha, "resamples": config.resamples},
    )


def read_panels(folders: Iterable[Path]) -> list[Panel]:
    """The panels of some artifacts, in order. Raises ``DataError`` for a file that cannot be read."""
    found: list[Panel] = []
    for path in (folder / PANELS for folder in folders):
        try:
            found.extend(
                Panel.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines() if line
            )
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read as panels ({error}); write one Panel in JSON a line.") from error
    return found


def estimate(grid: Grid, config: AnalysisConfig, name: str) -> Estimate | None:
    """Mean (or paired difference) over seeds and items with its interval; None where one cluster allows no interval."""
    if len(set(grid.clusters)) < 2:
        return None
    from paribus.statistics import hierarchical_bootstrap

    interval = hierarchical_bootstrap(
        grid.values,
        grid.baseline,
        clusters=grid.clusters,
        resamples=config.resamples,
        level=config.level,
        rng=int(hashlib.sha256(f"{config.seed}/{name}".encode()).hexdigest()[:8], 16),
    )
    covers = config.covers if len(grid.values) > 1 else config.covers[:1]
    return Estimate(
        value=interval.estimate, low=interval.low, high=interval.high, level=interval.level, n=interval.n, covers=covers
    )


def _table(tables: Mapping[str, Table], arm: str, seed: int) -> Table:
    key = f"{arm}/{seed}"
    if key not in tables:
        raise ConfigError(f"The analysis got no evaluation for {key!r}.{near(key, tables)}")
    return tables[key]


def _by_language(grid: Grid, config: AnalysisConfig, name: str) -> dict[str, Estimate]:
    languages = sorted(set(grid.languages) - {""})  # an item outside of every language has none
    found = {lang: estimate(grid.select(lang), config, f"{name}/{lang}") for lang in languages}
    return {lang: value for lang, value in found.items() if value is not None}


def _arm_summary(config: AnalysisConfig, arm: ArmMeta, runs: Sequence[Table], costs: Costs) -> ArmSummary:
    measures = {}
    for measure in sorted({name for table in runs for name in table}):
        grid = pair(measure, runs, None, f"Arm {arm.name!r}")
        whole = estimate(grid, config, f"{arm.name}/{measure}")
        if whole is not None:
            measures[measure] = {ALL: whole, **_by_language(grid, config, f"{arm.name}/{measure}")}
    return ArmSummary(
        name=arm.name,
        description=arm.description,
        factors=arm.factors,
        seeds=arm.seeds,
        measures=measures,
        cost=spent(costs.of(arm.name)),
        addresses={f"{seed}/{label}": a for seed, run in arm.addresses.items() for label, a in run.items()},
    )


def spent(cost: Cost) -> dict[str, float]:
    """The currencies in which anything was spent."""
    return {name: cost.get(name) for name in CURRENCIES if cost.get(name) > 0}


def _contrasts(config: AnalysisConfig, runs: Mapping[str, Sequence[Table]], costs: Costs) -> tuple[ContrastResult, ...]:
    open_results = [_contrast(config, contrast, runs, costs) for contrast in config.contrasts]
    return tuple(_judged(r, p, config) for r, p in zip(open_results, _corrected(open_results), strict=True))


def _corrected(results: Sequence[ContrastResult]) -> list[float]:
    """Holm's p-values, family by family, in the order of the results."""
    from paribus.statistics import holm

    corrected = [0.0] * len(results)
    for family in dict.fromkeys(result.family for result in results):
        places = [place for place, result in enumerate(results) if result.family == family]
        for place, p_value in zip(places, holm([results[p].p_value for p in places]), strict=True):
            corrected[place] = float(p_value)
    return corrected


def _contrast(
    config: AnalysisConfig, contrast: Contrast, runs: Mapping[str, Sequence[Table]], costs: Costs
) -> ContrastResult:
    """A contrast before the correction for multiple tests (``p_holm`` and ``verdict`` still open)."""
    where = f"Contrast {contrast.name!r}"
    sides = _common_seeds(config, contrast, runs)
    grid = pair(contrast.measure, *sides, where)
    whole = estimate(grid, config, contrast.name)
    if whole is None:
        raise DataError(
            f"{where}: all items share one cluster ({grid.clusters[0]!r}), so there is no interval; use more."
        )
    p_value, detectable = _test(grid, contrast, config)
    text, ratio = _budget(contrast, costs)
    return ContrastResult(
        **contrast.model_dump(include={"name", "arm", "baseline", "measure", "direction", "margin", "family"}),
        difference=whole,
        by_language=_by_language(grid, config, contrast.name),
        p_value=p_value,
        p_holm=p_value,
        minimal_detectable=detectable,
        verdict="unresolved",
        matched=text + (f"; {grid.dropped} items were not scored in every run and left out" if grid.dropped else ""),
        cost_ratio=ratio,
    )


def _common_seeds(
    config: AnalysisConfig, contrast: Contrast, runs: Mapping[str, Sequence[Table]]
) -> tuple[list[Table], list[Table]]:
    seeds = {arm.name: arm.seeds for arm in config.arms}
    for name in (contrast.arm, contrast.baseline):
        if name not in seeds:
            raise ConfigError(f"Contrast {contrast.name!r} names the arm {name!r}.{near(name, seeds)}")
    by_seed = {name: dict(zip(seeds[name], runs[name], strict=True)) for name in (contrast.arm, contrast.baseline)}
    common = [seed for seed in seeds[contrast.arm] if seed in by_seed[contrast.baseline]]
    if not common:
        raise ConfigError(f"Contrast {contrast.name!r}: its arms have no seed in common, so nothing can be paired.")
    return [by_seed[contrast.arm][s] for s in common], [by_seed[contrast.baseline][s] for s in common]


def _test(grid: Grid, contrast: Contrast, config: AnalysisConfig) -> tuple[float, float]:
    """p-value (two-sided against zero; two one-sided tests for ``equivalent``) and minimal detectable difference."""
    import numpy as np

    from paribus.statistics import minimal_detectable_effect, t_test, two_way_error

    error = two_way_error(np.asarray(grid.values) - np.asarray(grid.baseline), grid.clusters)
    n = max(2.0, error.df + 1)
    detectable = minimal_detectable_effect(error.standard_error * n**0.5, n, alpha=config.alpha)
    if contrast.direction != "equivalent":
        return t_test(error), float(detectable)
    if contrast.margin <= 0:
        raise ConfigError(
            f"Contrast {contrast.name!r} claims equivalence but has no margin; say what difference matters."
        )
    sides = (
        t_test(error, null=-contrast.margin, alternative="greater"),
        t_test(error, null=contrast.margin, alternative="less"),
    )
    return max(sides), float(detectable)


def _budget(contrast: Contrast, costs: Costs) -> tuple[str, dict[str, float]]:
    """How the measured costs of the two arms compare: a sentence, and arm over baseline by currency."""
    labels = contrast.matched.labels if isinstance(contrast.matched, Matched) else ("*",)
    arm, baseline = costs.of(contrast.arm, labels), costs.of(contrast.baseline, labels)
    ratio = {c: arm.get(c) / baseline.get(c) for c in CURRENCIES if arm.get(c) > 0 and baseline.get(c) > 0}
    if not isinstance(contrast.matched, Matched) or contrast.matched.currency == "seconds":
        return contrast.matched.describe(), ratio
    amounts = arm.get(contrast.matched.currency), baseline.get(contrast.matched.currency)
    if not any(amounts):
        return f"{contrast.matched.describe()}: as planned (the stages returned no measured cost)", ratio
    off = miss(*amounts)
    if off > TOLERANCE:
        return (
            f"{MISSED}: {contrast.matched.describe()}, {amounts[0]:,.6g} against {amounts[1]:,.6g} ({off:.1%} apart)",
            ratio,
        )
    return f"{contrast.matched.describe()}: {amounts[0]:,.6g} against {amounts[1]:,.6g}", ratio


MISSED = "budget missed"
"""How the ``matched`` text of a contrast begins whose measured costs came out more than 1% apart."""


def _judged(result: ContrastResult, p_holm: float, config: AnalysisConfig) -> ContrastResult:
    verdict = contrast_verdict(result.direction, result.margin, result.difference, p_holm, config.alpha)
    if result.matched.startswith(MISSED):
        # Comparable or refused: a difference bought with more budget supports (and contradicts) nothing.
        verdict = "unresolved"
    return result.model_copy(update={"p_holm": p_holm, "verdict": verdict})


def _claim(claim: Claim, contrasts: Sequence[ContrastResult]) -> ClaimResult:
    own = [c for c in contrasts if c.name in claim.contrasts]
    missed = [f"{c.name}: {c.matched}" for c in own if c.matched.startswith(MISSED)]
    note = "; ".join([claim.scope_note, *missed]).strip("; ")
    return ClaimResult(
        **claim.model_dump(include={"id", "sentence", "source", "contrasts"}),
        verdict=claim_verdict([c.verdict for c in own]),
        note=note,
    )


def load_result(path: Path) -> StudyResult:
    """Read ``result.json`` from an analysis artifact."""
    return StudyResult.model_validate(json.loads((path / RESULT).read_text(encoding="utf-8")))
