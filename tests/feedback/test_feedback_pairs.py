"""Preference pairs from scored pools and from translationese, and the best of n."""

from collections import Counter

import pytest
from feedback_toy import answer, gold, prompt, prompts_in
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import DataError
from paribus.feedback.arbiters import GoldArbiter
from paribus.feedback.pairs import best_of_n, best_worst_pairs, translationese_pairs
from paribus.feedback.routing import route


def test_best_and_worst_by_hand() -> None:
    asked = prompt(0)
    rows = [
        answer(asked, m, t, score=s) for m, t, s in [("a", "1 mid", 0.2), ("b", "1 best one", 0.9), ("c", "0", -1.5)]
    ]
    (pair,), statistics = best_worst_pairs([asked], rows)
    assert (pair.chosen, pair.rejected, pair.margin) == ("1 best one", "0", pytest.approx(2.4))
    assert (pair.prompt, pair.prompt_id, pair.language, pair.source) == (asked.messages, asked.id, "en", "best-worst")
    assert pair.meta == {"chosen_model": "b", "rejected_model": "c"}
    assert (statistics.pairs, statistics.margin, statistics.length_gap) == (1, pytest.approx(2.4), 9.0)


@given(st.lists(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), max_size=5), max_size=8), st.integers(0, 3))
def test_pairs_span_the_pool_and_everything_is_counted(scores: list[list[float]], seed: int) -> None:
    asked = [prompt(number, ("en", "hi")[number % 2]) for number in range(len(scores))]
    rows = [
        answer(p, f"m{i}", f"{value} by {i}", score=value)
        for p, own in zip(asked, scores, strict=True)
        for i, value in enumerate(own)
    ]
    pairs, statistics = best_worst_pairs(asked, rows, seed=seed)
    by_id = dict(zip((p.id for p in asked), scores, strict=True))
    for pair in pairs:
        own = by_id[pair.prompt_id]
        assert pair.margin == max(own) - min(own) > 0
        assert float(pair.chosen.split()[0]) == max(own) and float(pair.rejected.split()[0]) == min(own)
    assert statistics.pairs == len(pairs) == sum(len(own) > 1 and max(own) > min(own) for own in scores)
    assert statistics.dropped_single == sum(len(own) < 2 for own in scores)
    dropped = statistics.dropped_ties + statistics.dropped_empty + statistics.dropped_single
    assert statistics.pairs + dropped == len(scores)
    assert sum(statistics.by_language.values()) == len(pairs)
    assert [pair.prompt_id for pair in pairs] == [p.id for p in asked if p.id in {pair.prompt_id for pair in pairs}]


def test_pairs_without_a_margin_are_dropped() -> None:
    alike, same_text, single, empty = (prompt(number) for number in range(4))
    rows = [
        answer(alike, "a", "1 one", score=0.4),
        answer(alike, "b", "1 two", score=0.4),
        answer(same_text, "a", "1 x", score=0.1),
        answer(same_text, "b", "1 x", score=0.2),
        answer(single, "a", "1", score=0.3),
        answer(empty, "a", " ", score=0.9),
        answer(empty, "b", "0", score=0.1),
    ]
    pairs, statistics = best_worst_pairs([alike, same_text, single, empty, prompt(4)], rows)
    assert pairs == []
    counts = statistics.dropped_ties, statistics.dropped_single, statistics.dropped_empty
    assert counts == (2, 2, 1)
    assert (statistics.margin, statistics.length_gap, statistics.chosen_longer) == (0.0, 0.0, 0.0)


def test_a_failed_request_is_no_answer() -> None:
    """Its empty text would be the worst of every pool."""
    asked = prompt(0)
    failed = answer(asked, "c", "", score=0.0).model_copy(update={"finish": "error"})
    good, middling = answer(asked, "a", "1", score=1.0), answer(asked, "b", "0.5", score=0.5)
    (pair,), _ = best_worst_pairs([asked], [good, middling, failed])
    assert pair.rejected == "0.5"
    assert best_worst_pairs([asked], [good, failed])[1].dropped_single == 1
    assert best_of_n([asked], [failed]) == []


def test_an_empty_answer_may_be_the_rejected_one() -> None:
    asked = prompt(0)
    (pair,), _ = best_worst_pairs([asked], [answer(asked, "a", "1", score=1.0), answer(asked, "b", "", score=0.0)])
    assert pair.rejected == ""


def test_statistics_by_hand_and_by_language() -> None:
    english, hindi, turkish = prompt(0), prompt(1, "hi"), prompt(2, "tr")
    rows = [
        answer(english, "a", "1234567890", score=3.0),
        answer(english, "b", "1234", score=1.0),
        answer(hindi, "a", "12", score=1.0),
        answer(hindi, "b", "123", score=0.0),
        answer(turkish, "a", "12", score=6.0),
        answer(turkish, "b", "34", score=0.0),
    ]
    _, found = best_worst_pairs([english, hindi, turkish], rows, source="round-1")
    assert found.by_language == {"en": 1, "hi": 1, "tr": 1} and found.by_source == {"round-1": 3}
    assert (found.margin, found.margin_by_language) == (3.0, {"en": 2.0, "hi": 1.0, "tr": 6.0})
    assert (found.length_gap, found.length_gap_by_language) == (
        pytest.approx(5 / 3),
        {"en": 6.0, "hi": -1.0, "tr": 0.0},
    )
    assert found.chosen_longer == pytest.approx(1 / 3)


def test_a_length_loving_arbiter_shows_in_the_statistics() -> None:
    asked = prompts_in(["en", "hi"], 100)
    texts = ["1", "1 xx", "0 xxxx xxxx", "0 xxxxxx"]
    rows = [answer(p, f"m{i}", text) for p in asked for i, text in enumerate(texts)]
    owners = [p for p in asked for _ in texts]
    fair = GoldArbiter(gold).score(owners, rows)
    lover = [float(len(row.text)) for row in rows]
    found = []
    for scores in (fair, lover):
        scored = [row.model_copy(update={"score": float(s)}) for row, s in zip(rows, scores, strict=True)]
        found.append(best_worst_pairs(asked, scored)[1])
    assert (found[0].chosen_longer, found[1].chosen_longer) == (0.0, 1.0)
    assert found[0].length_gap < 0 < found[1].length_gap


def test_equal_scores_are_drawn_by_the_seed() -> None:
    asked = prompts_in(["en"], 300)
    rows = [answer(p, m, f"1 {m}", score=1.0) for p in asked for m in "ab"] + [
        answer(p, "c", "0", score=0.0) for p in asked
    ]
    first = best_worst_pairs(asked, rows, seed=0)[0]
    assert Counter(pair.meta["chosen_model"] for pair in first)["a"] == pytest.approx(150, abs=4 * 8.7)
    assert first == best_worst_pairs(asked, rows[::-1], seed=0)[0]
    assert first != best_worst_pairs(asked, rows, seed=1)[0]


def test_the_chosen_answer_is_the_one_the_reward_router_takes() -> None:
    """Aya Expanse keeps the pool of arbitrage for its pairs: both must agree on the best score."""
    asked = prompts_in(["en"], 50)
    rows = [
        answer(p, m, f"1 {m}", score=float(hash_) / 7) for p in asked for m, hash_ in zip("abc", (3, 5, 1), strict=True)
    ]
    pool = {p.id: {row.model: row for row in rows if row.prompt_id == p.id} for p in asked}
    routed = route("reward", asked, pool)
    for pair in best_worst_pairs(asked, rows)[0]:
        assert pair.chosen == routed[pair.prompt_id].text


def test_scores_must_be_there() -> None:
    asked = prompt(0)
    with pytest.raises(DataError, match="'a/q0/en#0' has the score None"):
        best_worst_pairs([asked], [answer(asked, "a", "1")])
    with pytest.raises(DataError, match="score nan"):
        best_of_n([asked], [answer(asked, "a", "1", score=float("nan"))])


def test_translationese_is_a_second_source() -> None:
    asked = [prompt(number, "hi") for number in range(4)]
    native = {"q0/hi": "सोमवार", "q1/hi": "same", "q2/hi": " ", "q3/hi": "ठीक"}
    translated = {"q0/hi": "सोम का दिन", "q1/hi": "same", "q2/hi": "x", "q3/hi": ""}
    pairs, found = translationese_pairs(asked, native, translated)
    assert [(pair.chosen, pair.rejected, pair.margin, pair.source) for pair in pairs] == [
        ("सोमवार", "सोम का दिन", None, "translationese")
    ]
    assert (found.pairs, found.dropped_ties, found.dropped_empty, found.dropped_single) == (1, 1, 2, 0)
    assert (found.margin, found.margin_by_language) == (0.0, {})  # a preference without a size
    assert found.length_gap == len("सोमवार") - len("सोम का दिन")
    for lacking in ({"native": {}, "translated": translated}, {"native": native, "translated": {}}):
        with pytest.raises(DataError, match="'q0/hi' lacks its native or its translated answer"):
            translationese_pairs(asked, **lacking)


def test_best_of_n_is_the_best_answer_as_a_training_row() -> None:
    asked = [prompt(0), prompt(1), prompt(2)]
    rows = [
        answer(asked[0], "policy", "0", score=0.1, number=0),
        answer(asked[0], "policy", "1 good", score=0.8, number=1),
        answer(asked[1], "policy", "", score=0.9),
    ]
    (row,) = best_of_n(asked, rows)
    assert (row.id, row.answer, row.source, row.language) == ("q0/en", "1 good", "best-of-n/policy", "en")
    assert row.meta == asked[0].meta
