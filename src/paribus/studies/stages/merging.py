"""Stages that combine models without training: merges across clusters, along one run, and with searched weights."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from paribus.lab import Cost, current, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.data import read_prompts
from paribus.studies.stages.models import resolve

MERGED = "merged"
"""Folder of the merged model inside its artifact."""


class MergeConfig(StageConfig):
    """A merge of models. ``density``, ``scale`` and ``trim`` matter for the task-vector methods; no weights = equal."""

    method: Literal["linear", "slerp", "ties", "dare_ties"]
    weights: tuple[float, ...] = ()
    density: float = 0.5
    scale: float = 1.0
    trim: Literal["tensor", "model"] = "model"


class AverageConfig(StageConfig):
    """An average of the models that one run left along its way: the ``last`` so many of them."""

    last: int = Field(ge=2)


class SearchConfig(StageConfig):
    """Weights searched one after the other over the published grid, ``rounds`` times through all models."""

    rounds: int = Field(default=1, ge=1)
    max_tokens: int = 32


@stage(version="1")
def merge_models(config: MergeConfig, models: list[Path], base: Path | None = None, *, out: Path, seed: int) -> None:
    """Merge models of one shape into one. ``base`` is read by the task-vector methods alone."""
    combine(config, [Path(resolve(model)) for model in models], base, out / MERGED, seed)


def combine(config: MergeConfig, models: Sequence[Path], base: Path | None, out: Path, seed: int) -> None:
    """Run one merge into the directory ``out``."""
    from paribus.weights import merge, slerp_all

    weights = config.weights or None
    if config.method == "slerp":
        report = slerp_all(models, out, weights=weights)
    elif config.method == "linear":
        report = merge("linear", models, out, weights=weights)
    else:
        assert base is not None, "task vectors need the base they start from"
        vectors: dict[str, Any] = {"density": config.density, "scale": config.scale, "trim": config.trim}
        report = merge(config.method, models, out, base=resolve(base), weights=weights, seed=seed, **vectors)
    _plain_report(report, out)


def _plain_report(report: Any, out: Path) -> None:
    """Keep what was merged and how; seconds, memory and paths would differ from run to run."""
    kept = {"method": report.method, "settings": report.settings, "weights_hash": report.weights_hash}
    kept["sources"] = [source.weights_hash for source in report.sources]
    (out / "merge_report.json").write_text(json.dumps(kept, indent=1))


@stage(version="1")
def average_run(config: AverageConfig, run: Path, *, out: Path) -> None:
    """Average the last models that a fine-tuning run kept (its ``snapshots``)."""
    from paribus.weights import average_checkpoints, run_checkpoints

    report = average_checkpoints(run_checkpoints(run / "snapshots"), out / MERGED, last=config.last)
    _plain_report(report, out / MERGED)


@stage(version="1")
def search_merge(config: SearchConfig, models: list[Path], dev_prompts: Path, *, out: Path, seed: int) -> Cost:
    """Linear merge with the weights that answer most development prompts right; writes ``search.json`` beside it."""
    from paribus.weights import DevScorer, coordinate_search

    sources = [Path(resolve(model)) for model in models]
    examiner = _Examiner(config, sources, read_prompts(dev_prompts))
    found = coordinate_search(len(sources), DevScorer(examiner.score, split="dev"), rounds=config.rounds)
    combine(MergeConfig(method="linear", weights=found.best), sources, None, out / MERGED, seed)
    tried = [{"weights": weights, "score": score} for weights, score in found.tried]
    (out / "search.json").write_text(json.dumps({"best": found.best, "score": found.score, "tried": tried}, indent=1))
    return Cost(calls=examiner.calls, generated_tokens=examiner.tokens)


class _Examiner:
    """Merges a candidate in scratch space and grades its greedy answers."""

    def __init__(self, config: SearchConfig, sources: Sequence[Path], prompts: Sequence[Any]) -> None:
        self.config, self.sources, self.prompts = config, sources, prompts
        self.calls = self.tokens = 0

    def score(self, weights: tuple[float, ...]) -> float:
        """Share of right answers."""
        from paribus.feedback.sampling import sample_completions
        from paribus.studies.stages.arbitrage import open_engine, right

        folder = current().scratch / "candidate"
        shutil.rmtree(folder, ignore_errors=True)
        combine(MergeConfig(method="linear", weights=weights), self.sources, None, folder, seed=0)
        answers = sample_completions(open_engine(folder, "candidate"), self.prompts, max_tokens=self.config.max_tokens)
        self.calls += len(answers)
        self.tokens += sum(row.tokens or 0 for row in answers)
        return sum(right(p, row.text) for p, row in zip(self.prompts, answers, strict=True)) / len(answers)
