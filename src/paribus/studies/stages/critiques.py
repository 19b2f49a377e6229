"""Stages that write critiques: critics of set quality, trained critics, served ones."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from paribus.errors import EngineError
from paribus.lab import Cost, Handle, current, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.graded import TESTS, GivenConfig, Graded, read_answers, read_pairs, truth_of
from paribus.studies.stages.models import model_parameters

if TYPE_CHECKING:
    from paribus.evaluation.items import ItemRow
    from paribus.feedback.critiques.critics import Critic
    from paribus.records import Completion, Critique, Prompt

QUALITY = "quality.jsonl"


class CriticConfig(StageConfig):
    """Who writes critiques.

    Args:
        kind: ``rules``, a verifier each of whose claims is right with probability ``accuracy`` and left out with
            probability ``omission``; ``trained``, the stage's model; ``endpoint``, the served ``model``.
    """

    kind: Literal["rules", "trained", "endpoint"] = "rules"
    accuracy: float = Field(default=0.9, ge=0, le=1)
    omission: float = Field(default=0.2, ge=0, lt=1)
    model: str = ""
    endpoint: str = ""
    api_key_variable: str = "OPENAI_API_KEY"


class CritiqueConfig(StageConfig):
    """A critic and the length of its critiques (of models; rules say what they say)."""

    critic: CriticConfig
    max_tokens: int = Field(default=64, gt=0)


def answer_count(data: Handle) -> int:
    """Answers that critics are asked about, as far as it is known before the data are there."""
    config = data.config
    if isinstance(config, Graded):
        return 2 * (config.pairs + config.tests) + config.judged * config.candidates
    assert isinstance(config, GivenConfig)
    return 2 * (config.most_pairs + config.most_tests)


def critique_cost(config: CritiqueConfig, inputs: dict[str, Any]) -> Cost:
    """Planned cost: a call an answer, at most ``max_tokens`` tokens each; rules generate nothing."""
    if config.critic.kind == "rules":
        return Cost()
    calls = answer_count(inputs["data"])
    tokens = calls * config.max_tokens
    parameters = model_parameters(inputs["model"]) if inputs.get("model") is not None else 0
    return Cost(calls=calls, generated_tokens=tokens, flops=2.0 * parameters * tokens, parameters=parameters)


@stage(version="1", cost=critique_cost)
def critique(config: CritiqueConfig, data: Path, model: Path | None = None, *, out: Path, seed: int) -> Cost:
    """Ask a critic about every answer, one by one; writes ``critiques.jsonl`` and, where it is known, how good they
    are (``quality.jsonl``).

    The critic gets prompts and answers in the order of their names. Labels, plans and truths are in other files.
    """
    from paribus.evaluation.items import write_item_rows
    from paribus.records import write_records

    rows = read_answers(data)
    critic = open_critic(config, model, seed)
    written = critic.critique([prompt for prompt, _ in rows], [answer for _, answer in rows])
    failed = [row for row in written if "error" in row.meta]
    if failed:
        raise EngineError(
            f"{len(failed)} of {len(written)} critiques failed, the first: {failed[0].meta['error']}. Run it again: "
            "those that arrived are kept."
        )
    write_records(out / "critiques.jsonl", written)
    write_item_rows(out / QUALITY, _quality(data, rows, written))
    (out / "critic.json").write_text(json.dumps({"identity": critic.identity}))
    if config.critic.kind == "rules":
        return Cost()
    tokens = sum(int(row.meta.get("tokens") or 0) for row in written)
    return Cost(calls=len(written), generated_tokens=tokens)


def open_critic(config: CritiqueConfig, model: Path | None, seed: int) -> "Critic":
    """The critic of a config."""
    from paribus.feedback.critiques.critics import EngineCritic
    from paribus.feedback.critiques.templates import CRITIQUE_TEMPLATE, SHORT_TEMPLATE

    chosen = config.critic
    if chosen.kind == "rules":
        return rules_critic(chosen.accuracy, chosen.omission, seed)
    if chosen.kind == "trained":
        from paribus.studies.stages.arbitrage import open_engine

        assert model is not None, "a trained critic needs its model"
        engine = open_engine(model, "trained critic")
        return EngineCritic(engine, template=SHORT_TEMPLATE, max_tokens=config.max_tokens, seed=seed)
    from paribus.inference.endpoint import EndpointEngine

    served = EndpointEngine(
        chosen.endpoint,
        chosen.model,
        api_key_variable=chosen.api_key_variable,
        cache=current().scratch / "requests.sqlite",
    )
    return EngineCritic(served, template=CRITIQUE_TEMPLATE, max_tokens=config.max_tokens, seed=seed)


def rules_critic(accuracy: float, omission: float, seed: int) -> "Critic":
    """The verifier of the graded world with wrong and missing claims."""
    from paribus.feedback.critiques.graded import graded_critic

    return graded_critic(accuracy, omission, seed)


def _quality(
    data: Path, asked: "Sequence[tuple[Prompt, Completion]]", written: "Sequence[Critique]"
) -> "list[ItemRow]":
    """How good a critic is, apart from any reward model: its claims against the truth, and whom a reader of the
    critiques alone would prefer. Nothing where the truth is not known."""
    if not truth_of(data):
        return []
    from paribus.evaluation.critic_quality import check_claims, claim_reader, reading_outcomes
    from paribus.feedback.critiques.joining import join
    from paribus.world.graded import claims_about, read

    tested = [(*pair, row) for pair, row in zip(asked, written, strict=True) if row.completion_id.startswith(TESTS)]
    prompts, answers = [row[0] for row in tested], [row[1] for row in tested]
    critiques = [row[2] for row in tested]
    claims = check_claims(prompts, answers, critiques, read, claims_about)
    joined = join(read_pairs(data, TESTS), critiques).rows
    sides = [[row.critiques[place] for row in joined] for place in (0, 1)]
    preferred = reading_outcomes([row.pair for row in joined], sides[0], sides[1], claim_reader(read))
    return [*claims.rows, *preferred.rows("reading_accuracy")]


@stage(version="1")
def critic_examples(config: CriticConfig, data: Path, *, out: Path, seed: int) -> None:
    """What a critic is trained on: a verifier's critiques of answers that no reward model sees; ``examples.jsonl``."""
    from paribus.feedback.critiques.examples import critic_examples as examples_of
    from paribus.records import write_records

    rows = read_answers(data, "practice.jsonl")
    prompts, answers = [row[0] for row in rows], [row[1] for row in rows]
    written = rules_critic(config.accuracy, config.omission, seed).critique(prompts, answers)
    write_records(out / "examples.jsonl", examples_of(prompts, answers, written))


def read_critiques(folder: Path) -> "list[Critique]":
    """What a critic wrote."""
    from paribus.records import Critique, read_records

    return list(read_records(folder / "critiques.jsonl", Critique))
