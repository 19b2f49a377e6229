"""Raters and their sessions: who someone is, what they read, and that they do one task only.

A name is what its rater says it is, as on paper: the access code admits people who are trusted with that, and coming
back under one's name is how work goes on on another device.
"""

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from paribus.errors import DataError
from paribus.feedback.server.database import Database, now
from paribus.feedback.server.security import digest, new_secret

SESSION_SECONDS = 14 * 24 * 3600.0
NAME = re.compile(r"\w[\w .@-]{0,59}")
"""What a rater's name may be: letters of any script, digits, and a few joints."""


@dataclass(frozen=True)
class Rater:
    """``task`` is None until the first form is opened; ``ui`` is the language of buttons and instructions."""

    name: str
    task: str | None
    ui: str
    languages: tuple[str, ...]


def sign_in(database: Database, name: str, ui: str, languages: Sequence[str]) -> str:
    """A new session of a rater, who is made or, under the same name, comes back; returns the session's secret.

    Raises ``DataError`` for a name that cannot be one, or no language.
    """
    name = " ".join(name.split())
    if not NAME.fullmatch(name):
        raise DataError(f"The name {name!r} cannot be used; give 1 to 60 letters or digits.")
    if not languages:
        raise DataError("No language was chosen; choose at least one that you read well.")
    session = new_secret()
    with database.changing() as db:
        db.execute("delete from sessions where expires < ?", (now(),))
        db.execute(
            "insert into raters values (?, null, ?, ?, ?)"
            " on conflict (name) do update set ui = excluded.ui, languages = excluded.languages",
            (name, ui, json.dumps(sorted(languages)), now()),
        )
        db.execute("insert into sessions values (?, ?, ?)", (digest(session), name, now() + SESSION_SECONDS))
    return session


def sign_out(database: Database, session: str) -> None:
    """End a session; what its rater did stays."""
    with database.changing() as db:
        db.execute("delete from sessions where digest = ?", (digest(session),))


def rater_of(database: Database, session: str) -> Rater | None:
    """Whose session it is; None for one that never was or has ended."""
    with database.reading() as db:
        row = db.execute(
            "select raters.* from sessions join raters on raters.name = sessions.rater"
            " where digest = ? and expires >= ?",
            (digest(session), now()),
        ).fetchone()
    return None if row is None else Rater(row["name"], row["task"], row["ui"], tuple(json.loads(row["languages"])))


def take_up(database: Database, name: str, task: str) -> str:
    """The one task of a rater: ``task`` if they have none yet. One judgement must not prime another."""
    with database.changing() as db:
        db.execute("update raters set task = ? where name = ? and task is null", (task, name))
        row: sqlite3.Row = db.execute("select task from raters where name = ?", (name,)).fetchone()
        return str(row["task"])
