"""Panels of judges: planted agreement and bias, majorities by hand, agreement whoever is called a."""

import numpy as np
import pytest
from feedback_toy import answer, gold, prompts_in
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import ConfigError, DataError
from paribus.evaluation.winrate import win_rate
from paribus.feedback.games import games
from paribus.feedback.judges import RuleJudge
from paribus.feedback.panel import JudgePanel, game_key, majority, panel_report
from paribus.records import Verdict
from paribus.statistics import cohen_kappa

LABELS = ("A>>B", "A>B", "A=B", "B>A", "B>>A", None)
SWAPPED = {"A>>B": "B>>A", "A>B": "B>A", "A=B": "A=B", "B>A": "A>B", "B>>A": "A>>B", None: None}


def verdict(judge: str, label: str | None, number: int = 0, *, language: str = "en", order: str = "ab") -> Verdict:
    meta = {"question_id": f"q{number}", "protocol": "single"}
    return Verdict(
        prompt_id=f"q{number}/{language}",
        language=language,
        a="ours",
        b="base",
        judge=judge,
        order=order,
        label=label,
        raw=f"{judge} says {label}",
        meta=meta,
    )


def exchanged(row: Verdict) -> Verdict:
    """The same game with the other model called a."""
    order = "ba" if row.order == "ab" else "ab"
    return row.model_copy(update={"a": row.b, "b": row.a, "order": order, "label": SWAPPED[row.label]})


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        (["A>B", "A>B", "B>A"], "A>B"),
        (["A>>B", "A>>B", "B>>A"], "A>>B"),
        (["A>>B", "A>B", "A=B"], "A>B"),
        (["A>B", "A=B", "B>A"], "A=B"),
        (["A>B", "A=B"], "A=B"),
        (["A>B", "A>>B"], "A>B"),
        (["B>A", "B>>A"], "B>A"),
        (["A>B", "B>A"], "A=B"),
        (["A>B", "A>B", "A=B", "B>A"], "A=B"),
        (["A>B", "A>B", None], "A>B"),
        (["A>B", None, None], None),
        (["A>B", None], None),
        ([None, None, None], None),
    ],
)
def test_the_majority_is_the_median_vote(votes: list[str | None], expected: str | None) -> None:
    (row,) = majority([verdict(f"j{n}", vote) for n, vote in enumerate(votes)])
    assert row.label == expected
    assert row.judge == f"panel of {', '.join(f'j{n}' for n in range(len(votes)))}"
    assert row.meta["votes"] == {f"j{n}": vote for n, vote in enumerate(votes)}
    assert (row.meta["question_id"], row.raw) == ("q0", "")


@settings(deadline=None)
@given(st.lists(st.sampled_from(LABELS), min_size=2, max_size=5), st.data())
def test_a_majority_does_not_care_who_is_called_a(votes: list[str | None], data: st.DataObject) -> None:
    rows = [verdict(f"j{n}", vote) for n, vote in enumerate(votes)]
    turned = [exchanged(row) if data.draw(st.booleans()) else row for row in rows]
    assert [game_key(row) for row in rows] == [game_key(row) for row in turned]
    (plain,), (mixed,) = majority(rows), majority(turned)
    assert plain.label == (mixed.label if mixed.a == "ours" else SWAPPED[mixed.label])
    one, other = panel_report(rows, resamples=100), panel_report(turned, resamples=100)
    assert [(row.same.estimate, row.opposite.estimate) for row in one.pairs] == [
        (row.same.estimate, row.opposite.estimate) for row in other.pairs
    ]


def test_judges_that_disagree_by_plan() -> None:
    """On 40 questions in two languages j2 contradicts j1 on a quarter of the German and on no Hindi games."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        for language in ("de", "hi"):
            label = ("A>B", "B>A")[int(rng.integers(2))]
            wrong = language == "de" and number % 4 == 0
            rows += [verdict("j1", label, number, language=language)]
            rows += [verdict("j2", SWAPPED[label] if wrong else label, number, language=language)]
    found = {row.language: row for row in panel_report(rows, resamples=400).pairs}
    assert (found["de"].same.estimate, found["hi"].same.estimate, found["all"].same.estimate) == (0.75, 1.0, 0.875)
    assert found["de"].opposite.estimate == 0.25
    assert found["de"].same.n == 40 and found["all"].games == 80 and found["all"].left_out == 0
    assert found["de"].same.low < 0.75 < found["de"].same.high < 1.0
    assert found["hi"].same.low < 1.0  # forty agreements are no certainty
    outcomes = [[1.0 if row.label == "A>B" else -1.0 for row in rows if row.judge == j] for j in ("j1", "j2")]
    assert found["all"].kappa is not None
    assert found["all"].kappa.estimate == pytest.approx(cohen_kappa(*outcomes))


def test_judges_that_guess_agree_by_chance_alone() -> None:
    rng = np.random.default_rng(1)
    labels = ("A>B", "B>A")
    rows = [verdict(f"j{j}", labels[int(rng.integers(2))], number) for number in range(400) for j in range(3)]
    report = panel_report(rows, resamples=400)
    for row in report.pairs:
        if row.language == "all":
            assert row.kappa is not None and row.kappa.low < 0.0 < row.kappa.high
    alpha = report.alpha["all"]
    assert alpha is not None and alpha.low < 0.0 < alpha.high
    assert abs(alpha.estimate) < 0.1


def test_strong_and_plain_wins_are_one_outcome() -> None:
    rows = [verdict("j1", "A>>B", n) for n in range(4)] + [verdict("j2", "A>B", n) for n in range(4)]
    (row, _) = panel_report(rows, resamples=100).pairs
    assert row.same.estimate == 1.0
    assert row.kappa is None  # one outcome throughout: kappa has nothing to divide by


def test_unread_and_missing_games_are_left_out_and_counted() -> None:
    rows = [verdict("j1", "A>B", n) for n in range(6)]
    rows += [verdict("j2", None if n == 0 else "A>B", n) for n in range(5)]
    rows += [verdict("j3", "A=B", 99)]
    report = panel_report(rows, resamples=100)
    found = {(row.first, row.second): row for row in report.pairs if row.language == "all"}
    assert (found["j1", "j2"].games, found["j1", "j2"].left_out) == (4, 2)
    assert report.apart == (("j1", "j3"), ("j2", "j3"))
    assert {(s.judge, s.language): s.parse_rate.estimate for s in report.standings}["j2", "all"] == 0.8


def _rule_games(count: int = 60) -> list:
    asked = prompts_in(["de", "tr"], count)
    rng = np.random.default_rng(2)
    texts = {m: [f"{rng.random():.2f} {m}" for _ in asked] for m in ("ours", "base")}
    sides = [{p.id: answer(p, m, texts[m][i]) for i, p in enumerate(asked)} for m in ("ours", "base")]
    return games(asked, *sides)


def test_a_panel_judges_like_one_and_finds_its_biased_member() -> None:
    fair = RuleJudge(gold, name="fair")
    noisy = RuleJudge(gold, noise=0.2, name="noisy")
    biased = RuleJudge(gold, position_bias=2.0, name="of places")
    panel, played = JudgePanel([fair, noisy, biased]), _rule_games()
    members = panel.members(played)
    common = panel.judge(played)
    assert len(members) == 3 * len(common) == 3 * len(played)
    assert {row.judge for row in common} == {panel.identity}
    truth = {game_key(row): row.label for row in fair.judge(played)}
    right = np.mean([row.label == truth[game_key(row)] for row in common])
    alone = np.mean([row.label == truth[game_key(row)] for row in noisy.judge(played)])
    assert right > alone  # the biased one cancels over places; the majority still mends some of the noise
    standings = {row.judge: row for row in panel_report(members, resamples=200).standings if row.language == "all"}
    first = {name.split(" (")[0]: row.position.first_wins.estimate for name, row in standings.items()}
    assert first == {"fair": 0.5, "noisy": pytest.approx(0.5, abs=0.1), "of places": 1.0}
    assert win_rate(common, "ours", "ties_apart", resamples=200).rate.estimate > 0


def test_panels_of_one_and_repeated_games_are_refused() -> None:
    with pytest.raises(ConfigError, match="too few judges"):
        JudgePanel([RuleJudge(gold)])
    with pytest.raises(ConfigError, match="the same judge twice"):
        JudgePanel([RuleJudge(gold), RuleJudge(gold)])
    with pytest.raises(DataError, match="by 'j1' alone"):
        panel_report([verdict("j1", "A>B")])
    with pytest.raises(DataError, match="by 'nobody' alone"):
        majority([])
    with pytest.raises(DataError, match=r"'j1' judged the prompt 'q0/en' \(en\) of base and ours twice with ours"):
        majority([verdict("j1", "A>B"), exchanged(verdict("j1", "A>B")), verdict("j2", "A>B")])
