"""Who gets which form: quotas hold under any crowd, leases lapse, nobody sees a pair twice, no answer is lost."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server_forms import database, form, game_rows, rater

from paribus.errors import DataError
from paribus.feedback.server import database as database_module
from paribus.feedback.server import queue
from paribus.feedback.server.database import Database
from paribus.feedback.server.export import fills
from paribus.feedback.server.tasks import ARENA, RATING

ANSWER = {"first.overall": ["3"], "second.overall": ["4"], "check.0": ["yes"], "check.1": ["no"]}


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (database_module, queue):
        monkeypatch.setattr(module, "now", made)
    for name in ("people", "export"):
        monkeypatch.setattr(f"paribus.feedback.server.{name}.now", made)
    return made


def test_a_form_goes_to_as_many_raters_as_its_quota(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0)], quota=2)
    slots = [queue.next_slot(made, rater(made, name), "errors") for name in ("ana", "ben", "cy")]
    assert [slot is not None for slot in slots] == [True, True, False]


def test_a_rater_comes_back_to_the_same_form(tmp_path: Path) -> None:
    made = database(tmp_path, [form(number) for number in range(3)])
    ana = rater(made, "ana")
    first = queue.next_slot(made, ana, "errors")
    assert first == queue.next_slot(made, rater(made, "ana"), "errors")


def test_forms_come_in_their_order_and_the_least_answered_first(tmp_path: Path) -> None:
    made = database(tmp_path, [form(number) for number in range(3)], quota=2)
    for name, expected in (("ana", 0), ("ben", 1), ("cy", 2), ("dan", 0)):
        slot = queue.next_slot(made, rater(made, name), "errors")
        assert slot is not None and slot.form == f"errors-en-{expected}"


def test_a_lapsed_lease_frees_the_form_and_its_late_answer_is_stale(tmp_path: Path, clock: Clock) -> None:
    made = database(tmp_path, [form(0)])
    ana, ben = rater(made, "ana"), rater(made, "ben")
    late = queue.next_slot(made, ana, "errors", lease=60)
    assert queue.next_slot(made, ben, "errors", lease=60) is None
    clock.time += 61
    taken = queue.next_slot(made, ben, "errors", lease=60)
    assert late is not None and taken is not None and taken.form == late.form
    assert queue.keep(made, ana, late, ANSWER) == "stale"
    assert queue.keep(made, ben, taken, ANSWER) == "kept"


def test_a_late_answer_counts_while_nobody_else_has_the_form(tmp_path: Path, clock: Clock) -> None:
    made = database(tmp_path, [form(0)])
    ana = rater(made, "ana")
    slot = queue.next_slot(made, ana, "errors", lease=60)
    clock.time += 3600
    assert slot is not None and queue.keep(made, ana, slot, ANSWER) == "kept"


def test_a_rater_whose_form_was_taken_gets_another(tmp_path: Path, clock: Clock) -> None:
    made = database(tmp_path, [form(0), form(1)])
    ana, ben = rater(made, "ana"), rater(made, "ben")
    queue.next_slot(made, ana, "errors", lease=60)
    clock.time += 61
    taken = queue.next_slot(made, ben, "errors", lease=600)
    other = queue.next_slot(made, ana, "errors", lease=60)
    assert taken is not None and other is not None and taken.form != other.form


def test_the_same_page_counts_once(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0), form(1)])
    ana = rater(made, "ana")
    slot = queue.next_slot(made, ana, "errors")
    assert slot is not None
    assert queue.keep(made, ana, slot, ANSWER) == "kept"
    assert queue.keep(made, ana, slot, {**ANSWER, "first.overall": ["1"]}) == "kept before"
    found = queue.slot_of(made, ana, "errors", slot.nonce)
    assert found is not None and found.before == ANSWER


def test_a_pair_that_is_repeated_goes_to_other_raters(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0, pair="p"), form(1, pair="p"), form(2)])
    ana, ben = rater(made, "ana"), rater(made, "ben")
    seen = []
    while (slot := queue.next_slot(made, ana, "errors")) is not None:
        seen.append(slot.form)
        queue.keep(made, ana, slot, ANSWER)
    assert seen == ["errors-en-0", "errors-en-2"]
    rest = queue.next_slot(made, ben, "errors")
    assert rest is not None and rest.form == "errors-en-1"


def test_raters_get_only_languages_they_read_and_their_own_task(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0, language="de"), form(0), form(0, pass_="quality")])
    ana = rater(made, "ana", ["de"])
    slot = queue.next_slot(made, ana, "errors")
    assert slot is not None and slot.language == "de"
    queue.keep(made, ana, slot, ANSWER)
    assert queue.next_slot(made, ana, "errors") is None
    assert queue.next_slot(made, ana, "quality") is None


def test_the_last_answer_can_be_changed_and_stands_until_then(tmp_path: Path) -> None:
    made = database(tmp_path, [form(number) for number in range(3)])
    ana = rater(made, "ana")
    assert not queue.take_back(made, ana, "errors")
    slot = queue.next_slot(made, ana, "errors")
    assert slot is not None
    queue.keep(made, ana, slot, ANSWER)
    held = queue.next_slot(made, ana, "errors")
    assert queue.take_back(made, ana, "errors")
    assert not queue.take_back(made, ana, "errors")
    assert fills(made)[0].answered == 1
    again = queue.next_slot(made, ana, "errors")
    assert again is not None and again.form == slot.form and again.before == ANSWER
    assert queue.keep(made, ana, slot, ANSWER) == "stale"
    assert queue.keep(made, ana, again, {**ANSWER, "first.overall": ["5"]}) == "kept"
    found = queue.slot_of(made, ana, "errors", again.nonce)
    assert found is not None and found.before is not None and found.before["first.overall"] == ["5"]
    assert queue.next_slot(made, ana, "errors") == held


def test_progress_counts_what_can_still_become_theirs(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0, pair="p"), form(1, pair="p"), form(2), form(3, language="de")])
    ana, ben = rater(made, "ana"), rater(made, "ben")
    assert queue.progress(made, ana, "errors") == queue.Progress(done=0, left=2)
    slot = queue.next_slot(made, ana, "errors")
    assert slot is not None
    queue.keep(made, ana, slot, ANSWER)
    assert queue.progress(made, ana, "errors") == queue.Progress(done=1, left=1)
    assert queue.progress(made, ben, "errors").total == 2


def _work(made: Database, name: str) -> int:
    person, done = rater(made, name), 0
    while (slot := queue.next_slot(made, person, "errors")) is not None:
        done += queue.keep(made, person, slot, ANSWER) == "kept"
    return done


def test_a_crowd_at_once_fills_every_quota_exactly(tmp_path: Path) -> None:
    made = database(tmp_path, [form(number) for number in range(10)], quota=3)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda number: _work(made, f"rater {number}"), range(8)))
    with made.reading() as db:
        counts = [row[0] for row in db.execute("select count(answered) from slots group by form")]
        twice = db.execute("select 1 from slots group by form, rater having count(*) > 1").fetchall()
    # A rater may leave early, while others hold the last forms; what nobody lost is there, and nothing beyond quotas.
    assert max(counts) <= 3 and sum(counts) == sum(done) and twice == []
    while _work(made, f"late {len(done)}"):
        done.append(0)
    assert fills(made)[0].answered == 30


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["next", "keep", "back", "wait"])), max_size=25))
def test_no_course_of_events_breaks_a_quota_or_loses_an_answer(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[int, str]]
) -> None:
    made = database(tmp_path_factory.mktemp("queue"), [form(number) for number in range(3)], quota=2)
    people = [rater(made, f"rater {number}") for number in range(4)]
    kept: set[tuple[str, str]] = set()
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "now", clock)
        for who, what in events:
            person, clock.time = people[who], clock.time + (100 if what == "wait" else 1)
            slot = queue.next_slot(made, person, "errors", lease=60) if what in ("next", "keep") else None
            if what == "keep" and slot is not None and queue.keep(made, person, slot, ANSWER) == "kept":
                kept.add((person.name, slot.form))
            if what == "back":
                queue.take_back(made, person, "errors")
            with made.reading() as db:
                found = db.execute("select rater, form from slots where answered is not null").fetchall()
            assert {(row[0], row[1]) for row in found} == kept
            assert all(sum(form == name for _, form in kept) <= 2 for name in {form for _, form in kept})


def test_the_same_forms_are_added_once_and_others_under_their_name_are_refused(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0)])
    task = RATING["errors"]
    assert made.add_forms("errors", [task.row(form(0)), task.row(form(1))], 1) == 1
    with pytest.raises(DataError, match="reads otherwise"):
        made.add_forms("errors", [task.row(form(2)), task.row(form(0, texts=("other", "texts")))], 1)
    assert fills(made)[0].forms == 2, "a refused file adds nothing"


def test_more_raters_can_be_asked_for_later(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0)])
    made.add_forms("errors", [RATING["errors"].row(form(0))], 3)
    assert fills(made)[0].wanted == 3


def test_games_are_in_the_queue_once_a_pair_of_models(tmp_path: Path) -> None:
    made = database(tmp_path, games=game_rows(3, ("en", "ar")))
    assert made.add_forms("arena", [ARENA.row(game) for game in game_rows(3, ("en", "ar"))], 1) == 0
    assert [(row.language, row.forms) for row in fills(made)] == [("ar", 3), ("en", 3)]


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "notes.sqlite", tmp_path / "other.sqlite"
    text.write_text("these are notes, not forms" * 100)
    with sqlite3.connect(other) as db:
        db.execute("create table things (name text)")
    db.close()
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(DataError, match=str(path.name)):
            Database(path)
        assert path.read_bytes() == before


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0)])
    assert made.path.stat().st_mode & 0o077 == 0
