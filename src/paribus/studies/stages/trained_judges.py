"""Stages of generative judges: what they are trained on, and how they do on pairs."""

from pathlib import Path

from pydantic import Field

from paribus.lab import Cost, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.graded import READER, TESTS, read_pairs
from paribus.studies.stages.readers import critiqued


class JudgeExamplesConfig(StageConfig):
    """The first ``pairs`` of a seed's order of all pairs."""

    pairs: int = Field(gt=0)


@stage(version="1")
def judge_pairs(
    config: JudgeExamplesConfig, data: Path, critiques: Path | None = None, *, out: Path, seed: int
) -> None:
    """Pairs as a judge's training rows, each in both orders, with critiques behind the answers or without; writes
    ``examples.jsonl``."""
    import numpy as np

    from paribus.evaluation.reward_models import prompt_of
    from paribus.feedback.critiques.reading import pairs_to_read
    from paribus.feedback.short_judge import judge_examples
    from paribus.records import write_records

    everything = read_pairs(data, READER)
    order = np.random.default_rng([seed, 41]).permutation(len(everything))[: config.pairs]
    shown, _ = pairs_to_read(critiqued([everything[index] for index in order], critiques, "both"))
    rows = [(prompt_of(pair), pair.chosen, pair.rejected) for pair in shown]
    write_records(out / "examples.jsonl", judge_examples(rows))


@stage(version="1")
def examine_judge(model: Path, data: Path, critiques: Path | None = None, *, out: Path) -> Cost:
    """Let a judge compare both answers of every test pair in both orders; an unreadable verdict counts a half. Writes
    ``items.jsonl`` and ``verdicts.jsonl``."""
    from paribus.evaluation.reward_models import judged_pairs, players
    from paribus.feedback.critiques.reading import pairs_to_read
    from paribus.feedback.games import games
    from paribus.feedback.short_judge import ShortJudge
    from paribus.lab import write_items
    from paribus.records import write_records
    from paribus.studies.stages.arbitrage import open_engine

    pairs = read_pairs(data, TESTS)
    shown, _ = pairs_to_read(critiqued(pairs, critiques, "both"))
    verdicts = ShortJudge(open_engine(model, "trained judge")).judge(games(*players(shown)))
    write_records(out / "verdicts.jsonl", verdicts)
    outcomes = judged_pairs(pairs, verdicts)
    write_items(out, (row._asdict() for row in outcomes.rows(group="group")))
    return Cost(calls=len(verdicts), generated_tokens=len(verdicts))
