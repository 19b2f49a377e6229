"""m-ArenaHard: Arena-Hard's English prompts with their translations, from the hub or from a directory laid out like it.

``CohereLabs/m-ArenaHard`` (500 prompts x 23 languages: question_id, cluster, category, prompt) and
``CohereLabs/m-ArenaHard-v2.0`` (498 x 23: question_id, category, subcategory, prompt, language) hold one configuration
for each language, named by its code, with the split ``test`` (papers/aya-expanse.md section 3). A directory holds one
folder for each language with Parquet or JSONL files in it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paribus.errors import DataError
from paribus.evaluation.prompts import PromptSet, check_prompt_set, prompts_from_columns
from paribus.languages import get

HUB_IDS = ("CohereLabs/m-ArenaHard", "CohereLabs/m-ArenaHard-v2.0")
# Neither card names the translation system beyond this; both were translated from English.
TRANSLATION = {"by": "the data set's own translation system", "source": "en", "edited": False}
_ENDINGS = (".parquet", ".jsonl")


def load_m_arena_hard(
    source: str | Path,
    languages: Sequence[str] | None = None,
    *,
    split: str = "test",
    translation: Mapping[str, Any] = TRANSLATION,
) -> PromptSet:
    """Load the set and check it: every question once in every language, English as the original.

    Args:
        source: a hub id (see ``HUB_IDS``; another owner's copy will do) or a directory of language folders.
        languages: codes to load; ``None`` takes all that are there. English is loaded in any case, as the original.
        split: of the hub's data set, and the beginning of file names where a folder holds several splits.
        translation: provenance noted on every translated prompt, as ``prompts.check_prompt_set`` wants it.

    Raises:
        DataError: no such data set or folder, a missing language or column, or a set with gaps.
    """
    wanted = None if languages is None else tuple(dict.fromkeys(["en", *(get(code).code for code in languages)]))
    folder = Path(source)
    tables = _from_folder(folder, wanted, split) if folder.is_dir() else _from_hub(str(source), wanted, split)
    prompts = [
        prompt
        for language, rows in tables
        for prompt in prompts_from_columns(_checked(rows, language, source), translation=translation)
    ]
    return check_prompt_set(prompts, wanted)


Table = tuple[str, Sequence[Mapping[str, Any]]]


def _checked(rows: Sequence[Mapping[str, Any]], language: str, source: str | Path) -> Iterator[dict[str, Any]]:
    """Rows that all say their language; a row of another language than its folder's is refused."""
    for number, row in enumerate(rows, 1):
        where = f"{source}, {language}, row {number}"
        for column in ("question_id", "prompt"):
            if not isinstance(row.get(column), str) or not row[column].strip():
                raise DataError(f"{where}: {column} is {row.get(column)!r}; expected a text that is not empty.")
        if row.get("language", language) != language:
            raise DataError(f"{where}: language is {row['language']!r}; the folder is that of {language!r}.")
        yield dict(row) | {"language": language}


def _from_folder(folder: Path, wanted: Sequence[str] | None, split: str) -> Iterator[Table]:
    there = sorted(path.name for path in folder.iterdir() if path.is_dir() and _files(path, split))
    if not there:
        raise DataError(f"{folder} has no folder with {' or '.join(_ENDINGS)} files; it needs one for each language.")
    _refuse_missing(str(folder), wanted, there)
    for language in wanted or there:
        yield language, [row for file in _files(folder / language, split) for row in _rows(file)]


def _files(folder: Path, split: str) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.suffix in _ENDINGS)
    named = [path for path in files if path.name.split("-")[0].split(".")[0] == split]
    return named or files


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        if file.suffix == ".parquet":
            from pyarrow.parquet import read_table

            rows: list[dict[str, Any]] = read_table(file).to_pylist()
            return rows
        with file.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error}); give a file of prompts.") from error


def _from_hub(name: str, wanted: Sequence[str] | None, split: str) -> Iterator[Table]:
    from datasets import get_dataset_config_names, load_dataset

    try:
        there = sorted(get_dataset_config_names(name))
        _refuse_missing(name, wanted, there)
        for language in wanted or there:
            yield language, load_dataset(name, language, split=split).to_list()
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(
            f"{name!r} is neither a directory nor a data set that can be loaded ({error}); give a directory with one "
            f"folder for each language, or a hub id such as {HUB_IDS[0]}."
        ) from error


def _refuse_missing(source: str, wanted: Sequence[str] | None, there: Sequence[str]) -> None:
    missing = [code for code in wanted or () if code not in there]
    if missing:
        raise DataError(f"{source} has no {', '.join(missing)}; its languages are {', '.join(there)}.")
