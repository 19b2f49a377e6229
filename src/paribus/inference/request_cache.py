"""Paid answers kept in one SQLite file, so that a call that was killed resumes with only the missing requests.

An answer is committed as soon as it arrived. Several threads and processes may share a file (write-ahead log). Only the
hash of a request is kept, and of the answer what the engine reads: no key, no header, no address.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from paribus.errors import EngineError

LAYOUT = 1  # raised when the table changes; files of another layout are refused, not guessed at
WAIT = 60.0  # seconds that a writer waits for another process's commit
AT_ONCE = 500  # keys of one query; SQLite takes at least 999 parameters

Answer = dict[str, Any]


class RequestCache:
    """Answers by the hash of their request; open it with ``with``. The folder and the file are made if missing.

    Raises ``EngineError`` if the file cannot be opened, is no such cache, or has another layout.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None

    def __enter__(self) -> RequestCache:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._open = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None, check_same_thread=False)
            self._prepare(self._open)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise EngineError(
                f"The request cache {self.path} cannot be used: {error}; give another path, or move the file away."
            ) from error
        except EngineError:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; answers kept so far stay."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def find(self, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers already kept among ``keys``."""
        wanted, found = list(dict.fromkeys(keys)), dict[str, Answer]()
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            query = f"SELECT request, answer FROM answers WHERE request IN ({', '.join('?' * len(some))})"
            found.update((key, json.loads(answer)) for key, answer in self._run(query, some))
        return found

    def keep(self, key: str, answer: Answer) -> None:
        """Commit an answer; the first one kept for a request stays."""
        self._run("INSERT OR IGNORE INTO answers (request, answer) VALUES (?, ?)", [key, json.dumps(answer)])

    def __len__(self) -> int:
        return int(self._run("SELECT COUNT(*) FROM answers", [])[0][0])

    def _run(self, statement: str, values: list[str]) -> list[tuple[Any, ...]]:
        assert self._open is not None, "the cache is used inside its with block"
        try:
            with self._lock:
                return self._open.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise EngineError(
                f"The request cache {self.path} failed: {error}; check the disk, or move the file away and call again."
            ) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (layout,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        if layout != LAYOUT and (layout or tables):
            raise EngineError(
                f"The file {self.path} is an SQLite file of layout {layout}, not a request cache of layout {LAYOUT}; "
                "give another path."
            )
        # In the write-ahead log a commit outlives the process without a flush to disk for each.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if layout != LAYOUT:  # else nothing is written before an answer is
            connection.execute(
                "CREATE TABLE IF NOT EXISTS answers (request TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID"
            )
            connection.execute(f"PRAGMA user_version = {LAYOUT}")
