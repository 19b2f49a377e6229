"""The SQLite file behind a server: its tables, its connections, and the forms put into it.

Every operation opens a connection of its own, so that any number of threads (and processes) share one file; a change is
one immediate transaction (write-ahead log). Times are seconds since 1970.
"""

import contextlib
import json
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from paribus.errors import DataError
from paribus.feedback.server.tasks import TASKS, FormRow

LAYOUT = 1
"""Raised when a table changes; a file of another layout is refused, not guessed at."""

WAIT = 30.0
"""Seconds that one writer waits for another."""

_TABLES = """
create table if not exists settings (name text primary key, value text not null);
create table if not exists forms (id text primary key, task text not null, language text not null,
  position integer not null, quota integer not null, pair text not null, body text not null);
create table if not exists raters (name text primary key, task text, ui text not null, languages text not null,
  created real not null);
create table if not exists sessions (digest text primary key, rater text not null, expires real not null);
create table if not exists slots (id integer primary key, form text not null references forms(id),
  rater text not null, nonce text not null unique, given real not null, expires real not null,
  answered real, answer text, revisions integer not null default 0, changing integer not null default 0,
  unique (form, rater));
create index if not exists slots_by_rater on slots (rater, answered);
create index if not exists forms_by_task on forms (task, language, position);
"""


class Database:
    """One file of forms and answers. Raises ``DataError`` for a file that is something else, or of another layout.

    The file is readable by its owner alone: it holds the raters' names and the key of their sessions.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
            self._prepare()
        except (OSError, sqlite3.DatabaseError) as error:
            raise DataError(f"{self.path} cannot be used as a file of forms ({error}); name another file.") from error

    def _prepare(self) -> None:
        with self.reading() as db:
            found = db.execute("pragma user_version").fetchone()[0]
            if found not in (0, LAYOUT) or (not found and db.execute("select 1 from sqlite_master").fetchone()):
                raise DataError(
                    f"{self.path} is not a file of forms of this version (layout {found}, here {LAYOUT}); name another."
                )
            if not found:
                db.execute("pragma journal_mode = wal")
                db.executescript(f"{_TABLES} pragma user_version = {LAYOUT};")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for looking things up; rows are found by column name."""
        db = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
        db.row_factory = sqlite3.Row
        try:
            yield db
        finally:
            db.close()

    @contextlib.contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """A connection inside one transaction that no other writer overlaps: kept whole, or not at all."""
        with self.reading() as db:
            db.execute("begin immediate")
            try:
                yield db
            except BaseException:
                db.execute("rollback")
                raise
            db.execute("commit")

    def setting(self, name: str, default: str) -> str:
        """A value kept in the file; the first caller's default becomes it."""
        with self.changing() as db:
            db.execute("insert or ignore into settings values (?, ?)", (name, default))
            return str(db.execute("select value from settings where name = ?", (name,)).fetchone()[0])

    @property
    def key(self) -> bytes:
        """The secret that this file's CSRF tokens are made with."""
        return bytes.fromhex(self.setting("key", secrets.token_hex(32)))

    def add_forms(self, task: str, rows: Iterable[FormRow], quota: int) -> int:
        """Put forms into the queue, behind those that are there; returns how many were new.

        ``quota`` raters are to answer each. A form already in the file is left alone if it is the same (its quota may
        be raised) and refused with ``DataError`` if it is not: answers to it would change their meaning.
        """
        with self.changing() as db:
            start = db.execute("select coalesce(max(position) + 1, 0) from forms").fetchone()[0]
            return sum(_add(db, task, row, start + place, quota) for place, row in enumerate(rows))

    def tasks(self) -> tuple[str, ...]:
        """The tasks that have forms, in the order of ``TASKS``."""
        with self.reading() as db:
            found = {row[0] for row in db.execute("select distinct task from forms")}
        return tuple(name for name in TASKS if name in found)

    def languages(self, tasks: Sequence[str]) -> tuple[str, ...]:
        """The languages of the forms of these tasks."""
        marks = ",".join("?" * len(tasks))
        query = f"select distinct language from forms where task in ({marks}) order by language"
        with self.reading() as db:
            return tuple(row[0] for row in db.execute(query, tuple(tasks)))


def _add(db: sqlite3.Connection, task: str, row: FormRow, position: int, quota: int) -> int:
    body = json.dumps(row.body, ensure_ascii=False, sort_keys=True)
    found = db.execute("select task, body from forms where id = ?", (row.id,)).fetchone()
    if found is None:
        values = (row.id, task, row.language, position, quota, row.pair, body)
        db.execute("insert into forms values (?, ?, ?, ?, ?, ?, ?)", values)
        return 1
    if (found["task"], found["body"]) != (task, body):
        raise DataError(f"The form {row.id!r} is in the file already and reads otherwise; use a new file for it.")
    db.execute("update forms set quota = max(quota, ?) where id = ?", (quota, row.id))
    return 0


def now() -> float:
    """The time that slots and sessions are counted in."""
    return time.time()
