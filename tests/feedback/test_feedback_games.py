"""Protocols of play, verdicts as seen from either side, and parse rates."""

import numpy as np
import pytest
from feedback_toy import answer, prompt, prompts_in

from paribus.errors import ConfigError, DataError
from paribus.evaluation.games import protocol_of
from paribus.evaluation.prompts import cluster_of, question_lookup
from paribus.feedback.games import Game, games, parse_rates, verdict
from paribus.records import Completion, Message, Prompt
from paribus.statistics import wilson

ASKED = prompts_in(["ar", "en", "tr"], 200)


def _answers(model: str, asked: list[Prompt] = ASKED) -> dict[str, Completion]:
    return {p.id: answer(p, model, f"1 {model}") for p in asked}


def test_a_double_game_is_played_both_ways() -> None:
    played = games(ASKED, _answers("ours"), _answers("base"))
    assert [game.order for game in played] == ["ab", "ba"] * len(ASKED)
    assert [game.prompt.id for game in played] == [p.id for p in ASKED for _ in range(2)]
    assert {(game.a.model, game.b.model, game.protocol) for game in played} == {("ours", "base", "double")}


def test_a_single_game_is_drawn_fairly_and_by_the_seed() -> None:
    played = games(ASKED, _answers("ours"), _answers("base"), protocol="single")
    first = np.array([game.order == "ab" for game in played])
    assert len(played) == len(ASKED)
    # Four standard errors of a fair coin.
    assert first.mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / len(ASKED)))
    by_language = first.reshape(-1, 3)
    assert (by_language.min(1) != by_language.max(1)).mean() > 0.5  # languages of a question draw for themselves
    assert played == games(ASKED, _answers("ours"), _answers("base"), protocol="single")
    assert played != games(ASKED, _answers("ours"), _answers("base"), protocol="single", seed=1)


@pytest.mark.parametrize(
    ("shown", "seen_from_ba"),
    [("A>>B", "B>>A"), ("A>B", "B>A"), ("A=B", "A=B"), ("B>A", "A>B"), ("B>>A", "A>>B"), (None, None)],
)
def test_labels_speak_of_models_not_of_places(shown: str | None, seen_from_ba: str | None) -> None:
    asked = prompt(0, "ar")
    for order, label in (("ab", shown), ("ba", seen_from_ba)):
        row = verdict(
            Game(asked, answer(asked, "ours", "1"), answer(asked, "base", "0"), order), "j", shown, "raw text"
        )
        assert (row.label, row.a, row.b, row.order, row.judge, row.raw) == (
            label,
            "ours",
            "base",
            order,
            "j",
            "raw text",
        )
        assert (row.prompt_id, row.language) == ("q0/ar", "ar")
        assert row.meta == {"question_id": "q0", "task": "toy", "protocol": "double"}


def test_verdicts_carry_the_cluster_that_evaluation_resamples() -> None:
    message = (Message(role="user", content="?"),)
    world = Prompt(id="x", language="en", messages=message, task="sum", meta={"fact": "3+4"})
    bare = Prompt(id="y", language="en", messages=message)
    for asked in (world, bare, prompt(3, "tr")):
        row = verdict(Game(asked, answer(asked, "a", "1"), answer(asked, "b", "1"), "ab"), "j", "A=B", "")
        assert row.meta["question_id"] == cluster_of(asked) == question_lookup([asked])(row)


def test_what_was_declared_is_what_evaluation_reads() -> None:
    for protocol in ("double", "single"):
        played = games(ASKED, _answers("ours"), _answers("base"), protocol=protocol)
        rows = [verdict(game, "j", "A=B", "") for game in played]
        assert protocol_of(rows) == protocol
        assert {row.meta["protocol"] for row in rows} == {protocol}


def test_games_that_cannot_be_played() -> None:
    ours, base = _answers("ours"), _answers("base")
    with pytest.raises(ConfigError, match="no protocol 'triple'"):
        games(ASKED, ours, base, protocol="triple")
    with pytest.raises(DataError, match=r"Model b has not answered the prompt 'q199/tr' \(tr\)"):
        games(ASKED, ours, {k: v for k, v in base.items() if k != "q199/tr"})
    with pytest.raises(ConfigError, match=r"'q0/ar' are by 'ours'; rename"):
        games(ASKED, ours, ours)
    # One id in two languages: a table by prompt id holds the answer to one of them only.
    twins = [prompt(0, "en").model_copy(update={"id": "p"}), prompt(0, "tr").model_copy(update={"id": "p"})]
    with pytest.raises(DataError, match=r"'p' is for 'tr' and the prompt is in 'en'"):
        games(twins, _answers("ours", twins), _answers("base", twins))


def test_parse_rates_by_language_with_intervals() -> None:
    played = games(ASKED, _answers("ours"), _answers("base"))
    rng = np.random.default_rng(0)
    lost = {"ar": 0.3, "en": 0.0, "tr": 0.1}
    rows = [verdict(game, "j", None if rng.random() < lost[game.prompt.language] else "A>B", "") for game in played]
    table = {row.language: row.interval for row in parse_rates(rows)}
    assert set(table) == {"all", "ar", "en", "tr"}
    for language, share in lost.items():
        # Four standard errors over 400 games.
        assert table[language].estimate == pytest.approx(1 - share, abs=4 * np.sqrt(share * (1 - share) / 400))
    assert 0 < table["ar"].width < 0.12
    assert (table["en"].estimate, table["en"].low) == (1.0, pytest.approx(wilson(200, 200).low))
    assert table["all"].estimate == pytest.approx(np.mean([row.label is not None for row in rows]))
    assert table["all"].n == 200
    with pytest.raises(DataError):
        parse_rates([])
