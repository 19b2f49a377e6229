"""Stages that train and examine reward models that read critiques, or none."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from paribus.errors import DataError
from paribus.lab import Cost, current, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.critiques import read_critiques
from paribus.studies.stages.graded import READER, TESTS, candidate_rows, read_answers, read_pairs
from paribus.studies.stages.models import Recipe, fit, resolve, save_model, trained_cost, training_cost
from paribus.studies.stages.rows import read_rows, write_rows

if TYPE_CHECKING:
    import numpy as np

    from paribus.evaluation.items import ItemRow
    from paribus.evaluation.reward_models import ScoredPairs
    from paribus.feedback.critiques.joining import CritiquedPair
    from paribus.records import Completion, Critique, PreferencePair, Prompt

Reads = Literal["both", "shuffled", "filler", "swapped", "critique_only", "answer_only", "oracle"]
"""What a reward model reads. ``both``: prompt, answer, and critique where there are critiques. ``shuffled``: critiques
of other answers; ``filler``: words that say nothing, as many; ``swapped``: the other answer's critique; ``oracle``:
critiques that state the label; ``critique_only`` and ``answer_only``: that alone."""

CONTROLS: tuple[Reads, ...] = ("shuffled", "filler", "swapped", "oracle")
EDITED = ("both", "shuffled", "filler")
SCORES, EDITS, CUT = "scores.jsonl", "edits.jsonl", "cut.json"


class ReaderConfig(StageConfig):
    """A reward model trained on the first ``pairs`` of a seed's order of all pairs, so that numbers of pairs nest.

    One row of the recipe is a pair; its ``length`` is the longest input planned for. ``most_tokens``: of an input;
    longer ones lose the head of the prompt, then the middle of the answer, never the critique.
    """

    recipe: Recipe
    pairs: int = Field(gt=0)
    reads: Reads = "both"
    most_tokens: int = Field(default=256, gt=0)


def reader_cost(config: ReaderConfig, inputs: dict[str, Any]) -> Cost:
    """Planned cost: two answers a pair."""
    one, recipe = training_cost(config, inputs), config.recipe
    spent = {"tokens": 2 * one.tokens, "flops": 2 * one.flops, "examples": recipe.steps * recipe.rows}
    return one.model_copy(update=spent)


@stage(version="1", cost=reader_cost)
def train_reader(
    config: ReaderConfig,
    model: Path,
    data: Path,
    critiques: Path | None = None,
    compute: Path | None = None,
    *,
    out: Path,
    seed: int,
) -> Cost:
    """Train a Bradley-Terry reward model from a causal model's body. Base, order, head and steps follow from config and
    seed alone, so that two runs of which one reads critiques differ in what is read."""
    import torch

    from paribus.data.pairs import encode_pairs
    from paribus.models.load import load_reward, load_tokenizer
    from paribus.training.objectives.reward import Reward

    chosen = drawn_pairs(data, config.pairs, seed)
    vocabulary = load_tokenizer(resolve(model))
    shown = _shown(chosen, critiques, config.reads, vocabulary, config.most_tokens, out)
    torch.manual_seed(seed)
    network = load_reward(resolve(model), device=current().device, fresh_head=True)
    dataset = encode_pairs(vocabulary, shown)
    # Pairs come in the order of their numbers, not of their tokens: with critiques and without, each step has the same.
    result = fit(network, dataset, Reward(), config.recipe, seed, compute, order=f"pairs {config.pairs}")
    save_model(result.model, vocabulary, out)
    return trained_cost(result, examples=config.recipe.steps * config.recipe.rows)


def drawn_pairs(data: Path, count: int, seed: int) -> "list[PreferencePair]":
    """The first ``count`` of a seed's order of all training pairs, so that numbers of pairs nest.

    Raises ``DataError`` where there are fewer.
    """
    import numpy as np

    everything = read_pairs(data, READER)
    if len(everything) < count:
        raise DataError(f"There are {len(everything)} training pairs, and {count} were asked for; lower the sizes.")
    return [everything[index] for index in np.random.default_rng([seed, 41]).permutation(len(everything))[:count]]


def _shown(
    pairs: "list[PreferencePair]", critiques: Path | None, reads: Reads, vocabulary: Any, most: int, out: Path
) -> "list[PreferencePair]":
    """The pairs as they are read; how many had to be cut goes to ``cut.json``."""
    from paribus.feedback.critiques.reading import pairs_to_read

    plainly: Any = "both" if reads in CONTROLS else reads
    rows = critiqued(pairs, critiques, reads)
    shown, cut = pairs_to_read(rows, reads=plainly, tokenizer=vocabulary, most_tokens=most)
    (out / CUT).write_text(json.dumps(asdict(cut) | {"share": cut.share}))
    return shown


def critiqued(pairs: "list[PreferencePair]", critiques: Path | None, reads: Reads) -> "list[CritiquedPair]":
    """Pairs with what takes their critiques' place."""
    from paribus.feedback.critiques.controls import controlled
    from paribus.feedback.critiques.joining import CritiquedPair, join

    if critiques is None or reads == "answer_only":
        return [CritiquedPair(pair) for pair in pairs]
    rows = join(pairs, read_critiques(critiques)).rows
    if reads == "both" or reads == "critique_only":
        return list(rows)
    return controlled(rows, reads)


class ExamineConfig(StageConfig):
    """What a reward model reads in the test, the numbers of answers from which it chooses the best, and the number of
    answers whose critiques are edited, claim by claim."""

    reads: Reads = "both"
    most_tokens: int = Field(default=256, gt=0)
    sizes: tuple[int, ...] = (1, 2, 4, 8)
    edited: int = Field(default=100, gt=0)


@stage(version="1")
def examine_reader(config: ExamineConfig, model: Path, data: Path, critiques: Path | None = None, *, out: Path) -> Cost:
    """Test a reward model on pairs; where the truth is known, also where the cue misleads, on the best of several
    answers, and on critiques of which one claim is turned around. Writes ``items.jsonl``, ``scores.jsonl``,
    ``edits.jsonl``."""
    from paribus.lab import write_items

    judge = _Reader(config, model, critiques, out)
    pairs = read_pairs(data, TESTS)
    scored = judge.pairs(pairs)
    rows = [*_pair_items(scored), *judge.best(data), *judge.edited(data)]
    write_items(out, (row._asdict() for row in rows))
    return Cost(calls=judge.scored)


def _pair_items(scored: "ScoredPairs") -> "list[ItemRow]":
    found = scored.outcomes().rows(group="group")
    cues = {pair.id: pair.meta["cue"] for pair in scored.pairs if "cue" in pair.meta}
    if len(set(cues.values())) < 2:
        return found
    against = [row._replace(measure="cue_against_accuracy") for row in found if cues[row.item] == "against"]
    # Weighted so that the mean over all pairs is the accuracy with the cue minus that against it.
    weights = {"with": len(found) / (len(found) - len(against)), "against": -len(found) / len(against)}
    gaps = [row._replace(measure="cue_gap", value=row.value * weights[cues[row.item]]) for row in found]
    return [*found, *against, *gaps]


class _Reader:
    """A reward model with its critiques, and how many inputs it scored."""

    def __init__(self, config: ExamineConfig, model: Path, critiques: Path | None, out: Path) -> None:
        from paribus.feedback.arbiters import RewardModelArbiter

        self.config, self.critiques, self.out, self.scored = config, critiques, out, 0
        self.arbiter = RewardModelArbiter.load(resolve(model), device=current().device)

    def pairs(self, pairs: "list[PreferencePair]") -> "ScoredPairs":
        """Both answers of every pair."""
        from paribus.evaluation.reward_models import ScoredPairs

        shown = _shown(
            pairs, self.critiques, self.config.reads, self.arbiter.tokenizer, self.config.most_tokens, self.out
        )
        sides = [self._scores(shown, name) for name in ("chosen", "rejected")]
        write_rows(
            self.out / SCORES,
            (
                {"pair": pair.id, "chosen": float(a), "rejected": float(b)}
                for pair, a, b in zip(pairs, *sides, strict=True)
            ),
        )
        return ScoredPairs("reward model", tuple(pairs), *sides)

    def _scores(self, shown: "list[PreferencePair]", name: str) -> "np.ndarray[Any, Any]":
        from paribus.records import Completion, Prompt

        prompts = [Prompt(id=row.prompt_id, language=row.language, messages=row.prompt) for row in shown]
        answers = [
            Completion(
                id=row.id, prompt_id=row.prompt_id, language=row.language, model="answer", text=getattr(row, name)
            )
            for row in shown
        ]
        return self._score(prompts, answers)

    def _score(self, prompts: "list[Prompt]", answers: "list[Completion]") -> "np.ndarray[Any, Any]":
        self.scored += len(answers)
        return self.arbiter.score(prompts, answers)

    def best(self, data: Path) -> "list[ItemRow]":
        """True quality of the best of n answers, as the reward model chooses; for n = 1 a random one."""
        offered = candidate_rows(data)
        if not offered or self.config.reads != "both":
            return []
        import numpy as np

        from paribus.evaluation.best_of_n import expected_best
        from paribus.evaluation.items import ItemRow

        rows = {answer.id: (prompt, answer) for prompt, answer in read_answers(data)}
        asked = [rows[row["completion_id"]] for row in offered]
        scores = self._single(asked)
        places: dict[str, list[int]] = {}
        for place, row in enumerate(offered):
            places.setdefault(row["prompt_id"], []).append(place)
        truth = np.array([row["quality"] for row in offered])
        found = []
        for name, own in places.items():
            facts = offered[own[0]]
            values = {
                f"best_of_{n}": expected_best(truth[own], scores[own], n) for n in self.config.sizes if n <= len(own)
            }
            values["best_of_n"] = expected_best(truth[own], scores[own], len(own))
            found += [
                ItemRow(measure, name, facts["cluster"], facts["language"], value, "")
                for measure, value in values.items()
            ]
        return found

    def _single(
        self, asked: "list[tuple[Prompt, Completion]]", critiques: "Sequence[Critique | None] | None" = None
    ) -> "np.ndarray[Any, Any]":
        """Scores of single answers, with the given critiques or the critic's own."""
        from paribus.feedback.critiques.joining import CritiqueIndex
        from paribus.feedback.critiques.reading import completions_to_read

        prompts, answers = [row[0] for row in asked], [row[1] for row in asked]
        found = critiques or [None] * len(asked)
        if critiques is None and self.critiques is not None:
            index = CritiqueIndex(read_critiques(self.critiques))
            found = [index.find(prompt, answer.id, answer.text) for prompt, answer in asked]
            if None in found:
                raise DataError(f"{found.count(None)} of {len(found)} answers have no critique; let the critic go on.")
        prompts, answers, _ = completions_to_read(
            prompts, answers, found, tokenizer=self.arbiter.tokenizer, most_tokens=self.config.most_tokens
        )
        return self._score(prompts, answers)

    def edited(self, data: Path) -> "list[ItemRow]":
        """Does the reward follow when one claim of a critique is turned around?"""
        if self.critiques is None or not candidate_rows(data) or self.config.reads not in EDITED:
            return []
        from paribus.feedback.critiques.edits import edits
        from paribus.feedback.critiques.graded import GRADED_VOICE
        from paribus.feedback.critiques.joining import CritiqueIndex

        index = CritiqueIndex(read_critiques(self.critiques))
        own = [row for row in read_answers(data) if row[1].id.startswith(TESTS)]
        # Evenly over all of them, since answers to one question stand side by side.
        tested = own[:: max(1, len(own) // self.config.edited)][: self.config.edited]
        changed = [
            ((prompt, answer), edit)
            for prompt, answer in tested
            for written in [index.find(prompt, answer.id, answer.text)]
            if written is not None
            for edit in edits(written, GRADED_VOICE)
        ]
        before = dict(zip((row[1].id for row in tested), self._single(tested), strict=True))
        after = self._single([row for row, _ in changed], [edit.critique for _, edit in changed])
        found = [
            {
                "item": f"{answer.id}/{edit.claim.aspect}/{edit.claim.target}",
                "kind": edit.claim.aspect,
                "cluster": str(prompt.meta["question_id"]),
                "language": prompt.language,
                "direction": edit.direction,
                "before": float(before[answer.id]),
                "after": float(value),
            }
            for ((prompt, answer), edit), value in zip(changed, after, strict=True)
        ]
        write_rows(self.out / EDITS, found)
        return [_followed(row) for row in found]


def _followed(row: "dict[str, Any]") -> "ItemRow":
    from paribus.evaluation.items import ItemRow

    value = float((row["after"] - row["before"]) * row["direction"] > 0)
    return ItemRow("edits_followed", row["item"], row["cluster"], row["language"], value, row["kind"])


class GainConfig(StageConfig):
    """The measure whose gain is taken."""

    measure: str


@stage(version="1")
def gain(config: GainConfig, given: Path, bare: Path, *, out: Path) -> None:
    """Item by item, what one examination has over another; measure ``critique_gain``."""
    from paribus.lab import write_items

    given_, bare_ = (
        {row["item"]: row for row in read_rows(folder / "items.jsonl") if row["measure"] == config.measure}
        for folder in (given, bare)
    )
    if given_.keys() != bare_.keys():
        raise DataError(f"{len(given_.keys() ^ bare_.keys())} items stand in one of the two examinations alone.")
    rows = (
        {**row, "measure": "critique_gain", "value": row["value"] - bare_[item]["value"]}
        for item, row in given_.items()
    )
    write_items(out, rows)
