"""Which form a rater gets next, and what becomes of their answer.

A form has ``quota`` slots. A slot is leased to a rater for a while and then either answered or free again, so no form
gets more answers than its quota, however many raters come at once, and none is lost to one who went away. A rater
sees a form once, and a pair of outputs once, even where the design repeats it. Everything here is one transaction.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from paribus.feedback.server.database import Database, now
from paribus.feedback.server.people import Rater
from paribus.feedback.server.security import new_secret

LEASE_SECONDS = 1800.0

Outcome = Literal["kept", "kept before", "stale"]


@dataclass(frozen=True)
class Slot:
    """A form in a rater's hands. ``nonce`` names it in the page; ``before`` is the answer that is being changed."""

    form: str
    nonce: str
    task: str
    language: str
    body: dict[str, Any]
    before: dict[str, Any] | None


@dataclass(frozen=True)
class Progress:
    """Forms a rater has answered, and the forms that could still become theirs, the present one included."""

    done: int
    left: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.done + self.left


# A form is open to a rater in a language of theirs, while others have not filled its slots, and when neither it nor
# another form with the same pair of outputs was answered by them.
_OPEN = """
select forms.*, (select count(*) from slots where slots.form = forms.id and slots.rater <> :rater
    and (answered is not null or expires > :now)) as taken
from forms
where forms.task = :task and forms.language in (select value from json_each(:languages)) and taken < forms.quota
  and forms.pair not in (select done.pair from slots join forms as done on done.id = slots.form
    where slots.rater = :rater and slots.answered is not null)
"""

_SLOTS = "select forms.*, slots.id as slot, slots.nonce, slots.answer from slots join forms on forms.id = slots.form"
_CHANGING = f"{_SLOTS} where slots.rater = :rater and forms.task = :task and slots.changing"
_HELD = f"""select open.*, slots.id as slot, slots.nonce, slots.answer from slots join ({_OPEN}) as open
  on open.id = slots.form where slots.rater = :rater and slots.answered is null"""
_LAST = f"""{_SLOTS} where slots.rater = :rater and forms.task = :task and answered is not null
  order by answered desc, slots.id desc limit 1"""


def next_slot(database: Database, rater: Rater, task: str, lease: float = LEASE_SECONDS) -> Slot | None:
    """The answer that the rater is changing, else the form they hold, with a new lease, else a new form; or None.

    New forms come with the fewest answers first, and then in the order of the design.
    """
    facts = _facts(rater, task)
    with database.changing() as db:
        row = _one(db, _CHANGING, facts) or _one(db, _HELD, facts) or _leased(db, facts)
        if row is None:
            return None
        db.execute("update slots set expires = ? where id = ?", (now() + lease, row["slot"]))
    return _slot(row)


def _facts(rater: Rater, task: str) -> dict[str, Any]:
    return {"rater": rater.name, "task": task, "languages": json.dumps(rater.languages), "now": now()}


def _one(db: sqlite3.Connection, query: str, facts: Mapping[str, Any]) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(query, facts).fetchone()
    return row


def _slot(row: sqlite3.Row) -> Slot:
    before = json.loads(row["answer"]) if row["answer"] else None
    return Slot(row["id"], row["nonce"], row["task"], row["language"], json.loads(row["body"]), before)


def _leased(db: sqlite3.Connection, facts: Mapping[str, Any]) -> sqlite3.Row | None:
    """A new form in the rater's hands, instead of one that lapsed and that others took."""
    row = _one(db, f"{_OPEN} order by taken, position limit 1", facts)
    if row is None:
        return None
    db.execute("delete from slots where rater = :rater and answered is null", facts)
    values = {**facts, "form": row["id"], "nonce": new_secret()}
    query = "insert into slots (form, rater, nonce, given, expires) values (:form, :rater, :nonce, :now, :now)"
    db.execute(query, values)
    return _one(db, _HELD, facts)


def slot_of(database: Database, rater: Rater, task: str, nonce: str) -> Slot | None:
    """The slot that a posted page was made for; None if it never was this rater's, or is no longer."""
    query = f"{_SLOTS} where slots.rater = :rater and forms.task = :task and slots.nonce = :nonce"
    with database.reading() as db:
        row = _one(db, query, {"rater": rater.name, "task": task, "nonce": nonce})
    return None if row is None else _slot(row)


def keep(database: Database, rater: Rater, slot: Slot, answer: Mapping[str, Any]) -> Outcome:
    """Store an answer, once: the same page sent again changes nothing (``kept before``).

    ``stale`` when the lease had lapsed and others have filled the form, or the answer is being changed on a newer page.
    """
    facts = {**_facts(rater, slot.task), "nonce": slot.nonce, "answer": json.dumps(dict(answer), ensure_ascii=False)}
    with database.changing() as db:
        query = "select id, answered, changing from slots where nonce = :nonce and rater = :rater"
        row = db.execute(query, facts).fetchone()
        if row is None:
            return "stale"
        if row["answered"] is not None and not row["changing"]:
            return "kept before"
        if row["changing"]:
            change = "answer = :answer, changing = 0, revisions = revisions + 1"
        elif _one(db, f"{_HELD} and slots.nonce = :nonce", facts) is None:
            return "stale"
        else:
            change = "answer = :answer, answered = :now"
        db.execute(f"update slots set {change} where nonce = :nonce", facts)
    return "kept"


def take_back(database: Database, rater: Rater, task: str) -> bool:
    """Let the rater change their last answer of the task; returns whether there is one (and no other being changed).

    Until the change is sent the earlier answer stands, and the form in their hands stays theirs.
    """
    facts = _facts(rater, task)
    with database.changing() as db:
        last = _one(db, _LAST, facts)
        if last is None or _one(db, _CHANGING, facts) is not None:
            return False
        db.execute("update slots set changing = 1, nonce = ? where id = ?", (new_secret(), last["slot"]))
    return True


def may_take_back(database: Database, rater: Rater, task: str) -> bool:
    """Whether ``take_back`` would find something."""
    facts = _facts(rater, task)
    with database.reading() as db:
        return _one(db, _CHANGING, facts) is None and _one(db, _LAST, facts) is not None


def progress(database: Database, rater: Rater, task: str) -> Progress:
    """How far the rater is. A pair that several open forms repeat counts once, since a rater sees it once."""
    facts = _facts(rater, task)
    done = "select count(*) from slots join forms on forms.id = form where rater = :rater and task = :task and answered"
    with database.reading() as db:
        left = db.execute(f"select count(distinct pair) from ({_OPEN})", facts).fetchone()[0]
        return Progress(db.execute(done, facts).fetchone()[0], left)
