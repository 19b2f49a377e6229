"""Stages that examine networks, learners and language models on functions that they meet for the first time."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from paribus.lab import Cost, current, stage, write_items
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.problems import Draws, PromptProblem
from paribus.studies.stages.rows import item_row, write_rows
from paribus.studies.stages.sequences import load_network
from paribus.testbeds.seeds import TEST_SEED

if TYPE_CHECKING:
    from torch import Tensor

    from paribus.testbeds.incontext.direct import Exam
    from paribus.testbeds.incontext.function_class import FunctionClass
    from paribus.testbeds.incontext.learner import Learner
    from paribus.testbeds.incontext.prompts import Prompts

CURVES, HEADS, DIRECT = "curves.jsonl", "heads.json", "direct.jsonl"
AFTER = 5
"""Points after a teaching sequence over which "taught" accuracy is the mean."""
AT_ONCE = 128
"""Prompts that a learner answers at once: the Bayes vote holds all functions of the class for each."""

LearnerName = Literal[
    "optimal", "nearest_neighbour", "three_neighbours", "averaging", "least_squares", "null", "trained_network"
]

Answers = Callable[["Prompts", Draws], "Tensor"]


class Kind(StageConfig):
    """A kind of test prompts: its name on charts, how they are drawn, and their points (0 = as in training)."""

    name: str
    draws: Draws
    points: int = 0


class ExaminePromptsConfig(StageConfig):
    """A class of functions and the kinds of prompts to test on.

    ``first``: the first point that is scored (functions without a rule before it). ``measured``: kinds whose accuracies
    become items, by the prefix of their measures; the others are curves only.
    """

    problem: PromptProblem
    kinds: tuple[Kind, ...]
    measured: dict[str, str]
    prompts: int = Field(default=512, gt=1)
    first: int = 0


class ExamineLearnerConfig(ExaminePromptsConfig):
    """The same of a learner."""

    learner: LearnerName


class DirectConfig(StageConfig):
    """Questions in text for a language model: fresh functions, asked after every ``every`` examples.

    The likelier of the labels "0" and "1" is its answer.
    """

    problem: PromptProblem
    functions: int = Field(gt=1)
    every: int = Field(gt=0)


class DirectLearnerConfig(DirectConfig):
    """The same questions for a learner."""

    learner: LearnerName


# ---- Prompts of vectors ----------------------------------------------------------------------------------------------


@stage(version="1")
def examine_prompts(config: ExaminePromptsConfig, model: Path, *, out: Path) -> Cost:
    """Accuracy of a trained network by number of examples: ``items.jsonl``, ``curves.jsonl``, ``heads.json``."""
    from paribus.testbeds.fitting import logits_on
    from paribus.testbeds.incontext.prompts import encode

    network = load_network(model)
    _examine(config, lambda prompts, draws: logits_on(network, encode(prompts))[:, ::2, 0], out)
    (out / HEADS).write_text(json.dumps(_heads(config, network)))
    return Cost(parameters=sum(weight.numel() for weight in network.parameters()))


@stage(version="1")
def examine_learner(config: ExamineLearnerConfig, *, out: Path) -> None:
    """Accuracy of a learner on the prompts that networks are examined on."""

    def answers(prompts: "Prompts", draws: Draws) -> "Tensor":
        # A learner that weighs evidence knows how often labels lie, in lessons too.
        noise = max(draws.label_noise, draws.corruption)
        return in_parts(learner_of(config.learner, config.problem.function_class(), noise), prompts)

    _examine(config, answers, out)


def _examine(config: ExaminePromptsConfig, answers: Answers, out: Path) -> None:
    items: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for kind in config.kinds:
        prompts = test_prompts(config, kind)
        outcomes = _outcomes(config, answers(prompts, kind.draws), prompts)
        curves += _curves(config, kind.name, outcomes, prompts)
        if kind.name in config.measured:
            items += _items(config, config.measured[kind.name], outcomes, prompts)
    write_items(out, items)
    write_rows(out / CURVES, curves)


def test_prompts(config: ExaminePromptsConfig, kind: Kind) -> "Prompts":
    """The test prompts of a kind; the functions of all kinds come from the same numbers."""
    import torch

    function_class = config.problem.function_class()
    generator = torch.Generator().manual_seed(TEST_SEED)
    return function_class.at(kind.points or config.problem.points).sample(
        config.prompts, generator, **kind.draws.model_dump()
    )


def _outcomes(config: ExaminePromptsConfig, scores: "Tensor", prompts: "Prompts") -> "Tensor":
    """Right, wrong, or NaN where nothing is asked, (B, m)."""
    from paribus.testbeds.incontext.learner import correct

    outcomes = correct(scores.cpu(), prompts)
    outcomes[:, : config.first] = float("nan")
    return outcomes


def _curves(config: ExaminePromptsConfig, kind: str, outcomes: "Tensor", prompts: "Prompts") -> list[dict[str, Any]]:
    """A row for each number of examples: mean, deviation and band; of nearest neighbours also by ambiguity."""
    from paribus.testbeds.incontext.curves import curve, where
    from paribus.testbeds.incontext.learners_neighbours import ambiguous

    parts = {kind: outcomes}
    if config.problem.name == "nearest_neighbour" and kind == "plain":
        tied = ambiguous(prompts)
        parts |= {"ambiguous": where(outcomes, tied), "unambiguous": where(outcomes, ~tied)}
    return [{"kind": name, **row} for name, part in parts.items() for row in curve(part).rows()]


def _items(
    config: ExaminePromptsConfig, prefix: str, outcomes: "Tensor", prompts: "Prompts"
) -> Iterator[dict[str, Any]]:
    """Accuracies of each prompt: around a quarter of its points, over the last quarter, over all; or after teaching."""
    for name, chosen in windows(config, prompts).items():
        values = outcomes.masked_fill(~chosen, float("nan")).nanmean(dim=1)
        for number, value in enumerate(values.tolist()):
            yield item_row(f"{prefix}_{name}", f"{prefix}-{number}", None if value != value else value)


def windows(config: ExaminePromptsConfig, prompts: "Prompts") -> "dict[str, Tensor]":
    """Which positions each measure is the mean of, (B, m) bool."""
    import torch

    points = config.problem.points
    place = torch.arange(points).expand(len(prompts), points)
    if bool((prompts.taught > 0).any()):
        start = prompts.taught.unsqueeze(1)
        return {"after_accuracy": (place >= start) & (place < start + AFTER) & (start > 0)}
    quarter = config.first + (points - config.first) // 4
    return {
        "early_accuracy": (place - quarter).abs() <= 2,
        "late_accuracy": place >= points - (points - config.first) // 4,
        "mean_accuracy": place >= config.first,
    }


def learner_of(name: LearnerName, function_class: "FunctionClass", label_noise: float = 0.0) -> "Learner":
    """A learner by the name of its arm. Raises ``ConfigError`` where the best one of a class cannot be computed."""
    from paribus.errors import ConfigError
    from paribus.testbeds.incontext.learner import Null
    from paribus.testbeds.incontext.learners import NearestNeighbours, commoner_label, optimal_for
    from paribus.testbeds.incontext.learners_linear import Averaging, LeastSquares
    from paribus.testbeds.incontext.learners_networks import TrainedNetwork

    if name == "optimal" and function_class.name == "nearest_neighbour":
        return NearestNeighbours(1, ties="earliest")  # the rule itself, whatever the noise
    if name == "optimal":
        best = optimal_for(function_class, label_noise=label_noise)
        if best is None:
            raise ConfigError(
                f"The best learner of {function_class.name} at dimensions={function_class.dimensions} is not computed "
                "(too many functions); leave 'optimal' out of learners, or lower the dimensions."
            )
        return best
    made: dict[str, Callable[[], Learner]] = {
        "nearest_neighbour": lambda: NearestNeighbours(1),
        "three_neighbours": lambda: NearestNeighbours(3),
        "averaging": Averaging,
        "least_squares": LeastSquares,
        "null": lambda: Null(commoner_label(function_class)),
        "trained_network": lambda: TrainedNetwork(every=5),
    }
    return made[name]()


def in_parts(learner: "Learner", prompts: "Prompts") -> "Tensor":
    """A learner's scores, some prompts at a time."""
    from dataclasses import replace

    import torch

    parts = []
    for start in range(0, len(prompts), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        functions = {name: tensor[rows] for name, tensor in prompts.functions.items()}
        some = {name: getattr(prompts, name)[rows] for name in ("x", "y", "forced", "taught")}
        parts.append(learner.predict(replace(prompts, functions=functions, **some)))
        current().progress(min(start + AT_ONCE, len(prompts)), len(prompts))
    return torch.cat(parts)


def _heads(config: ExaminePromptsConfig, network: Any) -> dict[str, Any]:
    """Scores of attention heads: of finding the nearest neighbour, and of induction; empty without attention."""
    from paribus.testbeds.incontext.heads import induction_scores, nearest_neighbour_scores, repeated

    if getattr(network.config, "mixer", None) != "attention":
        return {}
    plain = test_prompts(config.model_copy(update={"prompts": 64}), config.kinds[0])
    points = config.problem.points
    block = points // 4
    neighbour = nearest_neighbour_scores(_attentions(network, plain), plain, start=points // 2)
    some = config.problem.model_copy(update={"points": block})
    short = config.model_copy(update={"problem": some, "prompts": 64})
    looped = repeated(test_prompts(short, Kind(name="plain", draws=Draws())), 4)
    induction = induction_scores(_attentions(network, looped), 4 * block, block)
    return {"nearest neighbour": neighbour.tolist(), "induction": induction.tolist()}


def _attentions(network: Any, prompts: "Prompts") -> "Sequence[Tensor]":
    import torch

    from paribus.testbeds.incontext.prompts import encode

    network.set_attn_implementation("eager")
    with torch.inference_mode():
        attentions: Sequence[Tensor] = network(
            inputs_embeds=encode(prompts)["inputs_embeds"], output_attentions=True
        ).attentions
    return attentions


# ---- Questions in text -----------------------------------------------------------------------------------------------


def exam_of(config: DirectConfig) -> "Exam":
    """The questions; functions are new ones, fixed by class and seed."""
    from paribus.testbeds.incontext.direct import Asking, Exam

    asking = Asking(how="logprobs", every=config.every)
    function_class = config.problem.function_class().llm()
    return Exam.of(function_class, asking, functions=config.functions, seed=TEST_SEED)


@stage(version="1")
def ask_directly(config: DirectConfig, model: Path, *, out: Path) -> Cost:
    """Ask a language model in text: ``items.jsonl``, and accuracy by number of examples as ``direct.jsonl``."""
    from paribus.inference.local import LocalEngine
    from paribus.studies.stages.models import open_model
    from paribus.testbeds.incontext.direct import evaluate_engine
    from paribus.testbeds.incontext.textual import chat_without_marks

    context, exam = current(), exam_of(config)
    network, vocabulary = open_model(model)
    chat_without_marks(vocabulary)
    engine = LocalEngine(network, vocabulary, name="language model")
    found = evaluate_engine(
        engine,
        exam,
        answers=context.scratch / "answers.jsonl",
        progress=lambda done: context.progress(done, len(exam.questions)),
    )
    told = ((row.function, row.shown, row.said == row.label) for row in found.answers)
    write_items(out, direct_items(config, told))
    write_rows(out / DIRECT, [row.model_dump() for row in found.rows])
    return Cost(calls=len(found.answers), parameters=sum(weight.numel() for weight in network.parameters()))


@stage(version="2")
def ask_learner(config: DirectLearnerConfig, *, out: Path) -> None:
    """A learner's answers to the questions that a language model is asked."""
    from paribus.testbeds.incontext.direct import asked_after, learner_rows
    from paribus.testbeds.incontext.learner import correct

    exam = exam_of(config)
    learner = learner_of(config.learner, exam.function_class)
    right = correct(learner.predict(exam.prompts), exam.prompts)
    places = asked_after(exam.function_class.points, config.every)
    told = ((number, shown, bool(row[shown] > 0)) for number, row in enumerate(right) for shown in places)
    write_items(out, direct_items(config, told))
    write_rows(out / DIRECT, [row.model_dump() for row in learner_rows(learner, exam)])


def direct_items(config: DirectConfig, told: Any) -> Iterator[dict[str, Any]]:
    """A row a question; the questions about one function are not independent."""
    measure = f"direct_{config.problem.name}_accuracy"
    for function, shown, right in told:
        item = f"{measure}-{function}-{shown}"
        yield item_row(measure, item, float(right), cluster=f"{measure}-{function}")
