"""Stages that make or fetch text: the world's corpus, a tokenizer, prompt sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from paribus.lab import stage
from paribus.studies.stages.config import StageConfig


class CorpusConfig(StageConfig):
    """Which part of the embedded world is written out; ``per_cell`` caps the items of a (split, task, language)."""

    languages: tuple[str, ...]
    tasks: tuple[str, ...]
    numbers: int = 300
    per_cell: int | None = None
    world_seed: int = 0


@stage(version="1")
def world_corpus(config: CorpusConfig, *, out: Path) -> None:
    """Write the world's items as ``Example`` records, a file a split: train, dev, test, recall, template."""
    from paribus.records import write_records
    from paribus.world import World, WorldConfig

    settings = WorldConfig(
        languages=config.languages,
        tasks=config.tasks,
        seed=config.world_seed,
        numbers=config.numbers,
        max_items_per_cell=config.per_cell,
    )
    world = World(settings)
    (out / "world.json").write_text(settings.model_dump_json())
    for split in ("train", "dev", "test", "recall", "template"):
        write_records(out / f"{split}.jsonl", (item.to_example() for item in world.items(split)))


class TokenizerConfig(StageConfig):
    """Size of the byte-fallback BPE vocabulary trained on the corpus' training split."""

    vocab_size: int


@stage(version="1")
def tokenizer(config: TokenizerConfig, corpus: Path, *, out: Path) -> None:
    """Train a tokenizer on the training split of a corpus and save it in Hugging Face form."""
    from paribus.data.tokenizer import train_tokenizer
    from paribus.records import Example, read_records

    texts = (message.content for row in read_records(corpus / "train.jsonl", Example) for message in row.messages)
    train_tokenizer(texts, vocab_size=config.vocab_size).save_pretrained(out)


class PromptsConfig(StageConfig):
    """A seeded draw of prompts.

    Args:
        splits: corpus splits to draw from; for ``source="file"`` the field is ignored.
        per_language: prompts for each language, at most (0 = all there are).
        source: ``world`` draws from a corpus artifact, ``file`` from a file; anything else is a directory or hub id.
        offset: prompts a language to skip. Each language is shuffled once by the seed, so draws of one split with one
            seed share no prompt as long as their ranges (offset to offset + per_language) do not meet.
    """

    languages: tuple[str, ...]
    per_language: int
    splits: tuple[str, ...] = ("train",)
    source: str = "world"
    offset: int = Field(default=0, ge=0)


@stage(version="1")
def prompts(
    config: PromptsConfig, corpus: Path | None = None, file: Path | None = None, *, out: Path, seed: int
) -> None:
    """Write ``prompts.jsonl`` (``Prompt`` records), the same number for each language where there are enough."""
    from paribus.records import write_records

    rows = _world_prompts(config, corpus) if config.source == "world" else _given_prompts(config, file)
    write_records(out / "prompts.jsonl", _draw(rows, config, seed))


def _world_prompts(config: PromptsConfig, corpus: Path | None) -> list[Any]:
    from paribus.records import Example, Prompt, read_records

    assert corpus is not None, "a world prompt set needs a corpus"
    return [
        Prompt(id=row.id, language=row.language, messages=row.messages[:-1], task=row.task, meta=row.meta)
        for split in config.splits
        for row in read_records(corpus / f"{split}.jsonl", Example)
    ]


def _given_prompts(config: PromptsConfig, file: Path | None) -> list[Any]:
    from paribus.data.sources import load_prompts

    if file is not None:
        return load_prompts(given_file(file), languages=config.languages)
    return load_prompts(config.source, split=config.splits[0], languages=config.languages)


def given_file(folder: Path) -> Path:
    """The one file of a ``file_input`` artifact, beside its manifest."""
    (found,) = (path for path in folder.iterdir() if path.is_file() and path.name != "manifest.json")
    return found


def _draw(rows: list[Any], config: PromptsConfig, seed: int) -> list[Any]:
    import numpy as np

    chosen: list[Any] = []
    for position, language in enumerate(config.languages):
        own = sorted((row for row in rows if row.language == language), key=lambda row: row.id)
        order = np.random.default_rng([seed, position]).permutation(len(own))
        stop = config.offset + config.per_language if config.per_language else len(own)
        chosen.extend(own[index] for index in order[config.offset : stop])
    return chosen


def open_world(corpus: Path) -> Any:
    """The world that a corpus was written from."""
    from paribus.world import World, WorldConfig

    return World(WorldConfig.model_validate_json((corpus / "world.json").read_text()))


def truth_known(prompts: Sequence[Any]) -> bool:
    """Whether every prompt carries its right answer, as those of the embedded world do."""
    return all("answer" in prompt.meta for prompt in prompts)


def read_prompts(folder: Path) -> list[Any]:
    """The prompts of a ``prompts`` artifact."""
    from paribus.records import Prompt, read_records

    return list(read_records(folder / "prompts.jsonl", Prompt))
