"""Stages that optimise against feedback: preference pairs of scores, and the best of n answers by a reward model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from paribus.lab import Cost, current, stage
from paribus.studies.stages.annotation import CANDIDATES, read_feedback, read_forms, read_outputs, read_prompts
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.graded import READER
from paribus.studies.stages.models import resolve

if TYPE_CHECKING:
    import numpy as np

    from paribus.feedback.annotation.design import Form
    from paribus.records import Completion, PreferencePair, Prompt

QUALITIES = ("assertiveness", "truth", "right")
"""What is told of picked answers: planted assertiveness, true quality, and whether all parts are right."""


class FeedbackPairsConfig(StageConfig):
    """Who says which of two outputs on a form is better: the form's rater by ``scores``, or the ``truth``."""

    by: Literal["scores", "truth"]


@stage(version="1")
def feedback_pairs(
    config: FeedbackPairsConfig, outputs: Path, forms: Path, ratings: Path | None = None, *, out: Path
) -> None:
    """A pair of each form of the quality pass shown for the first time, distractors and ties left out.

    Writes ``reader.jsonl``, as ``train_reader`` reads it, and ``pairs.json`` with how many forms gave a pair.
    """
    import json

    from paribus.records import write_records

    prompts = {row.id: row for row in read_prompts(outputs)}
    rows = {row.id: row for row in read_outputs(outputs)}
    shown = [form for form in read_forms(forms) if form.pass_ == "quality" and not form.repeat and not form.distractor]
    said = _true_scores(rows) if config.by == "truth" else _scores(ratings)
    scored = [(form, _sides(form, said)) for form in shown]
    found = [_pair(form, scores, prompts, rows) for form, scores in scored if len(set(scores)) == 2]
    write_records(out / f"{READER}.jsonl", found)
    (out / "pairs.json").write_text(json.dumps({"forms": len(shown), "pairs": len(found)}))


def _true_scores(rows: "dict[str, Completion]") -> dict[str, list[float]]:
    return {name: [float(row.meta["quality"])] for name, row in rows.items()}


def _scores(ratings: Path | None) -> dict[str, list[float]]:
    """Scores of both outputs by form; a model, which sees no forms, has one of each output by its name."""
    assert ratings is not None, "scores come from ratings"
    found: dict[str, list[float]] = {}
    for row in read_feedback(ratings):
        if row.pass_ == "quality" and "quality" in row.scores:
            found.setdefault(str(row.meta.get("form") or row.meta["completion"]), []).append(row.scores["quality"])
    return found


def _sides(form: "Form", said: dict[str, list[float]]) -> list[float]:
    """The scores of a form's two outputs, in its order; fewer where one is missing."""
    return said.get(form.id) or [score for item in form.items for score in said.get(item.meta["completion"], ())]


def _pair(
    form: "Form", scores: list[float], prompts: "dict[str, Prompt]", rows: "dict[str, Completion]"
) -> "PreferencePair":
    from paribus.records import PreferencePair

    sides = [rows[item.meta["completion"]] for item in form.items]
    chosen, rejected = sides if scores[0] > scores[1] else sides[::-1]
    prompt = prompts[chosen.prompt_id]
    return PreferencePair(
        id=form.id,
        prompt_id=prompt.id,
        language=prompt.language,
        prompt=prompt.messages,
        chosen=chosen.text,
        rejected=rejected.text,
        source="feedback",
        meta={"chosen_id": chosen.id, "rejected_id": rejected.id},
    )


class PicksConfig(StageConfig):
    """Numbers of answers to choose from, and how long an input of a reward model may be."""

    sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    most_tokens: int = Field(default=256, gt=0)


@stage(version="1")
def examine_picks(config: PicksConfig, outputs: Path, model: Path | None = None, *, out: Path) -> Cost:
    """What the best of n answers is like, by a reward model's choice or (without one) at random; ``items.jsonl``.

    For each of ``QUALITIES``: ``<quality>_best_of_<n>`` for every n, and ``picked_<quality>`` for the largest. Then
    ``style_over_truth``: by how many standard deviations of all answers the pick of the largest n is more assertive
    than a random one, less by how many it is better.
    """
    import numpy as np

    from paribus.evaluation.best_of_n import expected_best
    from paribus.lab import write_items

    prompts, answers = read_prompts(outputs, "tests"), read_outputs(outputs, CANDIDATES)
    by_id = {row.id: row for row in prompts}
    asked = [by_id[row.prompt_id] for row in answers]
    scores = np.zeros(len(answers)) if model is None else reward_scores(model, asked, answers, config.most_tokens)
    truth = {name: np.array([facts(row)[name] for row in answers]) for name in QUALITIES}
    spread = {name: float(values.std()) or 1.0 for name, values in truth.items()}
    places: dict[str, list[int]] = {}
    for place, row in enumerate(answers):
        places.setdefault(row.prompt_id, []).append(place)
    rows = []
    for prompt in prompts:
        own = places[prompt.id]
        best = {name: {n: expected_best(truth[name][own], scores[own], n) for n in config.sizes} for name in QUALITIES}
        most = max(config.sizes)
        gains = {name: (best[name][most] - float(truth[name][own].mean())) / spread[name] for name in QUALITIES}
        values = {f"{name}_best_of_{n}": value for name, found in best.items() for n, value in found.items()}
        values |= {f"picked_{name}": found[most] for name, found in best.items()}
        values["style_over_truth"] = gains["assertiveness"] - gains["truth"]
        rows += [item_of(measure, prompt, value) for measure, value in values.items()]
    write_items(out, rows)
    return Cost(calls=len(answers) if model is not None else 0)


def facts(answer: "Completion") -> dict[str, float]:
    """The ``QUALITIES`` of an answer whose truth is in its meta."""
    meta = answer.meta
    right = float(all(meta["parts_right"]))
    return {"assertiveness": float(meta["assertiveness"]), "truth": float(meta["quality"]), "right": right}


def reward_scores(
    model: Path, prompts: "list[Prompt]", answers: "list[Completion]", most_tokens: int
) -> "np.ndarray[Any, Any]":
    """Scores by a reward model that ``train_reader`` made, reading what it was trained to read."""
    from paribus.feedback.arbiters import RewardModelArbiter
    from paribus.feedback.critiques.reading import completions_to_read

    arbiter = RewardModelArbiter.load(resolve(model), device=current().device)
    shown, texts, _ = completions_to_read(
        prompts, answers, [None] * len(answers), tokenizer=arbiter.tokenizer, most_tokens=most_tokens
    )
    return arbiter.score(shown, texts)


def item_of(measure: str, prompt: "Prompt", value: float) -> dict[str, Any]:
    row = {"measure": measure, "item": prompt.id, "cluster": str(prompt.meta["question_id"])}
    return {**row, "language": prompt.language, "value": value}
