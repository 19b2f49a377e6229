"""The user's rows, read with one set of options, and what had to be left out said aloud."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paribus.cli.parts_progress import say
from paribus.errors import DataError

if TYPE_CHECKING:
    from paribus.data.lengths import Shortened
    from paribus.records import Completion, Document, Example, PreferencePair, Prompt, ReadReport, Verdict

Languages = Annotated[
    str, typer.Option(metavar="CODES", help="Use rows in these languages only, such as de,sw.", show_default="all")
]
Language = Annotated[
    str | None, typer.Option(metavar="CODE", help="The language of rows that do not say theirs.", show_default="none")
]
Split = Annotated[
    str | None, typer.Option(help="Split of a data set with several.", show_default="train, or the only one")
]
OnBadRow = Annotated[
    Literal["fail", "skip"], typer.Option(help="A row that cannot be used: stop, or set it aside and count it.")
]
Limit = Annotated[int | None, typer.Option(metavar="N", min=1, help="Use the first N rows only.", show_default="all")]


@dataclass(frozen=True)
class Reading:
    """The reading options of a command; rows set aside go beside ``out``."""

    out: Path
    languages: str = ""
    language: str | None = None
    split: str | None = None
    on_bad_row: Literal["fail", "skip"] = "fail"
    limit: int | None = None

    def examples(self, source: str) -> "list[Example]":
        """Conversations to learn. Errors as ``paribus.data.sources.load_examples``, here and below."""
        from paribus.data.sources import load_examples

        return self._read(load_examples, source, self._options(source))

    def documents(self, source: str, domain: str, name: str) -> "list[Document]":
        """Plain texts, all of one domain; ``name`` is that of rows set aside, since files may be called alike."""
        from paribus.data.documents import load_documents

        options = self._options(source) | {"bad_rows": self._bad_rows(name)}
        rows = self._read(lambda place, **given: load_documents(place, domain=domain, **given), source, options)
        return [row.model_copy(update={"domain": domain}) for row in rows]

    def pairs(self, source: str) -> "list[PreferencePair]":
        """Preference pairs."""
        from paribus.data.sources import load_pairs

        return self._read(load_pairs, source, self._options(source))

    def reward_bench(self, source: str) -> "list[PreferencePair]":
        """RewardBench's pairs, or those of its translations in the languages asked for."""
        from paribus.evaluation.reward_bench_data import load_reward_bench

        options = {
            "split": self.split,
            "languages": chosen_languages(self.languages),
            "on_bad_row": self.on_bad_row,
            "bad_rows": self._bad_rows(source),
        }
        return self._read(load_reward_bench, source, options)[: self.limit]

    def prompts(self, source: str) -> "list[Prompt]":
        """Prompts that wait for an answer."""
        from paribus.data.sources import load_prompts

        return self._read(load_prompts, source, self._options(source))

    def completions(self, source: str) -> "list[Completion]":
        """Models' answers, all of them: which prompts count is said by the prompts."""
        from paribus.data.sources import load_completions

        options = self._options(source) | {"languages": None, "limit": None}
        return self._read(load_completions, source, options)

    def verdicts(self, source: str) -> "list[Verdict]":
        """A judge's verdicts, in the languages asked for."""
        from paribus.records import Verdict, read_records

        wanted = chosen_languages(self.languages)
        options = {"on_bad_row": self.on_bad_row, "bad_rows": self._bad_rows(source)}
        rows = self._read(lambda path, **given: list(read_records(path, Verdict, **given)), source, options)
        kept = [row for row in rows if not wanted or row.language in wanted]
        if not kept:
            raise DataError(f"{source} has no verdicts{f' in {self.languages}' if wanted else ''}; check the file.")
        return kept

    def _options(self, source: str) -> dict[str, Any]:
        return {
            "languages": chosen_languages(self.languages) or None,
            "language": self.language,
            "split": self.split,
            "on_bad_row": self.on_bad_row,
            "bad_rows": self._bad_rows(source),
            "limit": self.limit,
        }

    def _bad_rows(self, source: str) -> Path:
        return self.out.with_name(f"{self.out.name}.{Path(source).name}.bad.jsonl")

    def _read(self, load: Callable[..., list[Any]], source: str, options: Mapping[str, Any]) -> list[Any]:
        from paribus.records import ReadReport

        report = ReadReport()
        rows = load(source, report=report, **options)
        tell_skipped(source, report, options["bad_rows"])
        return rows


def chosen_languages(text: str) -> tuple[str, ...]:
    """``"de, sw"`` as codes of the registry; ``ConfigError`` names the nearest ones for an unknown code."""
    from paribus.languages import get

    return tuple(get(word.strip()).code for word in text.split(",") if word.strip())


def one_answer_each(rows: "Sequence[Completion]", source: str) -> "dict[str, Completion]":
    """A model's answers by prompt id. Raises ``DataError`` for two models, or two answers to a prompt."""
    models = sorted({row.model for row in rows})
    if len(models) != 1:
        raise DataError(
            f"{source} holds answers of {len(models)} models ({', '.join(models[:5])}); give a file of one."
        )
    found = {row.prompt_id: row for row in rows}
    if len(found) < len(rows):
        raise DataError(f"{source} has {len(rows)} answers to {len(found)} prompts; give one answer a prompt.")
    return found


def tell_shortened(report: "Shortened") -> None:
    """Say how many rows were cut or left out for their length."""
    if report.cut or report.skipped:
        say(
            f"Of {report.rows:,} rows {report.cut:,} were cut and {report.skipped:,} left out for their length "
            f"(the longest has {report.longest:,} tokens)."
        )


def tell_skipped(source: str, report: "ReadReport", place: Path) -> None:
    """Say how many bad rows were set aside, where, and why most of them."""
    if report.skipped:
        reason, count = report.reasons.most_common(1)[0]
        say(f"{source}: {report.skipped} bad rows set aside in {place} ({count} of them: expected {reason}).")
