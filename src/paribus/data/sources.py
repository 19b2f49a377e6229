"""Load the user's own data: JSONL, Parquet, a directory in Hugging Face form, or a data set of the hub.

The form of the rows is recognised from their columns (``forms.py`` lists them); bad rows are told by file, row, field,
value and what was expected. Rows without an id are named by file and row number, so names stay while files do.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TypedDict, Unpack

from paribus.data.forms import Converter, R, language_code
from paribus.data.tables import Row, Table, config_names, is_local, open_table
from paribus.errors import ConfigError, DataError
from paribus.records import Completion, Example, PreferencePair, Prompt, ReadReport
from paribus.records.reading import OnBadRow, bad_rows_beside, survive


class LoadOptions(TypedDict, total=False):
    """What every loader takes.

    form        name of the rows' form, where their columns fit several (``forms.py``)
    split       the split to read (default: ``train``, or the only one)
    config      configuration of a hub data set, or of a directory that declares some
    language    code of the language of rows that carry none; without it such rows are bad
    languages   keep rows in these only; of a source with one configuration a language, read these configurations
    on_bad_row  ``fail`` (default) raises at the first bad row, ``skip`` counts it and sets it aside
    bad_rows    file for rows set aside (default: beside the source, ``<name>.bad.jsonl``)
    limit       read no more than this many good rows
    report      a ``ReadReport`` that is filled with counts
    """

    form: str | None
    split: str | None
    config: str | None
    language: str | None
    languages: Collection[str] | None
    on_bad_row: OnBadRow
    bad_rows: str | Path | None
    limit: int | None
    report: ReadReport | None


def load_examples(source: str | Path, **options: Unpack[LoadOptions]) -> list[Example]:
    """Conversations to learn: messages, prompt and completion, or inputs and targets.

    Raises ``DataError`` for a source or split that is not there, columns of no known form, a bad row (on ``fail``), and
    when no row is left; ``ConfigError`` for an unknown language code.
    """
    return load_records(source, Example, options)


def load_prompts(source: str | Path, **options: Unpack[LoadOptions]) -> list[Prompt]:
    """Conversations that wait for an answer; an answer in the data is left off. Errors as ``load_examples``.

    Rows with a ``question_id`` and no id (prompt sets with the same questions in many languages) are named
    ``<question_id>/<language>``.
    """
    return load_records(source, Prompt, options)


def load_pairs(source: str | Path, **options: Unpack[LoadOptions]) -> list[PreferencePair]:
    """Preference pairs, with the prompt in a column of its own or at the beginning of both sides.

    Pairs without a margin take ``score_chosen - score_rejected`` where these are columns. Errors as ``load_examples``.
    """
    return load_records(source, PreferencePair, options)


def load_completions(source: str | Path, **options: Unpack[LoadOptions]) -> list[Completion]:
    """Models' answers: prompt_id, model, text, and a score where there is one. Errors as ``load_examples``."""
    return load_records(source, Completion, options)


def load_records(
    source: str | Path, kind: type[R], options: LoadOptions, defaults: Mapping[str, str] | None = None
) -> list[R]:
    """Rows of any kind that ``forms.py`` knows; ``defaults`` fill fields that a row has no column for."""
    unknown = sorted(set(options) - set(LoadOptions.__annotations__))
    if unknown:
        raise TypeError(f"There is no option {unknown[0]!r}; the options are {', '.join(LoadOptions.__annotations__)}.")
    converter = Converter(
        kind, options.get("language"), options.get("languages"), options.get("form"), dict(defaults or {})
    )
    report = options.get("report") or ReadReport()
    records = list(islice(_records(source, converter, options, report), options.get("limit")))
    if not records:
        raise DataError(f"{source} gives no {kind.__name__} rows: {_why_none(converter, report)}.")
    return records


def _why_none(converter: Converter[Any], report: ReadReport) -> str:
    if converter.refused and not converter.recognised:
        return converter.refused
    if report.skipped:
        reason, count = report.reasons.most_common(1)[0]
        return f"{report.skipped} are bad, {count} of them because {reason} was expected"
    return "it is empty" if converter.languages is None else f"none is in {', '.join(sorted(converter.languages))}"


def _records(source: str | Path, converter: Converter[R], options: LoadOptions, report: ReadReport) -> Iterator[R]:
    bad_path = _bad_path(source, options)
    tables = _tables(source, converter, options)
    _, first = tables[0]

    @cache
    def shown(file: str) -> str:
        return first.relative(file)

    return survive(
        _rows(tables, converter),
        lambda place, row: converter(f"{shown(place[0])}:{place[1]}", row),
        on_bad_row=options.get("on_bad_row", "fail"),
        bad_path=bad_path,
        report=report,
    )


def _rows(tables: list[tuple[str | None, Table]], converter: Converter[Any]) -> Iterator[Row]:
    for language, table in tables:
        converter.language = language
        yield from table.rows


def _tables(source: str | Path, converter: Converter[Any], options: LoadOptions) -> list[tuple[str | None, Table]]:
    """What to read, each with the language of rows that carry none."""
    split, config = options.get("split"), options.get("config")
    if config is None and converter.languages is not None:
        by_language = {language_code(name): name for name in config_names(source)}
        wanted = sorted(converter.languages)
        if any(code in by_language for code in wanted):
            missing = [code for code in wanted if code not in by_language]
            if missing:
                there = ", ".join(sorted(code for code in by_language if code))
                raise DataError(f"{source} has no configuration for {', '.join(missing)}; it has {there}.")
            return [(code, open_table(source, split, by_language[code])) for code in wanted]
    return [(converter.language, open_table(source, split, config))]


def _bad_path(source: str | Path, options: LoadOptions) -> Path:
    chosen = options.get("bad_rows")
    if chosen is not None:
        return Path(chosen)
    if options.get("on_bad_row") == "skip" and not is_local(source):
        raise ConfigError(f"{source} is not a path, so skipped rows have no place beside it; pass bad_rows=FILE.")
    return bad_rows_beside(Path(source).expanduser())
