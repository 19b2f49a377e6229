"""Run a set of prompts through an engine, grade every answer, and hand back item rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from paribus.errors import DataError, EngineError
from paribus.evaluation.items import ItemRow
from paribus.evaluation.prompts import cluster_of
from paribus.inference.engine import Engine, GenerationRequest, Reply
from paribus.records import Completion, Prompt

# The kinds of error the embedded world's checker tells apart; another checker brings its own.
ERROR_KINDS = ("wrong_fact", "wrong_language", "format", "refusal", "repetition", "truncated")


class Checked(Protocol):
    """What a checker says of an answer: right or wrong, the kind of error, and partial credit in [0, 1]."""

    @property
    def correct(self) -> bool: ...

    @property
    def error(self) -> str | None: ...

    @property
    def score(self) -> float: ...


Checker = Callable[[Prompt, str], Checked]
TextMeasure = Callable[[Prompt, str], float]


@dataclass(frozen=True)
class SuiteResult:
    """Item rows, the answers they grade (in prompt order), and how many requests the engine could not answer."""

    rows: tuple[ItemRow, ...]
    completions: tuple[Completion, ...]
    failed: int


def run_suite(
    engine: Engine,
    prompts: Sequence[Prompt],
    checker: Checker | None,
    *,
    max_tokens: int = 64,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    error_kinds: Sequence[str] = ERROR_KINDS,
    measures: Mapping[str, TextMeasure] | None = None,
    on_engine_error: Literal["fail", "wrong"] = "fail",
    cluster: Callable[[Prompt], str] = cluster_of,
) -> SuiteResult:
    """Answer every prompt once and grade it.

    Per prompt there is one row for each of these measures: ``exact_match`` (1 right, 0 wrong), ``score`` (the checker's
    partial credit), every kind in ``error_kinds`` (1 where the checker found it, so that means are shares of all
    prompts), ``length_limit`` (1 where the answer ran into ``max_tokens``), ``length_characters``, ``length_tokens``,
    and every entry of ``measures`` (name to function of prompt and text). ``group`` is the prompt's task.

    Args:
        checker: grades an answer; None for open-ended prompts, of which only the lengths and ``measures`` are rows.
        on_engine_error: ``"fail"`` raises ``EngineError`` on the first request that failed; ``"wrong"`` grades it as a
            wrong empty answer, adds ``engine_error`` rows for all prompts and counts it in ``failed``.

    Raises:
        DataError: no prompts, two prompts of one id and language, or an error kind that is not in ``error_kinds``.
        EngineError: a failed request, or replies that do not match the requests.
    """
    _check_prompts(prompts)
    requests = [
        GenerationRequest(
            id=f"{prompt.id}/{prompt.language}",
            messages=prompt.messages,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
        )
        for prompt in prompts
    ]
    replies = engine.generate(requests)
    _check_replies(requests, replies, engine.name, on_engine_error)
    completions = tuple(_completion(engine.name, p, r) for p, r in zip(prompts, replies, strict=True))
    grader = _Grader(checker, tuple(error_kinds), dict(measures or {}), on_engine_error == "wrong", cluster)
    rows = [row for p, c in zip(prompts, completions, strict=True) for row in grader.rows(p, c)]
    return SuiteResult(tuple(rows), completions, sum(c.finish == "error" for c in completions))


def grade_completions(
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    checker: Checker,
    *,
    error_kinds: Sequence[str] = ERROR_KINDS,
    measures: Mapping[str, TextMeasure] | None = None,
    cluster: Callable[[Prompt], str] = cluster_of,
) -> list[ItemRow]:
    """The same rows for answers that exist already, one per prompt, matched by prompt id and language."""
    _check_prompts(prompts)
    answers = {(c.prompt_id, c.language): c for c in completions}
    if len(answers) != len(completions):
        raise DataError(f"The {len(completions)} completions hold several for one prompt; grade one answer per prompt.")
    grader = _Grader(checker, tuple(error_kinds), dict(measures or {}), False, cluster)
    rows = []
    for prompt in prompts:
        if (prompt.id, prompt.language) not in answers:
            raise DataError(
                f"The prompt {prompt.id!r} ({prompt.language}) has no completion; answer it or leave it out."
            )
        rows += grader.rows(prompt, answers[prompt.id, prompt.language])
    return rows


@dataclass(frozen=True)
class _Grader:
    checker: Checker | None
    error_kinds: tuple[str, ...]
    measures: Mapping[str, TextMeasure]
    with_engine_errors: bool
    cluster: Callable[[Prompt], str]

    def rows(self, prompt: Prompt, completion: Completion) -> list[ItemRow]:
        """All rows of one prompt."""
        item, cluster = f"{prompt.id}/{prompt.language}", self.cluster(prompt)
        values = self._values(prompt, completion)
        return [ItemRow(name, item, cluster, prompt.language, value, prompt.task) for name, value in values.items()]

    def _values(self, prompt: Prompt, completion: Completion) -> dict[str, float]:
        values = self._grades(prompt, completion)
        if self.with_engine_errors:
            values["engine_error"] = float(completion.finish == "error")
        values["length_limit"] = float(completion.finish == "length")
        values["length_characters"] = float(len(completion.text))
        if completion.tokens is not None:
            values["length_tokens"] = float(completion.tokens)
        for name, measure in self.measures.items():
            values[name] = float(measure(prompt, completion.text))
        return values

    def _grades(self, prompt: Prompt, completion: Completion) -> dict[str, float]:
        if self.checker is None:
            return {}
        if completion.finish == "error":
            return {"exact_match": 0.0, "score": 0.0, **dict.fromkeys(self.error_kinds, 0.0)}
        found = self.checker(prompt, completion.text)
        if found.error is not None and found.error not in self.error_kinds:
            raise DataError(
                f"The checker found the error {found.error!r} on {prompt.id!r}, which is not among error_kinds "
                f"({', '.join(self.error_kinds)}); name every kind it can find."
            )
        kinds = {kind: float(found.error == kind) for kind in self.error_kinds}
        return {"exact_match": float(found.correct), "score": float(found.score), **kinds}


def _check_prompts(prompts: Sequence[Prompt]) -> None:
    if not prompts:
        raise DataError("The suite has no prompts; give at least one.")
    seen: set[tuple[str, str]] = set()
    for prompt in prompts:
        if (prompt.id, prompt.language) in seen:
            raise DataError(f"The prompt {prompt.id!r} ({prompt.language}) is in the suite twice; ids must be unique.")
        seen.add((prompt.id, prompt.language))


def _check_replies(
    requests: Sequence[GenerationRequest], replies: Sequence[Reply], engine: str, on_engine_error: str
) -> None:
    if [r.id for r in requests] != [r.request_id for r in replies]:
        raise EngineError(
            f"The engine {engine!r} gave {len(replies)} replies to {len(requests)} requests, or mixed up their order; "
            "an engine must answer every request, in order."
        )
    failed = [reply for reply in replies if reply.finish == "error"]
    if failed and on_engine_error == "fail":
        raise EngineError(
            f"The engine {engine!r} failed on {len(failed)} of {len(replies)} prompts, the first "
            f"{failed[0].request_id!r} ({failed[0].error}); run it again, or choose on_engine_error='wrong' to count "
            "them as wrong."
        )


def _completion(engine: str, prompt: Prompt, reply: Reply) -> Completion:
    return Completion(
        id=f"{engine}/{prompt.id}/{prompt.language}",
        prompt_id=prompt.id,
        language=prompt.language,
        model=engine,
        text="" if reply.finish == "error" else reply.text,
        finish=reply.finish,
        tokens=reply.tokens,
        meta={"error": reply.error} if reply.error else {},
    )
