"""Stages that make or fetch documents of several domains, and a tokenizer for them."""

from pathlib import Path
from typing import Any

from paribus.lab import Handle, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.data import given_file


class DomainCorpusConfig(StageConfig):
    """Documents and questions of the embedded world's domains; all counts are per domain and language."""

    languages: tuple[str, ...]
    domains: tuple[str, ...]
    train_documents: int
    test_documents: int
    questions: int


@stage(version="1")
def domain_corpus(config: DomainCorpusConfig, *, out: Path, seed: int) -> None:
    """Write ``train-<domain>.jsonl`` and ``test-<domain>.jsonl`` (``Document``) and ``questions.jsonl``."""
    from paribus.records import write_records
    from paribus.world.domains import Domains, DomainsConfig

    world = Domains(DomainsConfig(languages=config.languages, seed=seed))
    for domain in config.domains:
        for part, count in (("train", config.train_documents), ("test", config.test_documents)):
            rows = [row for code in config.languages for row in world.documents(domain, code, part, count)]
            write_records(out / f"{part}-{domain}.jsonl", rows)
    asked = [
        row
        for domain in config.domains
        for code in config.languages
        for row in world.questions(domain, code, "test", config.questions)
    ]
    write_records(out / "questions.jsonl", asked)


class SourcesConfig(StageConfig):
    """Documents from the user's own sources: domain to a file, a directory or a hub id with a text column.

    The first ``test_documents`` of each source are kept for testing, the next ``train_documents`` are for training.
    ``language`` is that of rows that do not say theirs.
    """

    sources: dict[str, str]
    language: str
    train_documents: int
    test_documents: int


@stage(version="1")
def source_corpus(config: SourcesConfig, files: dict[str, Path] | None = None, *, out: Path) -> None:
    """Write the same files as ``domain_corpus``, without questions. ``files``: sources that are single files.

    Raises ``DataError`` for a source with too few documents.
    """
    from paribus.data.documents import load_documents
    from paribus.errors import DataError
    from paribus.records import write_records

    for domain, source in config.sources.items():
        place = given_file(files[domain]) if files and domain in files else source
        wanted = config.test_documents + config.train_documents
        rows = load_documents(place, domain=domain, language=config.language, limit=wanted)
        if len(rows) <= config.test_documents:
            raise DataError(
                f"{source} has {len(rows)} documents and {config.test_documents} are for testing; lower "
                "data.test_documents, or give more text."
            )
        named = [row.model_copy(update={"domain": domain}) for row in rows]
        write_records(out / f"test-{domain}.jsonl", named[: config.test_documents])
        write_records(out / f"train-{domain}.jsonl", named[config.test_documents :])


class DocumentTokenizerConfig(StageConfig):
    """A byte-level BPE of so many pieces trained on the documents; or, by ``source``, a tokenizer that exists.

    Of one that exists ``vocab_size`` prices the run.
    """

    vocab_size: int
    source: str = ""


@stage(version="1")
def document_tokenizer(config: DocumentTokenizerConfig, corpus: Path, *, out: Path) -> None:
    """Save a tokenizer in Hugging Face form, trained on the training documents of all domains together."""
    from paribus.data.tokenizer import train_tokenizer
    from paribus.models.load import load_tokenizer

    if config.source:
        load_tokenizer(config.source).save_pretrained(out)
        return
    texts = (row.text for file in sorted(corpus.glob("train-*.jsonl")) for row in _documents(file))
    train_tokenizer(texts, vocab_size=config.vocab_size).save_pretrained(out)


def vocabulary_size(tokenizer: Handle) -> int:
    """Pieces of a ``document_tokenizer``, known before it is made."""
    assert isinstance(tokenizer.config, DocumentTokenizerConfig)
    return tokenizer.config.vocab_size


def read_documents(corpus: Path, part: str, domain: str) -> list[Any]:
    """Documents of one part and domain of a corpus artifact."""
    return _documents(corpus / f"{part}-{domain}.jsonl")


def read_questions(corpus: Path) -> list[Any]:
    """The questions of a corpus artifact; none where it has none."""
    from paribus.records import ChoiceQuestion, read_records

    file = corpus / "questions.jsonl"
    return list(read_records(file, ChoiceQuestion)) if file.exists() else []


def _documents(file: Path) -> list[Any]:
    from paribus.records import Document, read_records

    return list(read_records(file, Document))
