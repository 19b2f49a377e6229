"""The learned router: both losses, held-out data, and what it may not see."""

import numpy as np
import pytest
from feedback_toy import answer, gold, prompt
from scipy.optimize import check_grad

from paribus.errors import ConfigError, DataError
from paribus.feedback import learned_router
from paribus.feedback.arbiters import unit_noise
from paribus.feedback.learned_router import FEATURES, LearnedRouter, features
from paribus.feedback.routing import route, routing_report
from paribus.records import Prompt

TOPICS = {"sum": "add the numbers {n} and {m}", "name": "what is the capital city of country {n}"}


def _asked(count: int, start: int = 0, languages: tuple[str, ...] = ("en", "hi")) -> list[Prompt]:
    rows = []
    for number in range(start, start + count):
        topic = list(TOPICS)[number % 2]
        for language in languages:
            rows.append(prompt(number, language, TOPICS[topic].format(n=number, m=number + 7)))
    return rows


def _best(asked: Prompt) -> str:
    """Planted: sums go to one teacher and names to another, except in Hindi, which has its own."""
    return "hindi" if asked.language == "hi" else "adder" if "add" in asked.text else "namer"


def _pool(asked: list[Prompt], gap: float = 3.0) -> dict:
    able = {"en": ("adder", "namer"), "hi": ("adder", "namer", "hindi")}
    return {
        row.id: {
            t: answer(row, t, "1" if t == _best(row) else "0", score=gap * (t == _best(row)))
            for t in able[row.language]
        }
        for row in asked
    }


def test_the_language_alone_can_decide() -> None:
    """One text in two languages (numbers, names, code): each has its own best teacher, and both may answer both."""

    def rows(start: int) -> list[Prompt]:
        return [prompt(start + n, language, "12 + 30 =") for n in range(20) for language in ("en", "hi")]

    def pool(asked: list[Prompt]) -> dict:
        return {p.id: {t: answer(p, t, "1", score=float(t == p.language)) for t in ("en", "hi")} for p in asked}

    practice, test = rows(0), rows(100)
    predicted = LearnedRouter.fit(practice, pool(practice)).predict(test, pool(test))
    assert predicted == {p.id: p.language for p in test}


@pytest.mark.parametrize("loss", ["kl", "ce"])
def test_it_finds_the_planted_experts_on_prompts_it_has_not_seen(loss: str) -> None:
    practice, test = _asked(60), _asked(60, start=1000)
    router = LearnedRouter.fit(practice, _pool(practice), evaluation=[p.id for p in test], loss=loss)
    predicted = router.predict(test, _pool(test))
    assert predicted == {p.id: _best(p) for p in test}
    pool = _pool(test)
    report = routing_report("learned", test, pool, route("learned", test, pool, learned=predicted), gold)
    assert (report.agreement, report.gold["all"]) == (1.0, 1.0)
    assert report.generated_tokens == len(test)


def test_nothing_to_learn_gives_the_average_teacher() -> None:
    """Scores that do not depend on the prompt: the router must not pretend to know more than the shares."""
    practice, test = _asked(200, languages=("en",)), _asked(50, start=1000, languages=("en",))
    pool = {
        p.id: {t: answer(p, t, "1", score=float((unit_noise(p.id) < 0.7) == (t == "a"))) for t in "ab"}
        for p in practice
    }
    test_pool = {p.id: {t: answer(p, t, "1", score=0.0) for t in "ab"} for p in test}
    chances = LearnedRouter.fit(practice, pool, loss="ce", penalty=1e-2).probabilities(test, test_pool)
    assert chances.sum(1) == pytest.approx(1.0)
    assert chances[:, 0].mean() == pytest.approx(0.7, abs=0.08)


def test_kl_learns_the_softmax_of_the_rewards_and_ce_the_best() -> None:
    practice, test = _asked(150, languages=("en",)), _asked(20, start=1000, languages=("en",))
    pool = {p.id: {"a": answer(p, "a", "1", score=1.0), "b": answer(p, "b", "0", score=0.0)} for p in practice}
    test_pool = {p.id: {t: answer(p, t, "1") for t in "ab"} for p in test}
    for temperature in (0.5, 1.0, 2.0):
        router = LearnedRouter.fit(practice, pool, loss="kl", temperature=temperature, penalty=1e-5)
        expected = 1 / (1 + np.exp(-1 / temperature))
        assert router.probabilities(test, test_pool)[:, 0] == pytest.approx(expected, abs=0.02)
    hard = LearnedRouter.fit(practice, pool, loss="ce", penalty=1e-5).probabilities(test, test_pool)
    assert hard[:, 0].min() > 0.97


def test_the_gradient_is_that_of_the_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    practice = _asked(4)
    rng = np.random.default_rng(0)
    checked = []

    def examine(objective: object, start: np.ndarray, **_: object) -> object:
        point = rng.normal(size=start.size) * 0.1
        some = rng.choice(start.size, 40, replace=False)

        def at(values: np.ndarray) -> np.ndarray:
            full = point.copy()
            full[some] = values
            return full

        error = check_grad(lambda v: objective(at(v))[0], lambda v: objective(at(v))[1][some], point[some])
        checked.append(error)
        return type("Found", (), {"x": start})

    monkeypatch.setattr("scipy.optimize.minimize", examine)
    LearnedRouter.fit(practice, _pool(practice))
    assert checked[0] < 1e-6


def test_overlap_with_the_evaluation_is_an_error() -> None:
    practice = _asked(10)
    with pytest.raises(ConfigError, match=r"2 prompts are in both.*'q3/en'"):
        LearnedRouter.fit(practice, _pool(practice), evaluation=["q3/en", "q4/hi", "q99/en"])
    # Also where the evaluation was not declared: it answers no prompt that it was fitted on.
    router = LearnedRouter.fit(practice, _pool(practice))
    mixed = [*_asked(2, start=50), practice[0]]
    with pytest.raises(ConfigError, match=r"fitted on 1 of these prompts, such as 'q0/en'"):
        router.predict(mixed, _pool(mixed))


def test_only_who_may_answer_is_asked() -> None:
    practice = _asked(30)
    router = LearnedRouter.fit(practice, _pool(practice))
    test = _asked(10, start=100)
    chances = router.probabilities(test, _pool(test))
    barred = [row for row, p in zip(chances, test, strict=True) if p.language == "en"]
    assert router.teachers == ("adder", "hindi", "namer")
    assert all(row[1] == 0.0 for row in barred)
    stranger = {p.id: {"other": answer(p, "other", "1")} for p in test}
    with pytest.raises(ConfigError, match=r"None of the router's teachers \(adder, hindi, namer\)"):
        router.predict(test, stranger)


def test_scores_of_the_evaluated_pool_are_never_read() -> None:
    practice, test = _asked(30), _asked(10, start=100)
    router = LearnedRouter.fit(practice, _pool(practice))
    bare = {k: {t: row.model_copy(update={"score": None}) for t, row in v.items()} for k, v in _pool(test).items()}
    assert router.predict(test, bare) == router.predict(test, _pool(test))
    assert router.predict([], {}) == {}


def test_settings_and_data_that_cannot_be_used() -> None:
    practice = _asked(3)
    pool = _pool(practice)
    for bad in ({"loss": "mse"}, {"temperature": 0.0}):
        with pytest.raises(ConfigError, match="use 'kl' or 'ce', and one above 0"):
            LearnedRouter.fit(practice, pool, **bad)
    with pytest.raises(DataError, match="got none"):
        LearnedRouter.fit([], pool)
    with pytest.raises(DataError, match="no answer to the prompt 'q5/en'"):
        LearnedRouter.fit(_asked(1, start=5), pool)
    unscored = {k: {t: row.model_copy(update={"score": None}) for t, row in v.items()} for k, v in pool.items()}
    with pytest.raises(DataError, match="has the score None"):
        LearnedRouter.fit(practice, unscored)


def test_features_are_unit_vectors_that_know_language_and_text() -> None:
    rows = [prompt(0, "en", "same"), prompt(1, "en", "same"), prompt(2, "fr", "same"), prompt(3, "ar", "مرحبا")]
    matrix = features(rows)
    assert matrix.shape == (4, FEATURES)
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(matrix[0], matrix[1])
    assert 0.5 < matrix[0] @ matrix[2] < 1.0
    assert learned_router.features([]).shape == (0, FEATURES)


def test_a_fit_is_a_pure_function_of_its_data() -> None:
    practice = _asked(20)
    first, second = (LearnedRouter.fit(practice, _pool(practice)) for _ in range(2))
    np.testing.assert_array_equal(first.weights, second.weights)
    assert first.fitted_on == {p.id for p in practice}
