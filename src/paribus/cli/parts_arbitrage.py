"""``paribus arbitrage``: several teachers answer, an arbiter scores, a router chooses what a student learns."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paribus.cli.parts_answers import Asked, answer
from paribus.cli.parts_engines import EngineChoice
from paribus.cli.parts_inputs import Language, Languages, Limit, OnBadRow, Reading, Split, chosen_languages
from paribus.cli.parts_options import BatchSize, Device, OutFolder, Prompts, Seed, Threads, prepare
from paribus.cli.parts_progress import Steps, print_table, say
from paribus.errors import ConfigError, DataError

if TYPE_CHECKING:
    from paribus.feedback.arbitrage import Practice
    from paribus.feedback.routing import Experts as ByLanguage
    from paribus.feedback.routing import TeacherPool
    from paribus.records import Completion, Prompt

Teachers = Annotated[
    list[str],
    typer.Option(
        "--teacher",
        metavar="NAME=ANSWERS",
        help="A teacher's completions file, or a model (folder or hub id) to be asked; repeat for each, two or more.",
    ),
]
Registry = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=CODES", help="Languages a teacher may answer, such as a=de,nl (repeatable; default: all)."
    ),
]
Experts = Annotated[
    list[str] | None,
    typer.Option("--expert", metavar="CODE=NAME", help="fixed: the teacher of a language; all=NAME for single."),
]


@dataclass(frozen=True)
class Teacher:
    """A name and where its answers come from: files of completions, or one model to be asked."""

    name: str
    sources: tuple[str, ...]

    @property
    def is_model(self) -> bool:
        """Whether it must be asked."""
        from paribus.records.rows import is_row_file

        return not any(Path(source).is_file() or is_row_file(source) for source in self.sources)

    @cached_property
    def identity(self) -> Any:
        """Its files by content, or the model by its weights."""
        from paribus.cli.parts_record import file_hash, model_identity

        if not self.is_model:
            return {source: file_hash(source) for source in self.sources}
        if len(self.sources) > 1:
            raise ConfigError(f"Teacher {self.name!r} has {len(self.sources)} models; give each teacher one.")
        return model_identity(self.sources[0])


def arbitrage(
    prompts: Prompts,
    teachers: Teachers,
    out: OutFolder,
    arbiter: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The reward model that scores answers.", show_default="none")
    ] = None,
    scores_in_file: Annotated[
        bool, typer.Option("--scores-in-file", help="Take the scores that the completions carry.")
    ] = False,
    router: Annotated[
        Literal["single", "random", "fixed", "reward", "learned"],
        typer.Option(help="Whose answer is taken: see below."),
    ] = "reward",
    dev: Annotated[
        str | None,
        typer.Option(metavar="PROMPTS", help="Other prompts, to find experts and to fit the learned router."),
    ] = None,
    registry: Registry = None,
    experts: Experts = None,
    loss: Annotated[
        Literal["kl", "ce"], typer.Option(help="learned: match the scores' softmax, or the best teacher.")
    ] = "kl",
    router_temperature: Annotated[float, typer.Option(help="learned: of that softmax, in units of the score.")] = 1.0,
    on_missing: Annotated[
        Literal["fail", "skip"], typer.Option(help="A prompt that one of its teachers has not answered.")
    ] = "fail",
    temperature: Annotated[float, typer.Option(min=0.0, help="Of teachers that are asked.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of their answers.")] = 256,
    seed: Seed = 0,
    batch_size: BatchSize = 64,
    languages: Languages = "",
    language: Language = None,
    split: Split = None,
    on_bad_row: OnBadRow = "fail",
    limit: Limit = None,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Route every prompt to a teacher and take its answer: training examples, preference pairs and a report.

    \b
    Example: paribus arbitrage prompts.jsonl --teacher a=a.jsonl --teacher b=b.jsonl --arbiter my-reward --out routed
             paribus arbitrage prompts.jsonl --teacher a=model-a --teacher b=model-b --registry b=hi,ar
                 --arbiter my-reward --router fixed --dev dev.jsonl --out routed

    \b
    Routers: reward   the best-scored answer (every teacher answers every prompt)
             fixed    the language's best teacher on --dev (or by --expert)
             single   the best teacher over all languages of --dev (or by --expert all=NAME)
             learned  a classifier of prompts fitted on --dev
             random   any teacher of the language

    Makes examples.jsonl (for `paribus sft`), pairs.jsonl (best against worst answer, for `paribus dpo`), pool.jsonl
    (all answers with scores), routing.json and run.json. With --dev, files of answers must cover its prompts as well.
    """
    prepare(threads, device)
    if (arbiter is None) != scores_in_file:
        raise ConfigError("Give either --arbiter MODEL to score the answers, or --scores-in-file, not both or neither.")
    job = Arbitrage(
        out=out,
        teachers=_teachers(teachers),
        arbiter=arbiter,
        router=router,
        registry={name: chosen_languages(codes) for name, codes in _named(registry, "--registry").items()},
        experts=_experts(_named(experts, "--expert")),
        loss=loss,
        router_temperature=router_temperature,
        on_missing=on_missing,
        asked=Asked(1, temperature, 1.0, max_tokens, seed),
        batch_size=batch_size,
        device=device,
        reading=Reading(out, languages, language, split, on_bad_row, limit),
    )
    job.run(prompts, dev)
    print(out)


@dataclass(frozen=True)
class Arbitrage:
    """One call of the command: the options, and the steps from prompts to examples."""

    out: Path
    teachers: tuple[Teacher, ...]
    arbiter: str | None
    router: Literal["single", "random", "fixed", "reward", "learned"]
    registry: Mapping[str, Sequence[str]]
    experts: "ByLanguage | None"
    loss: Literal["kl", "ce"]
    router_temperature: float
    on_missing: Literal["fail", "skip"]
    asked: Asked
    batch_size: int
    device: str
    reading: Reading

    def run(self, source: str, dev_source: str | None) -> None:
        """Answer, score, route, write, report."""
        from paribus.cli.parts_record import open_folder
        from paribus.feedback.arbitrage import Practice, check_router
        from paribus.feedback.pool_files import registry_of

        prompts = self.reading.prompts(source)
        dev = self.reading.prompts(dev_source) if dev_source else []
        check_router(self.router, prompts, dev, self.experts)
        run = open_folder(self.out, "arbitrage", self._options(), self._inputs(source, prompts, dev_source, dev))
        if run.complete:
            say(f"{self.out} is finished already; nothing to do.")
            print_report(json.loads((self.out / "routing.json").read_text(encoding="utf-8")))
            return
        names = [teacher.name for teacher in self.teachers]
        registry = registry_of(names, self.registry, sorted({row.language for row in [*prompts, *dev]}))
        run.begin()
        kept, pool = self._pool(prompts, registry, "pool")
        practice = Practice(*self._pool(dev, registry, "dev_pool")) if dev else Practice()
        report = self._route(kept, pool, practice, registry)
        results = {"prompts": len(prompts), "left_out": len(prompts) - len(kept), "pairs": self._pairs(kept, pool)}
        cost = {"generated_tokens": report["generated_tokens"], "scorings": report["scorings"]}
        run.finish(cost=cost, results=results)
        print_report(report)

    def _options(self) -> dict[str, Any]:
        chosen: dict[str, Any] = {
            "router": self.router,
            "registry": self.registry,
            "on_missing": self.on_missing,
            "seed": self.asked.seed,
        }
        if self.router == "learned":
            chosen |= {"loss": self.loss, "router_temperature": self.router_temperature}
        if any(teacher.is_model for teacher in self.teachers):
            chosen |= {"temperature": self.asked.temperature, "max_tokens": self.asked.max_tokens}
        return chosen | ({"experts": asdict(self.experts)} if self.experts else {})

    def _inputs(
        self, source: str, prompts: "Sequence[Prompt]", dev_source: str | None, dev: "Sequence[Prompt]"
    ) -> dict[str, Any]:
        from paribus.cli.parts_record import model_identity, rows_hash

        return {
            "data": {"source": source, "rows": len(prompts), "hash": rows_hash(prompts)},
            "dev": {"source": dev_source, "rows": len(dev), "hash": rows_hash(dev)},
            "teachers": {teacher.name: teacher.identity for teacher in self.teachers},
            "arbiter": model_identity(self.arbiter) if self.arbiter else "scores in the files",
        }

    def _pool(
        self, prompts: "Sequence[Prompt]", registry: "TeacherPool", name: str
    ) -> "tuple[list[Prompt], list[Completion]]":
        """The prompts that every teacher answered, and their scored answers, in ``<name>.jsonl``."""
        from paribus.feedback.pool_files import answered_by_all, answers_of

        rows = [
            row
            for teacher in self.teachers
            for row in answers_of(teacher.name, self._answers(teacher, prompts, registry, name), prompts, registry)
        ]
        kept = answered_by_all(prompts, rows, registry, self.on_missing)
        if len(kept) < len(prompts):
            say(f"{len(prompts) - len(kept)} prompts are left out: not every teacher answered them.")
        ids = {prompt.id for prompt in kept}
        return kept, self._scored([row for row in rows if row.prompt_id in ids], kept, name)

    def _answers(
        self, teacher: Teacher, prompts: "Sequence[Prompt]", registry: "TeacherPool", name: str
    ) -> "list[Completion]":
        if not teacher.is_model:
            return [row for source in teacher.sources for row in self.reading.completions(source)]
        able = [prompt for prompt in prompts if teacher.name in registry.teachers(prompt.language)]
        if not able:
            return []
        choice = EngineChoice(teacher.sources[0], teacher.name, device=self.device)
        place = self.out / "answers" / f"{name}-{teacher.name}.jsonl"
        return answer(choice, able, self.asked, place, source=name, batch_size=self.batch_size)

    def _scored(self, rows: "list[Completion]", prompts: "Sequence[Prompt]", name: str) -> "list[Completion]":
        from paribus.data.growing import GrowingFile
        from paribus.feedback.arbiters import RewardModelArbiter, score_of
        from paribus.feedback.pool_files import score_into, with_token_counts
        from paribus.records import Completion, write_records

        place = self.out / f"{name}.jsonl"
        if self.arbiter is None:
            for row in rows:
                score_of(row)
            write_records(place, rows)
            return rows
        judge = RewardModelArbiter.load(self.arbiter, device=self.device)
        rows, counted = with_token_counts(rows, lambda text: len(judge.tokenizer(text)["input_ids"]))
        if counted:
            say(f"{counted} answers carry no token count; the arbiter's tokenizer counted them.")
        file = GrowingFile(place, Completion, lambda row: row.id)
        with Steps(f"scores of {judge.identity}", len(rows), "answer") as steps:
            by_id = {prompt.id: prompt for prompt in prompts}
            return score_into(file, judge, by_id, rows, size=self.batch_size, progress=steps)

    def _route(
        self, prompts: "Sequence[Prompt]", rows: "Sequence[Completion]", practice: "Practice", registry: "TeacherPool"
    ) -> dict[str, Any]:
        """Choose, and write the examples and the report."""
        from paribus.feedback.arbitrage import arbitrate
        from paribus.feedback.routing import as_examples
        from paribus.records import write_records

        found = arbitrate(
            self.router,
            prompts,
            rows,
            registry,
            practice=practice,
            experts=self.experts,
            loss=self.loss,
            temperature=self.router_temperature,
            seed=self.asked.seed,
        )
        write_records(self.out / "examples.jsonl", as_examples(prompts, found.chosen))
        report = found.report.as_dict() | {
            "teachers": [teacher.name for teacher in self.teachers],
            "experts": asdict(found.experts) if found.experts else None,
        }
        (self.out / "routing.json").write_text(
            json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        return report

    def _pairs(self, prompts: "Sequence[Prompt]", rows: "Sequence[Completion]") -> dict[str, Any]:
        from paribus.feedback.pairs import best_worst_pairs
        from paribus.records import write_records

        pairs, statistics = best_worst_pairs(prompts, rows, seed=self.asked.seed)
        write_records(self.out / "pairs.jsonl", pairs)
        say(
            f"{statistics.pairs} preference pairs; none from {statistics.dropped_ties} prompts with equal answers or "
            f"scores, {statistics.dropped_single} with one answer, {statistics.dropped_empty} whose best is empty."
        )
        return asdict(statistics)


def print_report(report: Mapping[str, Any]) -> None:
    """Shares of teachers and agreement with the reward router, by language."""
    from paribus.report.formatting import show

    names = report["teachers"]
    rows = [
        [
            code,
            *(show(row.get(name, 0.0), "share") for name in names),
            show(report["agreement_by_language"][code], "share"),
        ]
        for code, row in report["shares"].items()
    ]
    title = f"Router {report['router']}: {report['prompts']} prompts, {report['generated_tokens']:,} generated tokens"
    print_table(title, ["language", *names, "best-scored"], rows)


def _teachers(given: Sequence[str]) -> tuple[Teacher, ...]:
    sources: dict[str, list[str]] = {}
    for text in given:
        name, mark, source = text.partition("=")
        if not (mark and name.strip() and source.strip()):
            raise ConfigError(f"--teacher is {text!r}; write NAME=FILE.jsonl or NAME=MODEL.")
        sources.setdefault(name.strip(), []).append(source.strip())
    if len(sources) < 2:
        raise ConfigError(f"There is one teacher, {next(iter(sources))!r}; arbitrage chooses among two or more.")
    return tuple(Teacher(name, tuple(found)) for name, found in sorted(sources.items()))


def _named(given: Sequence[str] | None, option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given or ():
        name, mark, value = text.partition("=")
        if not mark or name.strip() in found:
            problem = "is there twice" if mark else "lacks a '='"
            raise DataError(f"{option} {text!r} {problem}; write it once, as LEFT=RIGHT.")
        found[name.strip()] = value.strip()
    return found


def _experts(given: Mapping[str, str]) -> "ByLanguage | None":
    from paribus.feedback.routing import Experts as ByLanguage

    if not given:
        return None
    overall = given.get("all")
    return ByLanguage({code: name for code, name in given.items() if code != "all"}, overall)
