"""Stages of preference training: pairs, best-of-n rows, offline and online rounds, monitors."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

from paribus.lab import Cost, stage
from paribus.studies.stages.arbitrage import gold, open_engine, read_completions
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.data import open_world, read_prompts, truth_known
from paribus.studies.stages.models import (
    Recipe,
    fit,
    open_model,
    save_model,
    trained_cost,
    training_cost,
)


class PairsConfig(StageConfig):
    """Which pairs are made of a scored pool: best against worst, or also native against translationese answers."""

    translationese: bool = False


class PreferConfig(StageConfig):
    """Direct preference optimisation. One row of the recipe is a pair; ``length`` is the longest answer planned for."""

    recipe: Recipe
    beta: float = 0.1
    label_smoothing: float = 0.0


class ReinforceConfig(StageConfig):
    """RLOO on a scored pool: one row of the recipe is a prompt with all its samples."""

    recipe: Recipe
    samples: int
    kl_coefficient: float = 0.05


class RaterConfig(StageConfig):
    """Preference pairs to train an arbiter on: right answers against planted mistakes and wrong samples.

    ``noise`` is the share of pairs with their labels exchanged, as raters do.
    """

    noise: float = 0.1
    kinds: tuple[str, ...] = ("wrong_fact", "wrong_language", "format", "repetition", "truncated")


class WatchConfig(StageConfig):
    """How many prompts of a round are watched (the first of an even draw; all their samples), 0 = all."""

    prompts: int = Field(default=0, ge=0)


@stage(version="1")
def rater_pairs(config: RaterConfig, corpus: Path, prompts: Path, completions: Path, *, out: Path, seed: int) -> None:
    """Pairs as raters would give them: the right answer over a wrong sample of the model, or over a planted mistake.

    A sample that is wrong is the harder, likelier mistake and is taken where there is one; otherwise a corruption of
    the right answer stands in. ``noise`` of the labels are exchanged.
    """
    import numpy as np

    from paribus.records import PreferencePair, write_records
    from paribus.world import corrupt

    world = open_world(corpus)
    generator = np.random.default_rng([seed, 17])
    samples: dict[str, list[str]] = {}
    for row in read_completions(completions / "completions.jsonl"):
        samples.setdefault(row.prompt_id, []).append(row.text)
    rows = []
    for prompt in read_prompts(prompts):
        wrong = [text for text in samples.get(prompt.id, []) if gold(prompt, text) < 1]
        kind = config.kinds[int(generator.integers(len(config.kinds)))]
        planted = corrupt(world, world.item(prompt.id), kind, generator)
        worse = [wrong[int(generator.integers(len(wrong)))]] if wrong else []
        for number, text in enumerate([*worse, planted]):
            sides = (prompt.meta["answer"], text)
            chosen, rejected = sides[::-1] if generator.random() < config.noise else sides
            rows.append(
                PreferencePair(
                    id=f"rater/{prompt.id}/{number}",
                    prompt_id=prompt.id,
                    language=prompt.language,
                    prompt=prompt.messages,
                    chosen=chosen,
                    rejected=rejected,
                    source="raters",
                )
            )
    write_records(out / "pairs.jsonl", rows)


@stage(version="1")
def pairs(config: PairsConfig, pool: Path, prompts: Path, *, out: Path, seed: int) -> None:
    """Best and worst of the scored pool; writes ``pairs.jsonl`` and ``statistics.json``."""
    from paribus.feedback.pairs import best_worst_pairs, translationese_pairs
    from paribus.records import write_records

    asked, scored = read_prompts(prompts), read_completions(pool / "pool.jsonl")
    rows, statistics = best_worst_pairs(asked, scored, seed=seed)
    sources = {"best-worst": asdict(statistics)}
    if config.translationese:
        known = [prompt for prompt in asked if spoken(prompt) != "en"]
        native = {prompt.id: prompt.meta["answer"] for prompt in known}
        translated = {prompt.id: as_translated(prompt) for prompt in known}
        more, statistics = translationese_pairs(known, native, translated)
        rows, sources["translationese"] = [*rows, *more], asdict(statistics)
    write_records(out / "pairs.jsonl", rows)
    (out / "statistics.json").write_text(json.dumps(sources, indent=1))


def spoken(prompt: Any) -> str:
    """The language a prompt's answer is in."""
    return str(prompt.meta.get("answer_language", prompt.language))


def as_translated(prompt: Any) -> str:
    """The answer as a machine translation of an English one would put it."""
    from paribus.world.translationese import translationese

    return translationese(prompt.task, prompt.meta["fact"], spoken(prompt), prompt.meta["answer"])


@stage(version="1")
def best_samples(pool: Path, prompts: Path, *, out: Path, seed: int) -> None:
    """The best sample of each prompt as fine-tuning rows; writes ``examples.jsonl``."""
    from paribus.feedback.pairs import best_of_n
    from paribus.records import write_records

    rows = best_of_n(read_prompts(prompts), read_completions(pool / "pool.jsonl"), seed=seed)
    write_records(out / "examples.jsonl", rows)


def preference_cost(config: PreferConfig, inputs: dict[str, Any]) -> Cost:
    """Planned cost: two answers a pair, and one more forward of the reference (a third of a training pass)."""
    one, recipe = training_cost(config, inputs), config.recipe
    spent = {"tokens": 2 * one.tokens, "flops": 2 * one.flops * (1 + 1 / 3), "examples": recipe.steps * recipe.rows}
    return one.model_copy(update=spent)


@stage(version="1", cost=preference_cost)
def prefer(
    config: PreferConfig,
    model: Path,
    reference: Path,
    pairs: Path,
    compute: Path | None = None,
    *,
    out: Path,
    seed: int,
) -> Cost:
    """Train a policy by DPO on ``pairs.jsonl`` against a reference (the starting model, or the previous round's)."""
    from paribus.data.pairs import encode_pairs
    from paribus.lab import current
    from paribus.records import PreferencePair, read_records
    from paribus.training.objectives.dpo import DPO
    from paribus.training.references import add_reference_logprobs

    policy, vocabulary = open_model(model)
    anchor, _ = open_model(reference)
    dataset = encode_pairs(vocabulary, list(read_records(pairs / "pairs.jsonl", PreferencePair)))
    dataset = add_reference_logprobs(anchor, dataset, cache=current().scratch / "reference")
    objective = DPO(beta=config.beta, label_smoothing=config.label_smoothing)
    result = fit(policy, dataset, objective, config.recipe, seed, compute)
    save_model(result.model, vocabulary, out)
    (out / "history.json").write_text(json.dumps(result.history))
    return trained_cost(result, examples=config.recipe.steps * config.recipe.rows)


def reinforce_cost(config: ReinforceConfig, inputs: dict[str, Any]) -> Cost:
    """Planned cost: every sample of a prompt is one answer."""
    one = training_cost(config, inputs)
    return one.model_copy(update={"tokens": config.samples * one.tokens, "flops": config.samples * one.flops})


@stage(version="1", cost=reinforce_cost)
def reinforce(
    config: ReinforceConfig,
    model: Path,
    reference: Path,
    pool: Path,
    prompts: Path,
    compute: Path | None = None,
    *,
    out: Path,
    seed: int,
) -> Cost:
    """Train a policy by RLOO on its own scored samples (``pool.jsonl``), drawn by the very model that starts here."""
    from paribus.data.samples import encode_samples
    from paribus.training.objectives.rloo import RLOO
    from paribus.training.references import add_sample_logprobs

    policy, vocabulary = open_model(model)
    anchor, _ = open_model(reference)
    dataset = encode_samples(vocabulary, read_prompts(prompts), read_completions(pool / "pool.jsonl"), config.samples)
    dataset = add_sample_logprobs(policy, anchor, dataset)
    objective = RLOO(samples=config.samples, kl_coefficient=config.kl_coefficient)
    result = fit(policy, dataset, objective, config.recipe, seed, compute)
    save_model(result.model, vocabulary, out)
    (out / "history.json").write_text(json.dumps(result.history))
    return trained_cost(result)


@stage(version="1")
def watch(config: WatchConfig, pools: list[Path], prompts: list[Path], start: Path, *, out: Path) -> None:
    """Hacking monitors of an online run, one row a round; writes ``monitors.json``. ``start`` is the SFT model.

    Where right answers are not known, arbiter, length, drift, KL and variety are watched, and nothing else.
    """
    engine = open_engine(start, "start")
    asked = [{row.id: row for row in read_prompts(folder)} for folder in prompts]
    watched = [_spread(sorted(by_id), config.prompts) for by_id in asked]
    sampled = [
        [row for row in read_completions(pool / "pool.jsonl") if row.prompt_id in names and row.text.strip()]
        for pool, names in zip(pools, watched, strict=True)
    ]
    known = all(truth_known(list(by_id.values())) for by_id in asked)
    rounds = _signs(
        asked, sampled, [_start_logprobs(engine, *pair) for pair in zip(asked, sampled, strict=True)], known
    )
    (out / "monitors.json").write_text(json.dumps(rounds, indent=1))


def _spread(names: list[str], count: int) -> set[str]:
    """``count`` of the names, evenly spread over their order (ids begin with their task and language)."""
    if not 0 < count < len(names):
        return set(names)
    return {names[index * len(names) // count] for index in range(count)}


def _start_logprobs(engine: Any, asked: dict[str, Any], rows: list[Any]) -> list[float]:
    from paribus.inference.engine import ScoreRequest

    requests = [ScoreRequest(id=row.id, messages=asked[row.prompt_id].messages, completion=row.text) for row in rows]
    return [found.logprob for found in engine.logprobs(requests)]


_NEEDS_TRUTH = ("gold", "gap", "wrong_language", "exact_match")


def _signs(
    asked: list[dict[str, Any]], sampled: list[list[Any]], reference: list[list[float]], known: bool
) -> list[dict[str, Any]]:
    from paribus.feedback.monitors import monitor, scale_of, should_stop
    from paribus.world import check

    def truth(prompt: Any, text: str) -> float:
        return gold(prompt, text) if known else 0.0

    def error(prompt: Any, text: str) -> str | None:
        return check(prompt, text).error if known else None

    scale = scale_of(asked[0], sampled[0], truth)
    history = [
        monitor(number, by_id, rows, truth, error, logprobs, scale)
        for number, (by_id, rows, logprobs) in enumerate(zip(asked, sampled, reference, strict=True))
    ]
    limit = {} if known else {"gap": float("inf")}
    stops = [should_stop(history[: number + 1], **limit) for number in range(len(history))]
    unknown = () if known else _NEEDS_TRUTH
    return [
        {name: value for name, value in row.as_dict().items() if name not in unknown} | {"stop": reason}
        for row, reason in zip(history, stops, strict=True)
    ]
