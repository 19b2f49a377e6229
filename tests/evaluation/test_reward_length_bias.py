"""Planted length bias is found, absent bias is not, correlations as scipy's."""

import numpy as np
import pytest
from reward_cases import By, pair
from scipy import stats

from paribus.evaluation.length_bias import length_bias, length_gaps
from paribus.evaluation.reward_models import Outcomes, score_pairs


def planted(count: int, weight: float, seed: int = 0, language: str = "de"):
    """Answers with a quality ('+' or '-'), a length unrelated to it, noise of their own; a scorer of all three."""
    random = np.random.default_rng(seed)
    sizes = random.integers(5, 60, size=(count, 2))
    pairs = [pair(n, f"{n:04}+{'x' * a}", f"{n:04}-{'x' * b}", language=language) for n, (a, b) in enumerate(sizes)]
    noise = {text: random.normal() for row in pairs for text in (row.chosen, row.rejected)}
    return pairs, By(lambda text: 2 * text.count("+") + weight * np.log(len(text)) + noise[text])


def test_planted_bias_is_found() -> None:
    pairs, scorer = planted(600, weight=2.0)
    found = length_bias(score_pairs(scorer, pairs), resamples=500)[0]
    assert found.gap.low > 0.1 and found.longer.estimate > found.shorter.estimate
    assert found.pearson.low > 0.2 and found.spearman.low > 0.2
    assert found.pairs == 600 and found.longer_wins.contains(0.5)


def test_no_bias_where_none_is() -> None:
    contained = 0
    for seed in range(20):
        pairs, scorer = planted(150, weight=0.0, seed=seed)
        found = length_bias(score_pairs(scorer, pairs), resamples=400, by_language=False)[0]
        contained += found.gap.contains(0.0) and found.pearson.contains(0.0)
    assert contained >= 16  # 2 x 95%, 20 times


def test_correlations_are_scipys() -> None:
    pairs, scorer = planted(80, weight=0.5)
    scored = score_pairs(scorer, pairs)
    gaps, found = length_gaps(pairs), length_bias(scored, resamples=200)[0]
    assert found.pearson.estimate == pytest.approx(stats.pearsonr(scored.margins, gaps).statistic)
    assert found.spearman.estimate == pytest.approx(stats.spearmanr(scored.margins, gaps).statistic)
    assert found.pearson.low < found.pearson.estimate < found.pearson.high


def test_resampled_correlations_match_resampled_rows() -> None:
    """The closed form from cluster sums is the correlation over repeated rows."""
    from paribus.evaluation.length_bias import _pearson

    x, y = np.random.default_rng(1).normal(size=(2, 30))
    times = np.random.default_rng(2).integers(0, 4, size=30)
    moments = np.stack([np.ones(30), x, y, x * x, y * y, x * y])
    repeated = np.corrcoef(np.repeat(x, times), np.repeat(y, times))[0, 1]
    assert _pearson((moments @ times)[None])[0] == pytest.approx(repeated)


def test_by_hand_and_by_language() -> None:
    pairs = [
        pair(0, "long answer", "short", language="de"),
        pair(1, "ab", "abcd", language="de"),
        pair(2, "same", "size", language="sw"),
    ]
    everything, german, swahili = length_bias(Outcomes("judge", tuple(pairs), np.array([1.0, 0.5, 0.0])), resamples=200)
    assert (everything.longer.estimate, everything.shorter.estimate) == (1.0, 0.5)
    assert everything.gap.estimate == 0.5 and everything.longer_wins.estimate == 0.5 and everything.equal == 1
    assert german.language == "de" and german.pairs == 2
    assert swahili.longer is None and swahili.gap is None and swahili.longer_wins is None and swahili.equal == 1
    assert everything.pearson is None and everything.spearman is None


def test_by_group() -> None:
    pairs = [pair(0, "longer", "s", subset="x"), pair(1, "s", "longer", subset="y", language="sw")]
    found = length_bias(Outcomes("j", tuple(pairs), np.ones(2)), group=lambda row: row.meta["subset"], resamples=100)
    cells = {(row.language, row.group): row for row in found}
    assert set(cells) == {("all", "all"), ("de", "all"), ("sw", "all"), ("all", "x"), ("all", "y")}
    assert cells["all", "x"].longer.estimate == 1.0 and cells["all", "x"].shorter is None
    assert cells["all", "y"].shorter.estimate == 1.0 and cells["all", "y"].pairs == 1


def test_another_measure_of_length() -> None:
    row = pair(0, "one two three", "onetwothreefourfive")
    assert length_gaps([row])[0] < 0
    assert length_gaps([row], length=lambda text: len(text.split()))[0] == pytest.approx(np.log(4 / 2))


def test_pairs_on_one_question_are_one_cluster() -> None:
    alone = [pair(n, "a" * (5 + n % 7), "b" * 8) for n in range(60)]
    copies = [
        pair(100 * k + n, row.chosen, row.rejected, question=f"q{n}") for k in range(5) for n, row in enumerate(alone)
    ]
    scorer = By(lambda text: len(text) * (1 if len(text) % 2 else -1))
    once, often = (length_bias(score_pairs(scorer, rows), resamples=800)[0] for rows in (alone, copies))
    assert often.pairs == 300 and often.longer_wins.n == once.longer_wins.n
    assert often.longer_wins.width == pytest.approx(once.longer_wins.width, rel=0.02)
