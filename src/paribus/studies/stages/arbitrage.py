"""Stages of data arbitrage: answers from models, scores from an arbiter, a router's choice."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from paribus.lab import Cost, Handle, current, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.data import read_prompts, truth_known
from paribus.studies.stages.models import model_parameters, open_model, resolve


class CompleteConfig(StageConfig):
    """How a model answers prompts.

    Args:
        name: the model's name in the records.
        samples: answers for each prompt; greedy at temperature 0.
        languages: only prompts in these languages are asked (empty = all): a teacher's registry entry.
    """

    name: str
    samples: int = Field(default=1, ge=1)
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 48
    languages: tuple[str, ...] = ()


class ArbiterConfig(StageConfig):
    """Who scores answers: the gold checker with a noise knob, or a reward model (the stage's input).

    ``noise`` is the share of scores that are replaced by random ones; a right and a wrong answer are then ordered
    rightly with probability 1 - noise^2 / 2 (0.45: 0.9). It matters for ``gold`` only.
    """

    kind: Literal["gold", "reward"] = "gold"
    noise: float = Field(default=0.45, ge=0, le=1)


class RouteConfig(StageConfig):
    """A router over a scored pool, and how the learned one is fitted (soft targets at ``temperature``, KL or CE)."""

    router: Literal["single", "random", "fixed", "reward", "learned"]
    registry: dict[str, tuple[str, ...]]
    temperature: float = 1.0
    loss: Literal["kl", "ce"] = "kl"


def prompt_count(prompts: Handle, languages: tuple[str, ...] = ()) -> int:
    """Prompts that a ``prompts`` stage promises: languages x prompts for each."""
    config: Any = prompts.config
    return len(languages or config.languages) * int(config.per_language)


def completion_cost(config: CompleteConfig, inputs: dict[str, Any]) -> Cost:
    """Planned cost of answering: a call a sample, at most ``max_tokens`` tokens each, two FLOPs a parameter."""
    calls = prompt_count(inputs["prompts"], config.languages) * config.samples
    parameters = model_parameters(inputs["model"])
    tokens = calls * config.max_tokens
    return Cost(calls=calls, generated_tokens=tokens, flops=2.0 * parameters * tokens, parameters=parameters)


@stage(version="1", cost=completion_cost)
def complete(config: CompleteConfig, model: Path, prompts: Path, *, out: Path, seed: int) -> Cost:
    """Let a model answer the prompts; writes ``completions.jsonl`` (``Completion`` records, prompt order)."""
    from paribus.feedback.sampling import sample_completions
    from paribus.records import write_records

    asked = [row for row in read_prompts(prompts) if not config.languages or row.language in config.languages]
    engine = open_engine(model, config.name)
    rows = sample_completions(
        engine,
        asked,
        samples=config.samples,
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens,
        seed=seed,
    )
    write_records(out / "completions.jsonl", rows)
    return generation_cost(engine, rows)


def open_engine(model: Path, name: str) -> Any:
    """A local engine over a model artifact, reporting to the run's display."""
    from paribus.inference.local import LocalEngine

    context = current()
    network, vocabulary = open_model(model)
    return LocalEngine(network, vocabulary, name=name, progress=lambda done, total: context.progress(done, total))


def generation_cost(engine: Any, rows: list[Any]) -> Cost:
    """Calls, generated tokens and their FLOPs (two a parameter and token; reading the prompt is left out)."""
    parameters = sum(p.numel() for p in engine.model.parameters())
    tokens = sum(row.tokens or 0 for row in rows)
    return Cost(calls=len(rows), generated_tokens=tokens, flops=2.0 * parameters * tokens, parameters=parameters)


@stage(version="1")
def score(
    config: ArbiterConfig, completions: list[Path], prompts: Path, reward: Path | None = None, *, out: Path, seed: int
) -> Cost:
    """Score every completion; writes ``pool.jsonl`` and ``arbiter.json`` (the arbiter's accuracy by language)."""
    from paribus.feedback.arbiters import arbiter_accuracy
    from paribus.records import write_records

    by_id = {row.id: row for row in read_prompts(prompts)}
    rows = [row for folder in completions for row in read_completions(folder / "completions.jsonl")]
    arbiter = open_arbiter(config, reward, seed)
    scores = arbiter.score([by_id[row.prompt_id] for row in rows], rows)
    pool = [row.model_copy(update={"score": float(value)}) for row, value in zip(rows, scores, strict=True)]
    write_records(out / "pool.jsonl", pool)
    known = truth_known(list(by_id.values()))
    accuracy = [asdict(row) for row in arbiter_accuracy(by_id, pool, gold)] if known else []
    record = {"identity": arbiter.identity, "truth_known": known, "accuracy": accuracy}
    (out / "arbiter.json").write_text(json.dumps(record, indent=1, ensure_ascii=False))
    return Cost(calls=len(rows))


def open_arbiter(config: ArbiterConfig, reward: Path | None, seed: int) -> Any:
    """The arbiter of a config: gold with noise, or the reward model of an artifact."""
    from paribus.feedback.arbiters import GoldArbiter, RewardModelArbiter

    if config.kind == "gold":
        return GoldArbiter(gold, noise=config.noise, seed=seed)
    from paribus.models.load import load_reward, load_tokenizer

    assert reward is not None, "a reward arbiter needs a reward model"
    network = load_reward(resolve(reward), device=current().device)
    # The name, not the folder: stores of one study must hold the same bytes wherever they lie.
    return RewardModelArbiter(network, load_tokenizer(resolve(reward)), identity="reward model")


def gold(prompt: Any, text: str) -> float:
    """The world's own verdict: 1 for a right answer, partial credit below one half for recognisable mistakes."""
    from paribus.world import check

    return check(prompt, text).score


def right(prompt: Any, text: str) -> float:
    """1 for a right answer, else 0."""
    from paribus.world import check

    return float(check(prompt, text).correct)


def read_completions(file: Path) -> list[Any]:
    """Completion records of a file."""
    from paribus.records import Completion, read_records

    return list(read_records(file, Completion))


@stage(version="1")
def route(
    config: RouteConfig, pool: Path, prompts: Path, dev_pool: Path, dev_prompts: Path, *, out: Path, seed: int
) -> Cost:
    """Let a router choose from a scored pool; writes ``examples.jsonl`` and ``routing.json``.

    Experts (for single and fixed) and the learned router come from the development pool alone.
    """
    from paribus.feedback.learned_router import LearnedRouter
    from paribus.feedback.routing import TeacherPool, as_examples, build_pool, find_experts, routing_report
    from paribus.feedback.routing import route as choose
    from paribus.records import write_records

    teachers = TeacherPool(config.registry)
    asked, scored = read_prompts(prompts), build_pool(read_completions(pool / "pool.jsonl"), teachers)
    practice, practised = read_prompts(dev_prompts), build_pool(read_completions(dev_pool / "pool.jsonl"), teachers)
    learned = None
    if config.router == "learned":
        ids = [row.id for row in asked]
        router = LearnedRouter.fit(
            practice, practised, evaluation=ids, loss=config.loss, temperature=config.temperature
        )
        learned = router.predict(asked, scored)
    experts = find_experts(practised) if config.router in ("single", "fixed") else None
    chosen = choose(config.router, asked, scored, experts=experts, learned=learned, seed=seed)
    write_records(out / "examples.jsonl", as_examples(asked, chosen))
    report = routing_report(config.router, asked, scored, chosen, right if truth_known(asked) else None)
    (out / "routing.json").write_text(json.dumps(report.as_dict(), indent=1, ensure_ascii=False))
    return Cost(generated_tokens=report.generated_tokens, calls=report.scorings)
