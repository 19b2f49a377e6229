"""Rankings: planted order by language, style that explains a lead, agreement with a reference, what is refused."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from simulated_games import game

from paribus.errors import DataError
from paribus.evaluation.benchmark_quality import benchmark_quality
from paribus.evaluation.ranking import Ranking, Unranked, rank, rank_by_language, read_reference
from paribus.evaluation.significance import win_rate_groups
from paribus.evaluation.style import Style
from paribus.evaluation.winrate import joint_draws, win_rate
from paribus.records import Verdict
from paribus.statistics import Interval

TRUTH = {"first": 1300.0, "second": 1150.0, "third": 1000.0, "fourth": 850.0}


def _tournament(seed: int, languages: tuple[str, ...] = ("en", "de"), questions: int = 60) -> list[Verdict]:
    rng, verdicts = np.random.default_rng(seed), []
    for language in languages:
        for number in range(questions):
            for a, b in combinations(TRUTH, 2):
                won = rng.random() < 1 / (1 + 10 ** ((TRUTH[b] - TRUTH[a]) / 400))
                verdicts += [
                    game("A>B" if won else "B>A", order, f"q{number}", language, a=a, b=b) for order in ("ab", "ba")
                ]
    return verdicts


def test_the_planted_order_is_found_in_every_language() -> None:
    whole, *each = rank_by_language(_tournament(0), "third", resamples=200)
    assert isinstance(whole, Ranking) and [row.language for row in each] == ["de", "en"]
    for ranking in (whole, *each):
        assert isinstance(ranking, Ranking)
        assert ranking.groups.models == tuple(TRUTH)
        assert ranking.rating.ratings["third"].estimate == 1000.0
    assert whole.groups.letters == {"first": "a", "second": "b", "third": "c", "fourth": "d"}
    # Tests of differences on shared questions tell apart at least what whole intervals do.
    assert whole.groups.separability >= whole.separability
    assert whole.games == dict.fromkeys(sorted(TRUTH), 2 * 2 * 60 * 3)


def test_the_model_with_most_games_is_the_default_baseline() -> None:
    verdicts = [game("A=B", "ab", f"q{i}", a=name, b="hub") for name in ("a", "z") for i in range(3)]
    assert rank(verdicts, resamples=100).rating.baseline == "hub"


def test_a_language_that_cannot_be_ranked_says_why() -> None:
    verdicts = _tournament(1, ("en",), 10)
    verdicts.append(game("A>B", "ab", "q0", "sw", a="first", b="second"))
    whole, english, swahili = rank_by_language(verdicts, "third", resamples=100)
    assert isinstance(whole, Ranking) and isinstance(english, Ranking)
    assert isinstance(swahili, Unranked) and "third" in swahili.reason


def test_a_lead_by_length_alone_vanishes_at_equal_style() -> None:
    rng, verdicts, styles = np.random.default_rng(2), [], {}
    for number in range(300):
        tokens = {"long": int(rng.integers(300, 700)), "short": int(rng.integers(100, 300))}
        gap = (tokens["long"] - tokens["short"]) / sum(tokens.values())
        won = rng.random() < 1 / (1 + np.exp(-2.5 * gap))
        verdicts.append(game("A>B" if won else "B>A", "ab", f"q{number}", a="long", b="short"))
        styles |= {(name, f"q{number}", "en"): Style(count, 0, 0, 0) for name, count in tokens.items()}
    ranking = rank(verdicts, "short", resamples=200, styles=styles, style_resamples=60)
    assert ranking.groups.letters == {"long": "a", "short": "b"}
    assert ranking.style is not None and ranking.style.at_zero_gap["long"].contains(0.5)


def test_a_reference_is_compared_on_the_shared_models() -> None:
    reference = {
        name: Interval(s, s - 20, s + 20, 0.95, 9, ("votes",)) for name, s in TRUTH.items() if name != "second"
    }
    ranking = rank(_tournament(3), "third", resamples=200, reference=reference)
    quality = ranking.quality
    assert quality is not None and quality.left_out == ("second",) and not quality.missing
    assert (quality.agreement, quality.agreement_signed, quality.spearman) == (1.0, 1.0, pytest.approx(1.0))
    assert quality.brier is not None and quality.brier < 0.01
    flat = dict.fromkeys(reference, Interval(1.0, 0.0, 2.0, 0.95, 9, ("votes",)))
    undefined = benchmark_quality(ranking.rating.ratings, ranking.rating.draws, flat)
    assert (undefined.agreement, undefined.brier, undefined.spearman) == (None, None, None)
    assert len(undefined.missing) == 3
    with pytest.raises(DataError, match=r"share 0 model\(s\)"):
        benchmark_quality(ranking.rating.ratings, ranking.rating.draws, {"stranger": flat["first"]})


def test_joint_draws_share_their_questions() -> None:
    verdicts = [row for row in _tournament(4, ("en",)) if "third" in (row.a, row.b)]
    joint = joint_draws(verdicts, ["first", "second", "fourth"], "half_ties", baseline="third", resamples=400)
    assert joint.n == 60 and list(joint.scores) == ["first", "second", "fourth"]
    for i, name in enumerate(joint.scores):
        single = win_rate(verdicts, name, "half_ties", baseline="third", resamples=400).rate
        assert joint.scores[name] == pytest.approx(single.estimate)
        assert joint.draws[:, i].std() == pytest.approx(single.width / 3.92, rel=0.2)
    # Copies of one model win and lose together: their difference has no spread, and no letter parts them.
    copies = [*verdicts, *(row.model_copy(update={"a": "copy"}) for row in verdicts if row.a == "first")]
    both = joint_draws(copies, ["first", "copy"], baseline="third", resamples=50)
    np.testing.assert_allclose(both.draws[:, 0], both.draws[:, 1])
    groups = win_rate_groups(copies, ["first", "copy", "fourth"], baseline="third")
    assert groups.letters == {"first": "a", "copy": "a", "fourth": "b"}


def test_several_judges_are_refused() -> None:
    verdicts = [game("A>B"), game("A>B", prompt="p", judge="k")]
    with pytest.raises(DataError, match=r"2 judges \(j, k\)"):
        rank(verdicts)


def test_a_game_that_is_there_twice_is_refused() -> None:
    verdicts = [game("A>B", order, a="x", b="y") for order in ("ab", "ba")]
    assert rank(verdicts, resamples=100).games == {"x": 2, "y": 2}
    mirrored = game("B>A", "ba", a="y", b="x")  # the first game again, told from the other side
    with pytest.raises(DataError, match="of x and y twice with x shown first"):
        rank([*verdicts, mirrored], resamples=100)


def test_a_language_too_small_for_style_control_is_ranked_without() -> None:
    verdicts, rng = _tournament(3, ("en",), 30), np.random.default_rng(3)
    # Swahili: x always wins, and is always the longer one, so that style and model cannot be told apart.
    verdicts += [game("A>B", "ab", f"q{i}", "sw", a="first", b="third") for i in range(3)]
    styles = {
        (name, row.prompt_id, row.language): Style(int(rng.integers(50, 90)) + 500 * (name == "first"), 0, 0, 0)
        for row in verdicts
        for name in (row.a, row.b)
    }
    whole, english, swahili = rank_by_language(verdicts, "third", styles=styles, resamples=100, style_resamples=20)
    for row in (whole, english):
        assert isinstance(row, Ranking) and row.style is not None and row.unstyled == ""
    assert isinstance(swahili, Ranking) and swahili.style is None and "separates wins from losses" in swahili.unstyled


def test_references_are_read_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "votes.csv"
    file.write_text("model,score,low,high\na,1200,1190,1215\nb,1100,,\n")
    found = read_reference(file)
    assert (found["a"].low, found["a"].high, found["b"].width) == (1190.0, 1215.0, 0.0)
    for content, message in [
        ("model,score,low,high\na,1200,1210,1220\n", r"score 1200\.0 outside its interval"),
        ("model,score\na,high\n", "could not convert"),
        ("name,score\na,1\n", "KeyError"),
    ]:
        file.write_text(content)
        with pytest.raises(DataError, match=message):
            read_reference(file)
