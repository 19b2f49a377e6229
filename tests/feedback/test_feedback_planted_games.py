"""From rule judge to report: win rates, position bias, ratings and style control find what was planted."""

from collections.abc import Sequence

import numpy as np
import pytest
from feedback_toy import answer, gold, prompts_in
from scipy.special import ndtr
from scipy.stats import binomtest

from paribus.evaluation.benchmark_quality import (
    agreement_with_confidence,
    pair_rank_brier,
    rank_correlation,
    separability,
)
from paribus.evaluation.bradley_terry import bradley_terry
from paribus.evaluation.position import position_report
from paribus.evaluation.style import completion_styles
from paribus.evaluation.style_control import Coefficient, StyleControlled, style_control
from paribus.evaluation.winrate import win_rate, win_rate_table
from paribus.feedback.games import games
from paribus.feedback.judges import RuleJudge
from paribus.records import Completion, Prompt, Verdict

LANGUAGES = ("ar", "en", "hi")


def _answers(asked: Sequence[Prompt], model: str, marks: Sequence[float], words: Sequence[int] | int = 3) -> dict:
    lengths = [words] * len(asked) if isinstance(words, int) else words
    texts = [f"{mark:.4f}{' word' * int(n)}" for mark, n in zip(marks, lengths, strict=True)]
    return {p.id: answer(p, model, text) for p, text in zip(asked, texts, strict=True)}


def _right(rng: np.random.Generator, asked: Sequence[Prompt], share: float, sticky: float = 0.6) -> list[float]:
    """1 or 0 each; a hard question tends to be hard in all languages."""
    common = {p.meta["question_id"]: rng.random() for p in asked}
    draws = [common[p.meta["question_id"]] if rng.random() < sticky else rng.random() for p in asked]
    return [float(draw < share) for draw in draws]


def _judged(
    judge: RuleJudge, asked: Sequence[Prompt], ours: dict, base: dict, protocol: str = "double"
) -> list[Verdict]:
    return judge.judge(games(asked, ours, base, protocol=protocol, seed=judge.seed))


@pytest.mark.parametrize("protocol", ["double", "single"])
def test_win_rate_intervals_cover_the_true_win_rate(protocol: str) -> None:
    """Two models, right 0.7 and 0.5 of the time, questions shared by three languages; drawn anew in every trial."""
    rng = np.random.default_rng(1)
    asked = prompts_in(LANGUAGES, 40)
    truth = {"ties_apart": 0.7 * 0.5, "half_ties": 0.7 * 0.5 + (0.7 * 0.5 + 0.3 * 0.5) / 2}
    covered, trials = dict.fromkeys(truth, 0), 120
    for trial in range(trials):
        ours, base = (_answers(asked, m, _right(rng, asked, s)) for m, s in (("ours", 0.7), ("base", 0.5)))
        verdicts = _judged(RuleJudge(gold, tie_band=0.1, seed=trial), asked, ours, base, protocol)
        for definition, value in truth.items():
            covered[definition] += win_rate(verdicts, "ours", definition, resamples=200, rng=rng).rate.contains(value)
    for count in covered.values():
        assert binomtest(count, trials, 0.95).pvalue > 0.001


def test_win_rates_by_language_are_those_of_the_planted_judge() -> None:
    """The judge errs, leans to the first place and to length; its truth is known, and double games undo the place."""
    rng = np.random.default_rng(2)
    asked = prompts_in(LANGUAGES, 400)
    skill = {"ar": 0.3, "en": 0.9, "hi": 0.6}
    marks = [float(rng.random() < skill[p.language]) for p in asked]
    ours, base = _answers(asked, "ours", marks), _answers(asked, "base", [0.5] * len(asked))
    judge = RuleJudge(gold, position_bias=0.3, length_bias=2.0, tie_band=0.05, noise=0.05)
    table = win_rate_table(_judged(judge, asked, ours, base), ["ours"], resamples=500)
    for language, share in skill.items():
        assert table.of("ours", language).rate.contains(share)
    played = games(asked, ours, base)
    assert [row.label for row in judge.true_verdicts(played)] == [
        "A>B" if gold(g.prompt, g.a.text) > 0.5 else "B>A" for g in played
    ]
    assert {row.judge for row in judge.true_verdicts(played)} == {
        "truth behind rule judge (length 0, position 0, tie 0.05, noise 0)"
    }


@pytest.mark.parametrize(("bias", "noise"), [(0.5, 1.0), (-0.3, 0.5), (0.0, 1.0)])
def test_the_position_report_recovers_the_planted_bias(bias: float, noise: float) -> None:
    """Equal answers: the first shown wins with chance Phi(bias / noise), each game on its own."""
    asked = prompts_in(LANGUAGES, 500)
    ours, base = (_answers(asked, m, [0.5] * len(asked)) for m in ("ours", "base"))
    report = position_report(_judged(RuleJudge(gold, position_bias=bias, noise=noise), asked, ours, base), "ours")
    first = ndtr(bias / noise)
    error = np.sqrt(first * (1 - first) / (2 * len(asked)))
    assert report.first_wins.estimate == pytest.approx(first, abs=4 * error)
    assert report.first_win_gap.estimate == pytest.approx(2 * first - 1, abs=8 * error)
    # The winner changes with the order where the same place won twice.
    assert report.flip_rate.estimate == pytest.approx(first**2 + (1 - first) ** 2, abs=0.05)
    assert report.reversal_rate.estimate == report.flip_rate.estimate
    assert report.consistent_wins.contains(0.5)
    assert report.first_wins.contains(0.5) == (bias == 0)
    assert report.prompts == len(asked)


def test_position_intervals_cover_the_planted_bias() -> None:
    asked = prompts_in(["en", "hi"], 40)
    ours, base = (_answers(asked, m, [0.5] * len(asked)) for m in ("ours", "base"))
    trials, covered = 120, 0
    for seed in range(trials):
        judge = RuleJudge(gold, position_bias=0.4, noise=1.0, seed=seed)
        report = position_report(_judged(judge, asked, ours, base), "ours", resamples=200, rng=seed)
        covered += report.first_wins.contains(ndtr(0.4))
    assert binomtest(covered, trials, 0.95).pvalue > 0.001


def test_a_model_against_itself_wins_half() -> None:
    """A/A: whatever the judge's biases, a difference is claimed at the nominal rate."""
    asked = prompts_in(["en", "hi"], 40)
    rng = np.random.default_rng(3)
    trials, claims = 120, {"double": 0, "single": 0}
    for seed in range(trials):
        marks, words = rng.random(len(asked)), rng.integers(1, 9, len(asked))
        ours, base = (_answers(asked, m, marks, words) for m in ("ours", "base"))
        judge = RuleJudge(gold, position_bias=0.5, length_bias=1.0, tie_band=0.2, noise=1.0, seed=seed)
        for protocol in claims:
            verdicts = _judged(judge, asked, ours, base, protocol)
            claims[protocol] += not win_rate(verdicts, "ours", "half_ties", resamples=200, rng=rng).rate.contains(0.5)
    for count in claims.values():
        assert binomtest(count, trials, 0.05).pvalue > 0.001


def test_a_judge_that_sees_only_places_gives_exactly_half_in_double_games() -> None:
    asked = prompts_in(LANGUAGES, 30)
    ours, base = _answers(asked, "ours", [1.0] * len(asked)), _answers(asked, "base", [0.0] * len(asked))
    verdicts = _judged(RuleJudge(gold, position_bias=5.0), asked, ours, base)
    assert win_rate(verdicts, "ours", "half_ties").rate.estimate == 0.5
    assert win_rate(verdicts, "ours", "ties_apart").rate.estimate == 0.0
    report = position_report(verdicts, "ours")
    assert (report.first_wins.estimate, report.flip_rate.estimate, report.consistent_wins) == (1.0, 1.0, None)


MARKS = {"strong": 0.9, "middling": 0.6, "weak": 0.2}


def test_ratings_find_the_planted_strengths() -> None:
    """Games against the baseline only: the fitted chance is the win rate, which is Phi(gap / noise)."""
    asked = prompts_in(LANGUAGES, 300)
    base = _answers(asked, "base", [0.5] * len(asked))
    verdicts = []
    for model, mark in MARKS.items():
        ours = _answers(asked, model, [mark] * len(asked))
        verdicts += _judged(RuleJudge(gold, noise=0.5, position_bias=0.1), asked, ours, base)
    found = bradley_terry(verdicts, "base", weighting="half_ties", resamples=200)
    for model, mark in MARKS.items():
        chance = (ndtr((mark - 0.5 + 0.1) / 0.5) + ndtr((mark - 0.5 - 0.1) / 0.5)) / 2
        error = np.sqrt(chance * (1 - chance) / (2 * len(asked)))
        assert found.win_probability[model].estimate == pytest.approx(chance, abs=4 * error)
    order = sorted(found.ratings, key=lambda name: -found.ratings[name].estimate)
    assert order == ["strong", "middling", "base", "weak"]


def test_a_noisy_leaning_judge_still_ranks_models_as_the_truth_does() -> None:
    """Two judges as two benchmarks: the biased one against the planted truth behind it."""
    asked = prompts_in(LANGUAGES, 150)
    base = _answers(asked, "base", [0.5] * len(asked))
    marks = np.random.default_rng(4).normal(0, 0.3, len(asked))
    judge, seen, true = RuleJudge(gold, noise=0.3, position_bias=0.2, tie_band=0.05), [], []
    for model, mark in MARKS.items():
        played = games(asked, _answers(asked, model, np.maximum(mark + marks, 0)), base)
        seen += judge.judge(played)
        true += judge.true_verdicts(played)
    found, truth = (bradley_terry(rows, "base", weighting="half_ties", resamples=200) for rows in (seen, true))
    assert separability(found.ratings) == 1.0
    assert agreement_with_confidence(found.ratings, truth.ratings) == 1.0
    points = {name: row.estimate for name, row in truth.ratings.items()}
    assert rank_correlation({name: row.estimate for name, row in found.ratings.items()}, points) == pytest.approx(1.0)
    assert pair_rank_brier(found.draws, found.models, points) < 0.01


def _controlled(length_bias: float, better: float, longer: float, seed: int = 0) -> StyleControlled:
    """Our answers are ``better`` in gold and, on average, exp(``longer``) times as long; noise has deviation 1."""
    rng = np.random.default_rng(seed)
    asked = prompts_in(LANGUAGES, 500)
    n = len(asked)
    ours = _answers(asked, "ours", [0.5 + better] * n, np.exp(rng.normal(3 + longer, 0.4, n)).round().astype(int))
    base = _answers(asked, "base", [0.5] * n, np.exp(rng.normal(3, 0.4, n)).round().astype(int))
    verdicts = _judged(RuleJudge(gold, length_bias=length_bias, noise=1.0, seed=seed), asked, ours, base)
    rows: list[Completion] = [*ours.values(), *base.values()]
    styles = completion_styles(rows, count_tokens=len)
    return style_control(verdicts, styles, "base", weighting="half_ties", resamples=100)


def _length(found: StyleControlled) -> Coefficient:
    return next(row for row in found.coefficients if row.feature == "length")


@pytest.mark.parametrize("better", [0.0, 0.4])
def test_style_control_recovers_the_planted_length_bias(better: float) -> None:
    found = _controlled(length_bias=0.8, better=better, longer=0.5)
    truth = ndtr(better)
    # Without control the longer model is flattered: Phi(better + 0.8 * 0.5), a little less after rounding.
    assert found.plain["ours"].estimate > truth + 0.08
    assert found.at_zero_gap["ours"].contains(truth)
    assert found.at_zero_gap["ours"].estimate == pytest.approx(truth, abs=0.05)
    assert found.at_mean_gap["ours"].estimate == pytest.approx(found.plain["ours"].estimate, abs=0.03)
    # (a - b) / (a + b) is half the log ratio for answers alike, and a probit of slope 1 looks like a logit of 1.6-1.7.
    assert _length(found).per_unit == pytest.approx(2 * 0.8 * 1.65, rel=0.2)
    assert _length(found).per_sd.low > 0


def test_style_control_finds_no_bias_where_none_was_planted() -> None:
    found = _controlled(length_bias=0.0, better=0.4, longer=0.5)
    assert _length(found).per_sd.contains(0.0)
    for chance in (found.plain, found.at_zero_gap):
        assert chance["ours"].contains(ndtr(0.4))
