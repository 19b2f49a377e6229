"""What comes out: ratings that the audit accepts, verdicts that win rates count, planted judgements recovered."""

from pathlib import Path

import pytest
from server_forms import MODELS, Browser, database, form, game_rows

from paribus.errors import ConfigError, DataError
from paribus.evaluation.winrate import win_rate
from paribus.feedback.annotation.checks import clean
from paribus.feedback.annotation.schema import validate
from paribus.feedback.server.database import Database
from paribus.feedback.server.export import fills, ratings, verdicts
from paribus.feedback.server.tasks import ARENA, RATING, Facts, Incomplete, read_answer
from paribus.records import Rating, Verdict, read_records, write_records

FACTS = Facts("ana", 12.34, 0)


def test_ratings_say_what_was_marked_on_each_side_as_it_was_shown(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0)])
    browser = Browser(made)
    browser.sign_in("ana")
    browser.rate(first_error=["refusal", "factuality"], first_overall="2", second_overall="5")
    first, second = ratings(made)
    assert (first.item, first.rater, first.pass_) == ("toy/input-0/zephyrus-9b/normal", "ana", "errors")
    assert first.errors == ("factuality", "refusal") and second.errors == ()
    assert (first.scores, second.scores) == ({"overall": 2.0}, {"overall": 5.0})
    assert (first.meta["place"], second.meta["place"]) == ("first", "second")
    assert first.meta["form"] == "errors-en-0" and first.meta["model"] == MODELS[0]
    assert first.meta["attention"] == "passed" and first.meta["asked"] == ["factuality", "refusal", "repetition"]
    assert first.meta["seconds"] >= 0 and first.meta["changes"] == 0


@pytest.mark.parametrize(
    ("replies", "result"), [(("yes", "no"), "passed"), (("yes", "yes"), "passed"), (("no", "yes"), "failed")]
)
def test_attention_fails_when_every_check_is_wrong(replies: tuple[str, str], result: str, tmp_path: Path) -> None:
    made = database(tmp_path, [form(0)])
    browser = Browser(made)
    browser.sign_in("ana")
    browser.rate(check_0=replies[0], check_1=replies[1])
    rows = ratings(made)
    assert {row.meta["attention"] for row in rows} == {result}
    assert clean(rows).dropped["attention"] == (2 if result == "failed" else 0)


def test_a_scored_pass_can_check_attention_by_a_number(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0, pass_="quality", attention=("4",))])
    browser = Browser(made)
    assert "Please choose “4” here." in browser.sign_in("ana", "quality").text
    browser.rate("quality", check_0="4")
    assert ratings(made)[0].meta["attention"] == "passed"


def test_all_passes_are_valid_and_survive_the_file(tmp_path: Path) -> None:
    made = database(tmp_path, [form(number, pass_=name) for number in range(2) for name in RATING])
    for task in RATING:
        browser = Browser(made)
        browser.sign_in(task, task)
        browser.rate(task)
        browser.rate(task)
    rows = ratings(made)
    assert len(rows) == 12 and all(validate(row) is row for row in rows)
    write_records(tmp_path / "ratings.jsonl", rows)
    assert list(read_records(tmp_path / "ratings.jsonl", Rating)) == rows


def test_a_planted_preference_is_recovered_as_a_win_rate(tmp_path: Path) -> None:
    """A rater who likes the good answer on three questions of four gives 3/4, whichever side it was shown on."""
    games = game_rows(16)
    made = database(tmp_path, games=games)
    browser = Browser(made)
    browser.sign_in("ana", "arena")
    for number in range(16):
        first = browser.page.text.index("good answer") < browser.page.text.index("poor answer")
        liked = first if number % 4 else not first
        browser.rate("arena", vote="first" if liked else "second")
    rows = verdicts(made, judge="people")
    write_records(tmp_path / "verdicts.jsonl", rows)
    found = win_rate(list(read_records(tmp_path / "verdicts.jsonl", Verdict)), MODELS[0], definition="half_ties")
    assert found.rate.estimate == pytest.approx(0.75)
    assert found.protocol == "single" and found.judge == "people"


@pytest.mark.parametrize(
    ("vote", "ab", "ba"), [("first", "A>B", "B>A"), ("second", "B>A", "A>B"), ("tie", "A=B", "A=B")]
)
def test_labels_speak_of_models_not_of_places(vote: str, ab: str, ba: str) -> None:
    for game in game_rows(6):
        (found,) = ARENA.records(ARENA.row(game).body, {"vote": [vote]}, FACTS)
        assert found.label == (ab if found.order == "ab" else ba)
        assert (found.a, found.b, found.raw) == (*MODELS, vote)
        assert found.meta["question_id"] and not found.meta["both_bad"]


def test_both_bad_is_a_tie_that_can_be_told_from_one() -> None:
    (found,) = ARENA.records(ARENA.row(game_rows(1)[0]).body, {"vote": ["bad"]}, FACTS)
    assert found.label == "A=B" and found.meta["both_bad"] and found.raw == "bad"


def test_one_name_for_all_raters_needs_one_vote_a_game(tmp_path: Path) -> None:
    made = database(tmp_path, games=game_rows(1), quota=2)
    for name in ("ana", "ben"):
        browser = Browser(made)
        browser.sign_in(name, "arena")
        browser.rate("arena")
    assert [row.judge for row in verdicts(made)] == ["ana", "ben"]
    with pytest.raises(DataError, match="'ana' and 'ben'"):
        verdicts(made, judge="people")


def test_an_answer_being_changed_is_exported_as_it_was(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0)])
    browser = Browser(made)
    browser.sign_in("ana")
    browser.rate(first_overall="2")
    browser.post("/errors/change")
    assert ratings(made)[0].scores == {"overall": 2.0}


def test_forms_in_hand_are_not_exported(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0), form(1)])
    browser = Browser(made)
    browser.sign_in("ana")
    browser.rate()
    assert browser.hidden("nonce"), "the second form is in hand"
    assert [row.meta["form"] for row in ratings(made)] == ["errors-en-0"] * 2


def test_nothing_answered_is_said(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0)])
    with pytest.raises(DataError, match="holds no answers to errors or quality or style"):
        ratings(made)
    with pytest.raises(DataError, match="holds no answers to arena"):
        verdicts(made)


def test_fills_tell_what_is_wanted_there_and_in_hand(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0), form(1), form(0, language="de"), form(0, pass_="style")], quota=2)
    browser = Browser(made)
    browser.sign_in("ana")
    browser.rate()
    rows = {(row.task, row.language): row for row in fills(made)}
    assert list(rows) == [("errors", "de"), ("errors", "en"), ("style", "en")]
    english = rows["errors", "en"]
    assert (english.forms, english.wanted, english.answered, english.in_hand, english.raters) == (2, 4, 1, 1, 1)
    assert rows["style", "en"].answered == rows["style", "en"].raters == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"asked": ("nonsense",)}, "asks for 'nonsense'"),
        ({"asked": ()}, "asks for no error"),
        ({"attention": ("maybe",)}, "checks for 'maybe'"),
    ],
)
def test_forms_that_no_page_can_show_are_refused(change: dict[str, tuple[str, ...]], told: str) -> None:
    with pytest.raises(DataError, match=told):
        RATING["errors"].row(form(0).model_copy(update=change))


def test_forms_in_an_unknown_language_are_refused() -> None:
    with pytest.raises(ConfigError, match="Unknown language code 'xx'"):
        RATING["errors"].row(form(0, language="xx"))


def test_what_a_form_does_not_offer_is_not_kept() -> None:
    task = RATING["quality"]
    shown = task.shown(task.row(form(0, pass_="quality")).body)
    posted = {
        "first.quality": ["1"],
        "second.quality": ["5"],
        "vote": ["first"],
        "first.error": ["refusal"],
        "x": ["y"],
    }
    assert read_answer(shown, posted) == {"first.quality": ["1"], "second.quality": ["5"]}
    with pytest.raises(Incomplete, match=r"second\.quality"):
        read_answer(shown, {"first.quality": ["1"]})


def test_a_database_is_read_while_it_is_served(tmp_path: Path) -> None:
    made = database(tmp_path, [form(0)])
    browser = Browser(made)
    browser.sign_in("ana")
    browser.rate()
    assert ratings(Database(made.path)) == ratings(made)
