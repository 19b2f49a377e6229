"""Stages of rounds in which a policy is trained on its own best answers, by a reward model's choice."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from paribus.lab import Cost, stage
from paribus.studies.stages.annotation import InputsConfig, read_prompts
from paribus.studies.stages.arbitrage import generation_cost, open_engine
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.models import model_parameters
from paribus.studies.stages.optimisation import item_of, reward_scores

if TYPE_CHECKING:
    from paribus.records import Prompt


class SampleConfig(StageConfig):
    """Answers that a policy samples: ``prompts`` of the inputs from ``offset`` on, ``samples`` each."""

    prompts: int = Field(default=120, gt=0)
    offset: int = Field(default=0, ge=0)
    samples: int = Field(default=8, gt=0)
    temperature: float = Field(default=1.0, gt=0)
    max_tokens: int = Field(default=96, gt=0)
    most_tokens: int = Field(default=256, gt=0)

    @property
    def cost(self) -> Cost:
        """Calls and tokens at most."""
        calls = self.prompts * self.samples
        return Cost(calls=calls, generated_tokens=calls * self.max_tokens)


def sample_cost(config: SampleConfig, inputs: dict[str, Any]) -> Cost:
    """Planned cost: a call a sample, two FLOPs a parameter and token."""
    return _with_flops(config.cost, inputs["policy"])


def _with_flops(cost: Cost, policy: Any) -> Cost:
    parameters = model_parameters(policy)
    flops = 2.0 * parameters * cost.generated_tokens
    return cost.model_copy(update={"flops": flops, "parameters": parameters})


@stage(version="1", cost=sample_cost)
def pick_samples(config: SampleConfig, policy: Path, reward: Path, outputs: Path, *, out: Path, seed: int) -> Cost:
    """Let the policy answer inputs and keep of each the answer that the reward model scores highest.

    Writes ``examples.jsonl``, as ``finetune`` reads it.
    """
    from paribus.feedback.pairs import best_of_n
    from paribus.feedback.sampling import sample_completions
    from paribus.records import write_records

    every = read_prompts(outputs)
    asked = [every[(config.offset + place) % len(every)] for place in range(min(config.prompts, len(every)))]
    engine = open_engine(policy, "policy")
    rows = sample_completions(
        engine,
        asked,
        samples=config.samples,
        temperature=config.temperature,
        max_tokens=config.max_tokens,
        seed=seed,
    )
    known = {prompt.id: prompt for prompt in asked}
    scores = reward_scores(reward, [known[row.prompt_id] for row in rows], rows, config.most_tokens)
    scored = [row.model_copy(update={"score": float(value)}) for row, value in zip(rows, scores, strict=True)]
    write_records(out / "examples.jsonl", best_of_n(asked, scored, seed=seed))
    return generation_cost(engine, rows)


class PolicyTestConfig(StageConfig):
    """How many answers a policy gives to each test request, whose number the inputs' config tells."""

    inputs: InputsConfig
    samples: int = Field(default=4, gt=0)
    max_tokens: int = Field(default=96, gt=0)


def policy_test_cost(config: PolicyTestConfig, inputs: dict[str, Any]) -> Cost:
    """Planned cost: a call a sample, two FLOPs a parameter and token."""
    calls = config.inputs.tests * len(config.inputs.languages) * config.samples
    return _with_flops(Cost(calls=calls, generated_tokens=calls * config.max_tokens), inputs["policy"])


@stage(version="1", cost=policy_test_cost)
def examine_policy(config: PolicyTestConfig, policy: Path, outputs: Path, *, out: Path, seed: int) -> Cost:
    """Grade a policy's samples on test requests, means over the samples of each; writes ``items.jsonl`` and
    ``answers.jsonl``. Measures: ``policy_assertiveness`` (-2 to 2), ``policy_truth`` (0 to 1)."""
    from paribus.feedback.sampling import sample_completions
    from paribus.lab import write_items
    from paribus.records import write_records

    asked = read_prompts(outputs, "tests")
    engine = open_engine(policy, "policy")
    rows = sample_completions(
        engine, asked, samples=config.samples, temperature=1.0, max_tokens=config.max_tokens, seed=seed
    )
    write_records(out / "answers.jsonl", rows)
    texts: dict[str, list[str]] = {}
    for row in rows:
        texts.setdefault(row.prompt_id, []).append(row.text)
    write_items(out, (row for prompt in asked for row in _graded(prompt, texts[prompt.id])))
    return generation_cost(engine, rows)


def _graded(prompt: "Prompt", texts: list[str]) -> list[dict[str, Any]]:
    from statistics import fmean

    from paribus.world.graded import grade

    grades = [grade(prompt, text) for text in texts]
    values = {"policy_assertiveness": fmean(found.assertiveness for found in grades)}
    values["policy_truth"] = fmean(found.score for found in grades)
    return [item_of(measure, prompt, value) for measure, value in values.items()]
