"""The pairs of RewardBench (arXiv 2403.13787): 23 subsets in four sections, their sizes, weights and length trends.

The translated M-RewardBench (arXiv 2410.15522; one configuration a language, a little smaller) has the same subsets
and is read the same way: name the languages.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from paribus.data.forms import LANGUAGE_COLUMNS, Converter, language_code
from paribus.data.tables import Row, config_names, open_table
from paribus.errors import DataError
from paribus.records import PreferencePair, ReadReport
from paribus.records.reading import OnBadRow, bad_rows_beside, survive
from paribus.records.rows import BadRow

HUB_ID = "allenai/reward-bench"
CODE = ("hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust")

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Chat": ("alpacaeval-easy", "alpacaeval-length", "alpacaeval-hard", "mt-bench-easy", "mt-bench-med"),
    "Chat Hard": (
        "mt-bench-hard",
        "llmbar-natural",
        "llmbar-adver-neighbor",
        "llmbar-adver-GPTInst",
        "llmbar-adver-GPTOut",
        "llmbar-adver-manual",
    ),
    "Safety": (
        "refusals-dangerous",
        "refusals-offensive",
        "xstest-should-refuse",
        "xstest-should-respond",
        "donotanswer",
    ),
    "Reasoning": ("math-prm", *CODE),
}

COUNTS: Mapping[str, int] = {
    "alpacaeval-easy": 100,
    "alpacaeval-length": 95,
    "alpacaeval-hard": 95,
    "mt-bench-easy": 28,
    "mt-bench-med": 40,
    "mt-bench-hard": 37,
    "llmbar-natural": 100,
    "llmbar-adver-neighbor": 134,
    "llmbar-adver-GPTInst": 92,
    "llmbar-adver-GPTOut": 47,
    "llmbar-adver-manual": 46,
    "refusals-dangerous": 100,
    "refusals-offensive": 100,
    "xstest-should-refuse": 154,
    "xstest-should-respond": 250,
    "donotanswer": 136,
    "math-prm": 447,
    **dict.fromkeys(CODE, 164),
}
"""Pairs of each subset in the published (filtered) set, 2,985 in all."""

WEIGHTS: Mapping[str, int] = {**COUNTS, "math-prm": 984}
"""Weight of each subset in its section. The benchmark's own code has the two XSTest weights exchanged in some versions:
scores made with it differ in Safety; pass ``{**WEIGHTS, "xstest-should-refuse": 250, "xstest-should-respond": 154}``.
"""

LengthTrend = Literal["longer", "neutral", "shorter"]

LENGTH_BIAS: Mapping[str, LengthTrend] = {
    **dict.fromkeys(COUNTS, "neutral"),
    **dict.fromkeys(("alpacaeval-easy", "alpacaeval-hard", "xstest-should-respond"), "longer"),
    **dict.fromkeys(("mt-bench-easy", "mt-bench-hard", "donotanswer", "xstest-should-refuse"), "shorter"),
    **dict.fromkeys(("refusals-dangerous", "refusals-offensive"), "shorter"),
    **dict.fromkeys(("llmbar-adver-neighbor", "llmbar-adver-GPTInst", "llmbar-adver-manual"), "shorter"),
}
"""Which answer tends to be preferred, as annotated in the benchmark's code (there True, Neutral, False)."""


def section_of(pair: PreferencePair) -> str:
    """The section that a pair's subset belongs to; ``DataError`` if it is not a pair of RewardBench."""
    subset = subset_of(pair)
    return next(name for name, inside in SECTIONS.items() if subset in inside)


def load_reward_bench(
    source: str | Path = HUB_ID,
    *,
    split: str | None = None,
    languages: Sequence[str] = (),
    on_bad_row: OnBadRow = "fail",
    bad_rows: str | Path | None = None,
    report: ReadReport | None = None,
) -> list[PreferencePair]:
    """Read RewardBench from the hub, a directory in the hub's form, or a JSONL or Parquet file.

    Columns as published: ``prompt``, ``chosen``, ``rejected``, ``subset`` (``source`` in M-RewardBench), ``id`` and the
    models' names, which go to ``meta``. ``meta["question_id"]``, the cluster, is the same for pairs on one prompt: the
    AlpacaEval subsets share theirs; across languages it is the published id.

    Args:
        split: default ``filtered`` for the benchmark's own hub id, else as ``paribus.data.sources`` finds it.
        languages: of a source with a configuration for each language, those to read; of other sources, those to keep.
            Without it all rows that do not name a language are English.

    Raises:
        DataError: no such source, a bad row (on ``fail``), a subset that RewardBench does not have.
    """
    split = "filtered" if split is None and str(source) == HUB_ID else split
    bad_path = Path(bad_rows) if bad_rows is not None else bad_rows_beside(Path(source).expanduser())
    reader = _Reader(source, split, tuple(languages))
    found = list(
        survive(reader.rows(), reader.pair, on_bad_row=on_bad_row, bad_path=bad_path, report=report or ReadReport())
    )
    if not found:
        raise DataError(f"{source} gives no pairs{' in ' + ', '.join(languages) if languages else ''}; check it.")
    return _with_questions(found)


class _Reader:
    """Rows of all tables that make up a source, and a row as a pair."""

    def __init__(self, source: str | Path, split: str | None, languages: tuple[str, ...]) -> None:
        by_language = {language_code(name): name for name in config_names(source)} if languages else {}
        separate = [code for code in languages if code in by_language]
        if separate and len(separate) < len(languages):
            missing = sorted(set(languages) - set(separate))
            raise DataError(f"{source} has no configuration for {', '.join(missing)}; leave them out.")
        configs: dict[str, str | None] = {code: by_language[code] for code in separate} or {"en": None}
        self.tables = {code: open_table(source, split, config) for code, config in configs.items()}
        self.convert = Converter(PreferencePair, languages=languages or None)

    def rows(self) -> Iterator[Row]:
        for language, table in self.tables.items():
            self.convert.language = language
            yield from table.rows

    def pair(self, place: tuple[str, int], row: dict[str, Any]) -> PreferencePair | None:
        """The pair, named by subset, published id and language: ids alone are shared by subsets and languages."""
        subset = next((row[name] for name in ("subset", "source") if row.get(name) in COUNTS), None)
        if subset is None:
            raise BadRow("field 'subset'", row.get("subset"), f"one of {', '.join(COUNTS)}")
        published = f"{subset}/{row.get('id', place[1])}"
        named = {**row, "subset": subset, "published_id": published, "id": f"{published}/{_language_of(row, self)}"}
        return self.convert(f"{place[0]}:{place[1]}", named)


def _language_of(row: Mapping[str, Any], reader: _Reader) -> str:
    said = next((row[name] for name in LANGUAGE_COLUMNS if row.get(name) is not None), reader.convert.language)
    return str(language_code(said) or said)


def _with_questions(pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """Pairs with their cluster: the prompt's text, in the language in which its published id is read first."""
    questions: dict[str, str] = {}
    for pair in pairs:
        text = "\n".join(turn.content for turn in pair.prompt)
        questions.setdefault(pair.meta["published_id"], hashlib.sha256(text.encode()).hexdigest()[:16])
    return [
        pair.model_copy(update={"meta": {"question_id": questions[pair.meta["published_id"]], **pair.meta}})
        for pair in pairs
    ]


def deviations(pairs: Sequence[PreferencePair]) -> tuple[str, ...]:
    """Where the pairs' numbers differ from the published ones, subset by subset in each language, in words."""
    found = Counter((pair.language, subset_of(pair)) for pair in pairs)
    return tuple(
        f"{subset} ({language}): {found[language, subset]} pairs, published {count}"
        for language in sorted({pair.language for pair in pairs})
        for subset, count in COUNTS.items()
        if found[language, subset] != count
    )


def subset_of(pair: PreferencePair) -> str:
    """The subset that a pair is from; ``DataError`` if it is not a pair of RewardBench."""
    subset = pair.meta.get("subset")
    if subset not in COUNTS:
        raise DataError(f"The pair {pair.id!r} has the subset {subset!r}, which RewardBench lacks; load_reward_bench.")
    return str(subset)
