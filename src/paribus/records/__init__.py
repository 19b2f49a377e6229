"""The records that cross rooms, and their streaming readers and writers.

What lives here: frozen, validated rows (``schema.py``) with the field names of TRL and datasets, and JSONL / Parquet
reading and writing that survives and reports bad rows (``reading.py``, ``writing.py``). Human and machine judgements
are the same record. What may not: anything that knows a model, a task or a study.
"""

from paribus.records.reading import ReadReport, read_records
from paribus.records.schema import (
    ChoiceQuestion,
    Completion,
    Critique,
    Document,
    Example,
    Message,
    PreferencePair,
    Prompt,
    Rating,
    Verdict,
    VerdictLabel,
)
from paribus.records.writing import write_records

__all__ = [
    "ChoiceQuestion",
    "Completion",
    "Critique",
    "Document",
    "Example",
    "Message",
    "PreferencePair",
    "Prompt",
    "Rating",
    "ReadReport",
    "Verdict",
    "VerdictLabel",
    "read_records",
    "write_records",
]
