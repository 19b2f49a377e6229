"""``paribus m-arena-hard``: a published multilingual prompt set, checked, as a file of prompts."""

from pathlib import Path
from typing import Annotated

import typer

from paribus.cli.parts_inputs import Languages, chosen_languages
from paribus.cli.parts_progress import say


def m_arena_hard(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A hub id, or a directory with one folder for each language.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where the prompts go: .jsonl, .jsonl.gz or .parquet.")
    ],
    languages: Languages = "",
    split: Annotated[str, typer.Option(help="Split to read.")] = "test",
) -> None:
    """Write m-ArenaHard's prompts, every question once in every language, English with them as the original.

    \b
    Example: paribus m-arena-hard CohereLabs/m-ArenaHard-v2.0 --languages de,hi --out prompts.jsonl
             paribus m-arena-hard downloads/m-ArenaHard --out prompts.jsonl

    `paribus generate` and `paribus judge` read the file; win rates then resample a question with all its languages.
    """
    from paribus.evaluation.m_arena_hard import load_m_arena_hard
    from paribus.records import write_records

    found = load_m_arena_hard(source, chosen_languages(languages) or None, split=split)
    write_records(out, found.prompts)
    say(f"{len(found.questions):,} questions in {len(found.languages)} languages: {', '.join(found.languages)}.")
    if found.untranslated:
        shown = ", ".join(f"{question} ({code})" for question, code in found.untranslated[:5])
        say(f"{len(found.untranslated)} translations equal the English text word for word: {shown}.")
    print(out)
