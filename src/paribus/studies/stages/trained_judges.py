"""Stages of generative judges: a language model trained to name the better of two answers, and how it does on pairs."""

from pathlib import Path
from typing import Any

from pydantic import Field

from paribus.lab import Cost, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.graded import TESTS, read_pairs
from paribus.studies.stages.models import Recipe, fit, open_model, save_model, trained_cost, training_cost
from paribus.studies.stages.readers import critiqued, drawn_pairs


class JudgeConfig(StageConfig):
    """A judge trained on the first ``pairs`` of a seed's order of all pairs, each in both orders.

    One row of the recipe is a comparison; its ``length`` is the longest that is allowed.
    """

    recipe: Recipe
    pairs: int = Field(gt=0)


def judge_cost(config: JudgeConfig, inputs: dict[str, Any]) -> Cost:
    """Planned cost: a comparison a row."""
    one = training_cost(config, inputs)
    return one.model_copy(update={"examples": config.recipe.steps * config.recipe.rows})


@stage(version="1", cost=judge_cost)
def train_judge(
    config: JudgeConfig,
    model: Path,
    data: Path,
    critiques: Path | None = None,
    compute: Path | None = None,
    *,
    out: Path,
    seed: int,
) -> Cost:
    """Fine-tune a causal model on comparisons, with critiques behind the answers or without.

    Comparisons are not packed, so that judges with and without critiques see the same ones in every step. Raises
    ``DataError`` for one that is longer than the recipe allows: cut, it would teach nothing.
    """
    from paribus.data.chat import encode_many
    from paribus.data.pairs import padding_id
    from paribus.data.unpacked import one_a_row
    from paribus.evaluation.reward_models import prompt_of
    from paribus.feedback.critiques.reading import pairs_to_read
    from paribus.feedback.short_judge import judge_examples
    from paribus.training.objectives.causal import Causal

    shown, _ = pairs_to_read(critiqued(drawn_pairs(data, config.pairs, seed), critiques, "both"))
    examples = judge_examples([(prompt_of(pair), pair.chosen, pair.rejected) for pair in shown])
    network, vocabulary = open_model(model)
    encoded = encode_many(vocabulary, [row.messages for row in examples])
    dataset = one_a_row(encoded, config.recipe.length, pad_id=padding_id(vocabulary))
    result = fit(network, dataset, Causal(), config.recipe, seed, compute, order=f"pairs {config.pairs}")
    save_model(result.model, vocabulary, out)
    return trained_cost(result, examples=config.recipe.steps * config.recipe.rows)


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
