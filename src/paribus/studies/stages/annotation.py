"""Stages that collect feedback on answers whose truth is known: inputs, outputs, forms, ratings, experts' labels.

Raters are people whose weights and biases are planted, or a model (rules with planted biases, or a served one) that
fills in the same forms; experts are the truth.
"""

from collections.abc import Iterator, Sequence
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from paribus.lab import Cost, current, stage
from paribus.studies.stages.config import StageConfig

if TYPE_CHECKING:
    from paribus.feedback.annotation.design import Form
    from paribus.inference.engine import Engine
    from paribus.records import Completion, Prompt, Rating
    from paribus.world.graded import GradedAnswer, GradedConfig, GradedWorld, Request

PREAMBLES = ("normal", "assertive_high", "assertive_low", "complex_high", "complex_low")
SEVEN = ("contradiction", "inconsistent", "factuality", "relevance", "formatting", "refusal", "repetition")
"""As in ``feedback.annotation.schema`` (a test holds them against it), which planning must not import."""

OUTPUTS, CANDIDATES, FORMS, RATINGS = "outputs.jsonl", "candidates.jsonl", "forms.jsonl.gz", "ratings.jsonl.gz"


class SystemConfig(StageConfig):
    """A system whose outputs are rated: a simulated one with these rates of errors and this style, or (``endpoint``
    given) a served model of this name, whose answers are graded by the world's checker."""

    name: str
    error_rates: dict[str, float] = Field(default_factory=dict)
    assertiveness: float = 0.0
    complexity: float = 0.0
    wordiness: float = 0.5
    endpoint: str = ""
    api_key_variable: str = "OPENAI_API_KEY"


class InputsConfig(StageConfig):
    """Requests of the graded world.

    Args:
        inputs: requests in each language, each answered under every preamble.
        tests: requests in each language, of facts held out, with ``candidates`` answers each to choose from.
        corpus: answered requests for pre-training a base; no input is among them.
    """

    languages: tuple[str, ...] = ("de", "en", "ru", "tr")
    parts: Literal[2, 3] = 2
    inputs: int = Field(default=100, gt=0)
    tests: int = Field(default=40, gt=0)
    candidates: int = Field(default=32, gt=1)
    corpus: int = Field(default=3000, gt=0)

    @property
    def asked(self) -> int:
        """Inputs in all languages."""
        return self.inputs * len(self.languages)


class OutputsConfig(StageConfig):
    """Who answers: systems rotate over the preambles from input to input, so that all cells are used alike."""

    inputs: InputsConfig
    systems: tuple[SystemConfig, ...]
    max_tokens: int = Field(default=256, gt=0)

    @property
    def served(self) -> bool:
        """Whether served models answer."""
        return any(system.endpoint for system in self.systems)


def graded_config(config: InputsConfig, seed: int) -> "GradedConfig":
    """The world's config with enough requests for everything."""
    from paribus.world.graded import GradedConfig

    corpus = -(-config.corpus // len(config.languages))
    per_cell = corpus + config.inputs
    return GradedConfig(languages=config.languages, parts=config.parts, seed=seed, per_cell=per_cell)


def worlds(config: InputsConfig, seed: int) -> "tuple[GradedWorld, list[Request], list[Request], list[Request]]":
    """The world, and the requests of corpus, inputs and tests."""
    from paribus.world.graded import GradedWorld

    chosen = graded_config(config, seed)
    world, train = GradedWorld(chosen), GradedWorld(chosen).requests("train")
    tests = GradedWorld(chosen.model_copy(update={"per_cell": config.tests})).requests("test")
    first = len(train) - config.asked
    return world, list(train[:first][: config.corpus]), list(train[first:]), list(tests)


@stage(version="1")
def feedback_corpus(config: InputsConfig, *, out: Path, seed: int) -> None:
    """Answers without errors in every style, for pre-training a base and a tokenizer; writes ``train.jsonl``."""
    import random

    from paribus.records import Example, Message, write_records
    from paribus.world.graded import Plan, draw_plan, write_answer

    world, corpus, _, _ = worlds(config, seed)
    rng = random.Random(f"feedback corpus {seed}")

    def example(request: "Request") -> Example:
        plan = draw_plan(rng)
        right = Plan(frozenset(), plan.assertiveness, plan.complexity, plan.wordiness)
        answer = Message(role="assistant", content=write_answer(world, request, right, rng).text)
        messages = (*request.to_prompt().messages, answer)
        return Example(id=request.id, language=request.language, messages=messages, source="graded")

    write_records(out / "train.jsonl", map(example, corpus))


def output_cost(config: OutputsConfig, inputs: dict[str, Any]) -> Cost:
    """Planned cost: a call an output of a served system; simulated ones cost nothing."""
    if not config.served:
        return Cost()
    calls = config.inputs.asked * len(PREAMBLES)
    return Cost(calls=calls, generated_tokens=calls * config.max_tokens)


@stage(version="1", cost=output_cost)
def answer_inputs(config: OutputsConfig, *, out: Path, seed: int) -> Cost:
    """Answer every input once under each preamble, and every test request many times over; truth in ``meta``.

    Writes ``prompts.jsonl`` and ``outputs.jsonl`` (to be rated), ``tests.jsonl`` and ``candidates.jsonl``. Candidates
    are always drawn from the world, whoever the systems are.
    """
    import random

    from paribus.records import write_records

    world, _, asked, tests = worlds(config.inputs, seed)
    rows = _served(config, asked, seed) if config.served else list(_simulated(config, world, asked, seed))
    write_records(out / "prompts.jsonl", (request.to_prompt() for request in asked))
    write_records(out / OUTPUTS, rows)
    write_records(out / "tests.jsonl", (request.to_prompt() for request in tests))
    write_records(out / CANDIDATES, _candidates(config.inputs, world, tests, random.Random(f"candidates {seed}")))
    return Cost(calls=len(rows), generated_tokens=sum(row.tokens or 0 for row in rows)) if config.served else Cost()


def cells(config: OutputsConfig, number: int) -> list[tuple[SystemConfig, str]]:
    """Who answers the input of a number under which preamble: each preamble once, systems by a Latin square."""
    systems = config.systems
    return [(systems[(number + place) % len(systems)], preamble) for place, preamble in enumerate(PREAMBLES)]


def _simulated(
    config: OutputsConfig, world: "GradedWorld", asked: "Sequence[Request]", seed: int
) -> "Iterator[Completion]":
    """Opposite preambles of an input share their random numbers: systems that err alike then make the same errors under
    both, unless one declines, and what is compared differs in manner alone."""
    import random

    from paribus.world.graded import System, system_answers

    for number, request in enumerate(asked):
        for chosen, preamble in cells(config, number):
            system = System(chosen.name, chosen.error_rates, chosen.assertiveness, chosen.complexity, chosen.wordiness)
            rng = random.Random(f"output {seed}/{request.id}/{preamble.partition('_')[0]}")
            (answer,) = system_answers(world, request, system, preamble, rng)
            yield _output(answer, f"{request.id}/{chosen.name}/{preamble}", chosen.name, preamble)


def _output(answer: "GradedAnswer", name: str, model: str, preamble: str) -> "Completion":
    row = answer.to_completion(name, model)
    return row.model_copy(update={"meta": {**row.meta, "preamble": preamble}})


def _served(config: OutputsConfig, asked: "Sequence[Request]", seed: int) -> "list[Completion]":
    """Answers of served models, graded by the checker. Raises ``EngineError`` if any request failed."""
    from paribus.errors import EngineError
    from paribus.feedback.annotation.preambles import prompts_by_model, restored
    from paribus.feedback.sampling import sample_completions

    prompts = [request.to_prompt() for request in asked]
    dealt = {
        prompt.id: [(system.name, preamble) for system, preamble in cells(config, number)]
        for number, prompt in enumerate(prompts)
    }
    by_model = prompts_by_model(prompts, dealt)
    found: list[Completion] = []
    for system in config.systems:
        engine = served_engine(system.endpoint, system.name, system.api_key_variable)
        given = by_model[system.name]
        found += restored(sample_completions(engine, given, temperature=0.7, max_tokens=config.max_tokens, seed=seed))
    failed = [row for row in found if row.finish == "error"]
    if failed:
        raise EngineError(
            f"{len(failed)} of {len(found)} requests to the systems failed, the first, of {failed[0].id!r}, because: "
            f"{failed[0].meta.get('error')}; run again, those that were answered are kept."
        )
    known = {request.id: request for request in asked}
    return [_graded(known[row.prompt_id], row) for row in found]


def _graded(request: "Request", row: "Completion") -> "Completion":
    from paribus.world.graded import grade

    seen = grade(request, row.text)
    style = {name: getattr(seen, name) for name in ("assertiveness", "complexity", "wordiness")}
    truth = {"errors": sorted(seen.errors), "parts_right": list(seen.parts_right), "quality": seen.score, **style}
    return row.model_copy(update={"meta": {**row.meta, **truth}})


def served_engine(endpoint: str, model: str, api_key_variable: str) -> "Engine":
    """A served model, with the run's request cache."""
    from paribus.inference.endpoint import EndpointEngine

    cache = current().scratch / "requests.sqlite"
    return EndpointEngine(endpoint, model, api_key_variable=api_key_variable, cache=cache)


def _candidates(
    config: InputsConfig, world: "GradedWorld", tests: "Sequence[Request]", rng: Any
) -> "Iterator[Completion]":
    """Answers with errors and style drawn independently, so that nothing but a scorer ties one to the other."""
    from paribus.world.graded import draw_plan, write_answer

    for request in tests:
        for place in range(config.candidates):
            answer = write_answer(world, request, draw_plan(rng), rng)
            yield answer.to_completion(f"{request.id}/{place}", "candidate")


class FormsConfig(StageConfig):
    """Which forms are made of the outputs; see ``feedback.annotation.design.Design``."""

    repeats: int = Field(default=4, ge=0)
    repeated: float = Field(default=0.25, ge=0, le=1)
    distractors: int = Field(default=1, ge=0)


@stage(version="1")
def feedback_forms(config: FormsConfig, outputs: Path, *, out: Path, seed: int) -> None:
    """All pairs of an input's outputs side by side, pass by pass, some repeated, with distractors and checks."""
    from paribus.feedback.annotation.design import Design, make_forms
    from paribus.records import write_records

    design = Design(
        repeats=config.repeats,
        repeated=config.repeated,
        distractors=config.distractors,
        errors=SEVEN,
        attention={"errors": ("yes", "no")},
        seed=seed,
    )
    write_records(out / FORMS, make_forms(read_prompts(outputs), read_outputs(outputs), design))


class CrowdConfig(StageConfig):
    """Raters with planted weights and biases; see ``feedback.annotation.crowd.RaterModel`` for what each does.

    ``raters``: people a pass.
    """

    raters: int = Field(default=40, gt=0)
    intercept: float = 3.8
    weights: dict[str, float] = Field(
        default_factory=lambda: {
            "refusal": 1.4,
            "formatting": 0.9,
            "relevance": 0.9,
            "repetition": 0.6,
            "factuality": 0.3,
            "inconsistent": 0.3,
        }
    )
    assertiveness_gain: float = 0.3
    noise: float = 0.8
    leniency: float = 0.3
    input_spread: float = 0.2
    detection: dict[str, float] = Field(
        default_factory=lambda: {"factuality": 0.25, "inconsistent": 0.25, "contradiction": 0.3, "refusal": 0.9}
    )
    hiding: dict[str, float] = Field(default_factory=lambda: {"factuality": 0.6, "inconsistent": 0.5})
    false_alarm: float = 0.02
    halo: float = 0.15
    lazy: float = 0.1

    def unbiased(self) -> "CrowdConfig":
        """The same people without their liking of assertive text, and to whom it hides nothing."""
        return self.model_copy(update={"assertiveness_gain": 0.0, "hiding": {}})


class MachineConfig(StageConfig):
    """A model as rater: ``rules`` reads the real prompts, grades what it reads and answers with the planted biases of
    ``like``; ``endpoint`` is a served model."""

    kind: Literal["rules", "endpoint"] = "rules"
    like: CrowdConfig = CrowdConfig()
    model: str = ""
    endpoint: str = ""
    api_key_variable: str = "OPENAI_API_KEY"
    max_tokens: int = Field(default=256, gt=0)


def form_count(outputs: OutputsConfig, forms: FormsConfig) -> dict[str, float]:
    """Forms of each kind: of one pass, and those with a distractor (which the style pass does not have)."""
    pairs = comb(len(PREAMBLES), 2) + forms.repeats * forms.repeated
    asked = outputs.inputs.asked
    return {"forms": asked * pairs, "distractors": asked * forms.distractors, "outputs": asked * len(PREAMBLES)}


def crowd_cost(config: CrowdConfig, inputs: dict[str, Any]) -> Cost:
    """Planned cost: a call a rating, as if people were asked."""
    counts = form_count(inputs["outputs"].config, inputs["forms"].config)
    return Cost(calls=2 * (3 * counts["forms"] + 2 * counts["distractors"]))


@stage(version="1", cost=crowd_cost)
def crowd_ratings(config: CrowdConfig, outputs: Path, forms: Path, *, out: Path, seed: int) -> Cost:
    """Let planted raters fill in all forms, each pass by people of its own; writes ``ratings.jsonl.gz``."""
    from paribus.feedback.annotation.design import assign
    from paribus.feedback.annotation.schema import PASSES
    from paribus.feedback.annotation.simulated import simulate, truths_of
    from paribus.records import write_records
    from paribus.studies.stages.annotation_raters import rater_model

    raters = {name: [f"{name}-{number}" for number in range(config.raters)] for name in PASSES}
    given = assign(read_forms(forms), raters, seed=seed)
    truths = truths_of([*read_outputs(outputs)])
    return Cost(calls=write_records(out / RATINGS, simulate(given, truths, rater_model(config, seed))))


def machine_cost(config: MachineConfig, inputs: dict[str, Any]) -> Cost:
    """Planned cost: a call an output and pass, and one more an output of a form with a distractor."""
    counts = form_count(inputs["outputs"].config, inputs["forms"].config)
    calls = 3 * counts["outputs"] + 4 * counts["distractors"]
    return Cost(calls=calls, generated_tokens=calls * config.max_tokens if config.kind == "endpoint" else 0)


@stage(version="1", cost=machine_cost)
def machine_ratings(config: MachineConfig, outputs: Path, forms: Path, *, out: Path, seed: int) -> Cost:
    """Let a model fill in the same forms, one output at a time; writes ``ratings.jsonl.gz``."""
    from paribus.feedback.annotation.machine import EngineRater, rating_tasks
    from paribus.records import write_records
    from paribus.studies.stages.annotation_raters import rules_engine

    engine: Engine
    if config.kind == "rules":
        engine = rules_engine(config.like, read_prompts(outputs), seed)
    else:
        engine = served_engine(config.endpoint, config.model, config.api_key_variable)
    rater = EngineRater(engine, max_tokens=config.max_tokens, seed=seed)
    found = rater.rate(rating_tasks(read_forms(forms)))
    write_records(out / RATINGS, found)
    return Cost(calls=len(found))


@stage(version="1")
def expert_labels(outputs: Path, forms: Path, *, out: Path) -> None:
    """The truth as experts' labels, which is exact: what was planted, or what the checker finds."""
    from paribus.feedback.annotation.simulated import experts, truths_of
    from paribus.records import write_records

    write_records(out / RATINGS, experts(read_forms(forms), truths_of(read_outputs(outputs))))


def read_prompts(folder: Path, name: str = "prompts") -> "list[Prompt]":
    """Inputs, or (``tests``) the requests with candidates."""
    from paribus.records import Prompt, read_records

    return list(read_records(folder / f"{name}.jsonl", Prompt))


def read_outputs(folder: Path, file: str = OUTPUTS) -> "list[Completion]":
    """Outputs to be rated, or candidates."""
    from paribus.records import Completion, read_records

    return list(read_records(folder / file, Completion))


def read_forms(folder: Path) -> "list[Form]":
    """The forms of a design."""
    from paribus.feedback.annotation.design import Form
    from paribus.records import read_records

    return list(read_records(folder / FORMS, Form))


def read_feedback(folder: Path) -> "list[Rating]":
    """Ratings, or experts' labels."""
    from paribus.records import Rating, read_records

    return list(read_records(folder / RATINGS, Rating))
