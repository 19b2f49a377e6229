"""Stages that measure: graded answers, judged games."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from paribus.lab import Cost, stage
from paribus.studies.stages.arbitrage import (
    gold,
    model_parameters,
    open_engine,
    prompt_count,
    read_completions,
)
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.data import read_prompts, truth_known

MAIN = "exact_match"


class EvaluateConfig(StageConfig):
    """How a model is examined. ``sampled`` adds one answer at temperature 1 to each prompt of the main set."""

    max_tokens: int = 48
    sampled: bool = True


class JudgeConfig(StageConfig):
    """A judge and its protocol. ``rule``: gold quality plus the biases below; ``endpoint``: a served model."""

    kind: Literal["rule", "endpoint"] = "rule"
    model: str = "model"
    baseline: str = "base"
    protocol: Literal["double", "single"] = "double"
    length_bias: float = 0.05
    position_bias: float = 0.1
    tie_band: float = 0.15
    noise: float = 0.1
    endpoint: str = ""
    endpoint_model: str = ""
    labels: Literal["five", "three"] = "five"
    max_tokens: int = 1024
    api_key_variable: str = "OPENAI_API_KEY"


def evaluation_cost(config: EvaluateConfig, inputs: dict[str, Any]) -> Cost:
    """Planned cost of answering all prompt sets, the main one twice when sampled."""
    calls = sum(prompt_count(handle) for handle in inputs["prompts"].values())
    calls += prompt_count(inputs["prompts"]["test"]) if config.sampled else 0
    parameters = model_parameters(inputs["model"])
    tokens = calls * config.max_tokens
    return Cost(calls=calls, generated_tokens=tokens, flops=2.0 * parameters * tokens, parameters=parameters)


@stage(version="1", cost=evaluation_cost)
def evaluate(config: EvaluateConfig, model: Path, prompts: dict[str, Path], *, out: Path, seed: int) -> Cost:
    """Grade greedy answers to every prompt set; writes ``items.jsonl`` and ``answers.jsonl`` (of the set ``test``).

    Prompts without a known answer are answered and not graded: judges compare them. All measures of the set ``test``
    are kept; of other sets exact match alone, under a name of its own such as ``exact_match_recall``: facts seen in
    training and facts held out are never mixed.
    """
    from paribus.evaluation.items import ItemRow, write_item_rows
    from paribus.evaluation.suites import run_suite
    from paribus.records import write_records
    from paribus.world import check

    engine = open_engine(model, "model")
    rows: list[ItemRow] = []
    tokens = calls = 0
    sets = [(name, folder, 0.0) for name, folder in prompts.items()]
    sets += [("sampled", prompts["test"], 1.0)] if config.sampled else []
    for name, folder, temperature in sets:
        asked = read_prompts(folder)
        checker = check if truth_known(asked) else None
        found = run_suite(engine, asked, checker, max_tokens=config.max_tokens, temperature=temperature, seed=seed)
        rows += found.rows if name == "test" else _renamed(found.rows, name)
        tokens += sum(row.tokens or 0 for row in found.completions)
        calls += len(found.completions)
        if name == "test":
            write_records(out / "answers.jsonl", found.completions)
    write_item_rows(out / "items.jsonl", rows)
    parameters = sum(p.numel() for p in engine.model.parameters())
    return Cost(calls=calls, generated_tokens=tokens, flops=2.0 * parameters * tokens, parameters=parameters)


def _renamed(rows: Iterable[Any], name: str) -> list[Any]:
    return [row._replace(measure=f"{MAIN}_{name}") for row in rows if row.measure == MAIN]


@stage(version="2")
def judge(config: JudgeConfig, answers: Path, baseline: Path, prompts: Path, *, out: Path, seed: int) -> Cost:
    """Let a judge compare a model's answers with the baseline's; writes ``verdicts.jsonl`` and ``items.jsonl``.

    The item measure ``win_rate`` is W/N with ties apart, the definition of the Aya papers. Of the rule judge the truth
    is known: ``win_rate_true`` is what the same rule says without its biases and noise.
    """
    from paribus.evaluation.items import write_item_rows
    from paribus.evaluation.prompts import question_lookup
    from paribus.evaluation.winrate import outcome_rows
    from paribus.feedback.judges import games
    from paribus.records import write_records

    asked = read_prompts(prompts)
    a = {
        row.prompt_id: row.model_copy(update={"model": config.model})
        for row in read_completions(answers / "answers.jsonl")
    }
    b = {
        row.prompt_id: row.model_copy(update={"model": config.baseline})
        for row in read_completions(baseline / "answers.jsonl")
    }
    judging = open_judge(config, seed)
    played = games(asked, a, b, protocol=config.protocol, seed=seed)
    verdicts = judging.judge(played)
    write_records(out / "verdicts.jsonl", verdicts)
    known = {"win_rate": verdicts} | ({"win_rate_true": judging.true_verdicts(played)} if config.kind == "rule" else {})
    question = question_lookup(asked)
    rows = [
        row._replace(measure=name)
        for name, said in known.items()
        for row in outcome_rows(said, config.model, "ties_apart", baseline=config.baseline, question=question)
    ]
    write_item_rows(out / "items.jsonl", rows)
    (out / "judge.json").write_text(json.dumps({"identity": judging.identity, "protocol": config.protocol}))
    return Cost(calls=len(verdicts))


def open_judge(config: JudgeConfig, seed: int) -> Any:
    """The judge of a config."""
    from paribus.feedback.judges import EngineJudge, RuleJudge

    if config.kind == "rule":
        return RuleJudge(
            gold,
            length_bias=config.length_bias,
            position_bias=config.position_bias,
            tie_band=config.tie_band,
            noise=config.noise,
            seed=seed,
        )
    from paribus.inference.endpoint import EndpointEngine
    from paribus.lab import current

    engine = EndpointEngine(
        config.endpoint,
        config.endpoint_model,
        api_key_variable=config.api_key_variable,
        cache=current().scratch / "requests.sqlite",
    )
    return EngineJudge(engine, labels=config.labels, max_tokens=config.max_tokens, seed=seed)
