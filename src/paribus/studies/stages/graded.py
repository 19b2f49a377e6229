"""Stages that make or fetch preference pairs whose answers a critic can be asked about one by one.

An artifact of either holds ``reader.jsonl`` and ``tests.jsonl`` (pairs), ``prompts.jsonl`` and ``answers.jsonl`` (what
critics read: nothing in them says which answer is preferred), and, of the embedded world, ``truth.jsonl``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from paribus.lab import stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.data import given_file
from paribus.studies.stages.rows import read_rows, write_rows

if TYPE_CHECKING:
    from paribus.records import Completion, PreferencePair, Prompt
    from paribus.world.graded import GradedAnswer, GradedWorld, Request

WORLD = "world"
"""Pairs of the embedded world, whose truth is known."""

READER, TESTS, TUNING = "reader", "tests", "tuning"
"""Pairs to train reward models on, to test them on, and to tune a base on."""


class Graded(StageConfig):
    """Requests, answers and pairs of the embedded world.

    Args:
        parts: questions in a request.
        corpus: answered requests of the corpus that bases are trained on, each with a true critique beside it.
        pairs, tuning: training pairs for reward models, and others for the tuned base.
        practice: answers that a critic is trained on.
        tests: test pairs.
        judged: test requests with ``candidates`` answers each, from which reward models choose the best.
        cue: a surface feature of the preferred answer in ``cue_share`` of the training pairs, and in half of the tests.
        label_noise: share of training labels that are exchanged.
    """

    languages: tuple[str, ...] = ("de", "en", "ru", "tr")
    parts: Literal[2, 3] = 2
    corpus: int = Field(default=3000, gt=0)
    pairs: int = Field(default=1600, gt=0)
    tuning: int = Field(default=400, gt=0)
    practice: int = Field(default=1500, gt=0)
    tests: int = Field(default=400, gt=0)
    judged: int = Field(default=100, gt=0)
    candidates: int = Field(default=8, gt=1)
    cue: Literal["long", "booster"] = "long"
    cue_share: float = Field(default=0.65, ge=0, le=1)
    label_noise: float = Field(default=0.1, ge=0, lt=0.5)


@stage(version="1")
def graded_data(config: Graded, *, out: Path, seed: int) -> None:
    """Draw everything from the graded world; the parts of the training split share no request."""
    import random

    from paribus.records import write_records

    maker = _Maker(config, seed, random.Random(f"graded data {seed}"))
    write_records(out / "train.jsonl", maker.corpus())
    for name, noise, share in ((READER, config.label_noise, config.cue_share), (TUNING, config.label_noise, 0.5)):
        write_records(out / f"{name}.jsonl", maker.pairs(name, noise, share))
    write_records(out / f"{TESTS}.jsonl", maker.pairs(TESTS, 0.0, 0.5))
    maker.candidates()
    write_records(out / "practice.jsonl", maker.practice())
    write_records(out / "prompts.jsonl", (request.to_prompt() for request in maker.asked.values()))
    write_records(out / "answers.jsonl", maker.answers)
    write_rows(out / "truth.jsonl", maker.truth)
    write_rows(out / "candidates.jsonl", maker.offered)


class _Maker:
    """Draws requests part by part and keeps what critics and examinations need of every answer."""

    def __init__(self, config: Graded, seed: int, rng: Any) -> None:
        self.config, self.seed, self.rng = config, seed, rng
        self.asked: dict[str, Request] = {}
        self.answers: list[Completion] = []
        self.truth: list[dict[str, Any]] = []
        self.offered: list[dict[str, Any]] = []
        counts = {"corpus": config.corpus, READER: config.pairs, TUNING: config.tuning, "practice": config.practice}
        self.world, drawn = self._drawn("train", sum(counts.values()))
        self.parts = {name: [next(drawn) for _ in range(count)] for name, count in counts.items()}
        self.test_world, tested = self._drawn("test", config.tests + config.judged)
        self.parts |= {TESTS: [next(tested) for _ in range(config.tests)], "judged": list(tested)}

    def _drawn(self, split: str, count: int) -> "tuple[GradedWorld, Iterator[Request]]":
        """The world and its first ``count`` requests of a split, all languages alike."""
        from paribus.world.graded import GradedConfig, GradedWorld

        languages = self.config.languages
        per_cell = -(-count // len(languages))
        world = GradedWorld(
            GradedConfig(languages=languages, parts=self.config.parts, seed=self.seed, per_cell=per_cell)
        )
        return world, iter(world.requests(split)[:count])

    def corpus(self) -> "Iterator[Any]":
        """Answers without errors in every style; and critiques of answers with errors, all of whose claims hold."""
        from paribus.feedback.critiques.examples import critic_examples
        from paribus.records import Completion, Example, Message
        from paribus.studies.stages.critiques import rules_critic
        from paribus.world.graded import Plan, draw_plan, write_answer

        critic, rows = rules_critic(1.0, 0.0, self.seed), []
        for number, request in enumerate(self.parts["corpus"]):
            prompt, plan = request.to_prompt(), draw_plan(self.rng)
            right = Plan(frozenset(), plan.assertiveness, plan.complexity, plan.wordiness)
            text = write_answer(self.world, request, right, self.rng).text
            messages = (*prompt.messages, Message(role="assistant", content=text))
            yield Example(id=f"{prompt.id}/answer", language=prompt.language, messages=messages, source="graded")
            text = write_answer(self.world, request, plan, self.rng).text
            rows.append(
                (
                    prompt,
                    Completion(
                        id=f"c{number}", prompt_id=prompt.id, language=prompt.language, model="drawn", text=text
                    ),
                )
            )
        prompts, answers = [row[0] for row in rows], [row[1] for row in rows]
        yield from critic_examples(prompts, answers, critic.critique(prompts, answers))

    def pairs(self, name: str, noise: float, share: float) -> "Iterator[PreferencePair]":
        """A pair on each request of a part. Which of its two answers is listed first says nothing."""
        from paribus.records import PreferencePair
        from paribus.world.graded import draw_pair

        world, split = (self.test_world, "test") if name == TESTS else (self.world, "train")
        for number, request in enumerate(self.parts[name]):
            sides = draw_pair(world, request, self.rng, self.config.cue, share, noise, wrong_from=split)
            ids = [f"{name}/{number}/{letter}" for letter in self.rng.sample("ab", 2)]
            if name != TUNING:
                for completion_id, answer in sorted(zip(ids, sides, strict=True), key=lambda row: row[0]):
                    self._keep(request, answer, completion_id)
            yield PreferencePair(
                id=f"{name}/{number}",
                prompt_id=request.id,
                language=request.language,
                prompt=request.to_prompt().messages,
                chosen=sides[0].text,
                rejected=sides[1].text,
                source="graded",
                meta={
                    "chosen_id": ids[0],
                    "rejected_id": ids[1],
                    "question_id": request.cluster,
                    "group": decided_by(*sides),
                    "cue": "with" if _carries(sides[0], self.config.cue) else "against",
                },
            )

    def candidates(self) -> None:
        """Several answers to each judged request."""
        from paribus.world.graded import draw_plan, write_answer

        for number, request in enumerate(self.parts["judged"]):
            for place in range(self.config.candidates):
                answer = write_answer(self.test_world, request, draw_plan(self.rng), self.rng, wrong_from="test")
                name = f"judged/{number}/{place}"
                self._keep(request, answer, name)
                row = {"completion_id": name, "prompt_id": request.id, "cluster": request.cluster}
                self.offered.append(row | {"language": request.language, "quality": _quality(answer)})

    def practice(self) -> "Iterator[Completion]":
        """Answers for a critic's training; their prompts are kept with all others."""
        from paribus.world.graded import draw_plan, write_answer

        for number, request in enumerate(self.parts["practice"]):
            answer = write_answer(self.world, request, draw_plan(self.rng), self.rng)
            self.asked[request.id] = request
            yield _bare(answer, f"practice/{number}")

    def _keep(self, request: "Request", answer: "GradedAnswer", name: str) -> None:
        self.asked[request.id] = request
        self.answers.append(_bare(answer, name))
        row = {"completion_id": name, "errors": sorted(answer.plan.errors), "parts_right": list(answer.parts_right)}
        self.truth.append(row | {"quality": _quality(answer), "wordiness": answer.plan.wordiness})


def _bare(answer: "GradedAnswer", name: str) -> "Completion":
    """The answer as critics see it: without its plan."""
    return answer.to_completion(name, "drawn").model_copy(update={"meta": {}})


def _quality(answer: "GradedAnswer") -> float:
    from paribus.world.graded import quality

    return quality(answer)


def _carries(answer: "GradedAnswer", cue: str) -> bool:
    return answer.plan.wordiness > 0 if cue == "long" else answer.plan.assertiveness > 0


def decided_by(a: "GradedAnswer", b: "GradedAnswer") -> str:
    """The first aspect in which two answers differ in quality: correctness, instruction, style."""
    from paribus.world.graded import ASPECTS

    if sum(a.parts_right) != sum(b.parts_right):
        return "correctness"
    # Who declines keeps no instruction at all.
    broken = [
        3 if "refusal" in answer.plan.errors else len(answer.plan.errors & set(ASPECTS["instruction"]))
        for answer in (a, b)
    ]
    return "instruction" if broken[0] != broken[1] else "style"


TestsForm = Literal["pairs", "rewardbench", "pandalm"]
"""What test pairs from elsewhere are: plain pairs, RewardBench, or PandaLM's ratings (ties left out)."""


class GivenConfig(StageConfig):
    """Pairs from elsewhere: hub ids or directories, or "file" for the stage's input. 0 = all there are."""

    pairs: str
    tests: str
    form: TestsForm = "pairs"
    most_pairs: int = Field(default=0, ge=0)
    most_tests: int = Field(default=0, ge=0)


@stage(version="1")
def given_pairs(config: GivenConfig, files: dict[str, Path], *, out: Path, seed: int) -> None:
    """Read pairs and write them as ``graded_data`` does, without a truth; which answer is named first is drawn."""
    import random

    from paribus.records import write_records

    dice = random.Random(f"given pairs {seed}")
    prompts: list[Prompt] = []
    answers: list[Completion] = []
    for name, source, most in ((READER, config.pairs, config.most_pairs), (TESTS, config.tests, config.most_tests)):
        place = given_file(files[name]) if source == "file" else source
        rows = _given(place, "pairs" if name == READER else config.form)
        dice.shuffle(rows)
        named = [_named(name, number, row, dice) for number, row in enumerate(rows[: most or len(rows)])]
        prompts += [prompt for _, prompt, _ in named]
        answers += [answer for _, _, own in named for answer in own]
        write_records(out / f"{name}.jsonl", (pair for pair, _, _ in named))
    write_records(out / "prompts.jsonl", prompts)
    write_records(out / "answers.jsonl", answers)


def _given(source: str | Path, form: TestsForm) -> "list[PreferencePair]":
    if form == "rewardbench":
        from paribus.evaluation.reward_bench_data import load_reward_bench

        return load_reward_bench(source)
    if form == "pandalm":
        from paribus.evaluation.pandalm import decided_pairs, load_pandalm

        return decided_pairs(load_pandalm(source))
    from paribus.data.sources import load_pairs

    return load_pairs(source, language="en")


def _named(
    part: str, number: int, row: "PreferencePair", dice: Any
) -> "tuple[PreferencePair, Prompt, list[Completion]]":
    """A pair under a name of its own, its prompt, and its answers in the order of names that say nothing."""
    from paribus.evaluation.reward_models import cluster_of_pair
    from paribus.records import Completion, Prompt

    name = f"{part}/{number}"
    chosen, rejected = (f"{name}/{letter}" for letter in dice.sample("ab", 2))
    facts = {"chosen_id": chosen, "rejected_id": rejected, "question_id": cluster_of_pair(row)}
    facts["group"] = str(row.meta.get("subset", row.source))
    prompt = Prompt(id=name, language=row.language, messages=row.prompt)
    answers = [
        Completion(id=key, prompt_id=name, language=row.language, model="given", text=text)
        for key, text in sorted({chosen: row.chosen, rejected: row.rejected}.items())
    ]
    meta = {**row.meta, **facts}
    return row.model_copy(update={"id": name, "prompt_id": name, "meta": meta}), prompt, answers


class PartConfig(StageConfig):
    """A part of the world's pairs."""

    name: Literal["reader", "tests", "tuning"]


@stage(version="1")
def part_of(config: PartConfig, data: Path, *, out: Path) -> None:
    """One part of the pairs under the name that training stages read, ``pairs.jsonl``."""
    (out / "pairs.jsonl").write_bytes((data / f"{config.name}.jsonl").read_bytes())


def read_pairs(folder: Path, name: str) -> "list[PreferencePair]":
    """A part of the pairs of ``graded_data`` or ``given_pairs``."""
    from paribus.records import PreferencePair, read_records

    return list(read_records(folder / f"{name}.jsonl", PreferencePair))


def read_answers(folder: Path, file: str = "answers.jsonl") -> "list[tuple[Prompt, Completion]]":
    """All answers with their prompts."""
    from paribus.records import Completion, Prompt, read_records

    prompts = {row.id: row for row in read_records(folder / "prompts.jsonl", Prompt)}
    return [(prompts[row.prompt_id], row) for row in read_records(folder / file, Completion)]


def candidate_rows(folder: Path) -> list[dict[str, Any]]:
    """Answers to choose the best from, with their true quality; none where the truth is not known."""
    path = folder / "candidates.jsonl"
    return read_rows(path) if path.exists() else []


def truth_of(folder: Path) -> dict[str, dict[str, Any]]:
    """What is true of every answer, by its id; empty where it is not known."""
    path = folder / "truth.jsonl"
    return {row["completion_id"]: row for row in read_rows(path)} if path.exists() else {}
