"""The way out: judgements as the records that audits and win rates read, and how full the queue is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paribus.errors import DataError
from paribus.feedback.server.database import Database, now
from paribus.feedback.server.tasks import TASKS, Facts
from paribus.records import Rating, Verdict


@dataclass(frozen=True)
class Fill:
    """How far the forms of one task in one language are.

    wanted: answers that all quotas ask for; answered: those that are there; in_hand: forms before a rater's eyes now.
    """

    task: str
    language: str
    forms: int
    wanted: int
    answered: int
    in_hand: int
    raters: int


def fills(database: Database) -> list[Fill]:
    """The state of every task and language, tasks in their order."""
    query = """
      select task, language, count(*) as forms, sum(quota) as wanted,
        (select count(answered) from slots join forms as f on f.id = form
          where f.task = forms.task and f.language = forms.language) as answered,
        (select count(*) from slots join forms as f on f.id = form
          where f.task = forms.task and f.language = forms.language and answered is null and expires > ?) as in_hand,
        (select count(distinct rater) from slots join forms as f on f.id = form
          where f.task = forms.task and f.language = forms.language and answered is not null) as raters
      from forms group by task, language"""
    with database.reading() as db:
        rows = [Fill(**dict(row)) for row in db.execute(query, (now(),))]
    return sorted(rows, key=lambda row: (list(TASKS).index(row.task), row.language))


def ratings(database: Database) -> list[Rating]:
    """Two ratings of each answered form of the passes, in the order of forms and then of answers.

    An answer that its rater is changing counts as it was. Raises ``DataError`` if nothing has been answered.
    """
    return _records(database, [name for name in TASKS if name != "arena"])


def verdicts(database: Database, judge: str | None = None) -> list[Verdict]:
    """A verdict for each vote of the arena; its judge is the rater, or ``judge`` for all.

    One name for all makes one judge of many raters, as win rates ask for; ``meta["rater"]`` keeps who voted. Raises
    ``DataError`` when a game has two votes, which one judge cannot have cast, and if there is no vote.
    """
    rows: list[Verdict] = _records(database, ["arena"])
    if judge is None:
        return rows
    _ensure_once(rows)
    return [row.model_copy(update={"judge": judge, "meta": {**row.meta, "rater": row.judge}}) for row in rows]


def _records(database: Database, tasks: Sequence[str]) -> list[Any]:
    query = f"""
      select forms.task, forms.body, slots.* from slots join forms on forms.id = slots.form
      where answered is not null and task in ({",".join("?" * len(tasks))}) order by forms.position, slots.answered"""
    with database.reading() as db:
        rows = db.execute(query, list(tasks)).fetchall()
    if not rows:
        raise DataError(f"{database.path} holds no answers to {' or '.join(tasks)}; let raters answer forms first.")
    return [record for row in rows for record in _of_slot(row)]


def _of_slot(row: Any) -> list[Any]:
    facts = Facts(row["rater"], row["answered"] - row["given"], row["revisions"])
    return TASKS[row["task"]].records(json.loads(row["body"]), json.loads(row["answer"]), facts)


def _ensure_once(rows: Sequence[Verdict]) -> None:
    seen: dict[tuple[str, str, str, str], str] = {}
    for row in rows:
        key = (row.prompt_id, row.language, row.a, row.b)
        if key in seen:
            raise DataError(
                f"The game on {row.prompt_id!r} ({row.language}) has votes of {seen[key]!r} and {row.judge!r}, which "
                "one judge cannot have cast; export without a common judge, and look at raters one by one."
            )
        seen[key] = row.judge
