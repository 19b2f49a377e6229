"""Teacher pools, the five routers on equal terms, and the routing report."""

from dataclasses import replace

import numpy as np
import pytest
from feedback_toy import answer, gold, prompt, prompts_in, skilled_pool

from paribus.errors import ConfigError, DataError
from paribus.feedback.routing import (
    Experts,
    RoutingReport,
    TeacherPool,
    as_examples,
    build_pool,
    find_experts,
    route,
    routing_report,
)

SKILLS = {
    "generalist": {"en": 0.6, "hi": 0.5, "tr": 0.5},
    "northern": {"en": 0.9, "tr": 0.3},
    "southern": {"en": 0.4, "hi": 0.8},
}
REGISTRY = TeacherPool({name: tuple(chances) for name, chances in SKILLS.items()})
ASKED = prompts_in(["en", "hi", "tr"], 600)


@pytest.fixture(scope="module")
def pool() -> dict:
    return skilled_pool(ASKED, SKILLS, np.random.default_rng(0))


@pytest.fixture(scope="module")
def experts() -> Experts:
    practice = prompts_in(["en", "hi", "tr"], 300)
    return find_experts(skilled_pool(practice, SKILLS, np.random.default_rng(1)))


def test_the_registry_says_who_may_answer() -> None:
    assert REGISTRY.teachers("en") == ("generalist", "northern", "southern")
    assert REGISTRY.teachers("hi") == ("generalist", "southern")
    with pytest.raises(ConfigError, match=r"'sw'.*generalist, northern, southern"):
        REGISTRY.teachers("sw")


def test_a_pool_is_complete_or_refused(pool: dict) -> None:
    rows = [row for answers in pool.values() for row in answers.values()]
    assert build_pool(rows, REGISTRY) == pool
    with pytest.raises(ConfigError, match=r"'q0/hi' \(hi\) has no answer of southern"):
        build_pool([row for row in rows if (row.prompt_id, row.model) != ("q0/hi", "southern")], REGISTRY)
    with pytest.raises(ConfigError, match=r"'northern' answered 'q0/hi' in 'hi', which it may not"):
        build_pool([*rows, answer(prompt(0, "hi"), "northern", "1", score=1.0)], REGISTRY)
    with pytest.raises(DataError, match="more than once"):
        build_pool([*rows, rows[0]], REGISTRY)
    with pytest.raises(DataError, match="score None"):
        build_pool([rows[0].model_copy(update={"score": None}), *rows[1:]], REGISTRY)


def test_experts_are_the_planted_ones(experts: Experts) -> None:
    assert experts.by_language == {"en": "northern", "hi": "southern", "tr": "generalist"}
    assert experts.overall == "generalist"  # the only one who answers everything


def test_a_pool_of_specialists_has_no_single_teacher_but_has_experts() -> None:
    skills = {"northern": {"en": 0.9, "tr": 0.6}, "southern": {"hi": 0.8}}
    asked = prompts_in(["en", "hi", "tr"], 5)
    specialists = skilled_pool(asked, skills, np.random.default_rng(0))
    found = find_experts(specialists)
    assert found.overall is None
    assert {row.model for row in route("fixed", asked, specialists, experts=found).values()} == set(skills)
    with pytest.raises(ConfigError, match="no single best one"):
        route("single", asked, specialists, experts=found)
    with pytest.raises(DataError, match="development pool is empty"):
        find_experts({})


def test_routers_choose_as_their_names_say(pool: dict, experts: Experts) -> None:
    single = route("single", ASKED, pool, experts=experts)
    fixed = route("fixed", ASKED, pool, experts=experts)
    reward = route("reward", ASKED, pool)
    predicted = {row.id: "generalist" for row in ASKED}
    assert {row.model for row in single.values()} == {"generalist"}
    assert all(fixed[p.id].model == experts.by_language[p.language] for p in ASKED)
    assert all(reward[p.id].score == max(row.score for row in pool[p.id].values()) for p in ASKED)
    assert route("learned", ASKED, pool, learned=predicted) == single


def test_the_random_router_is_uniform_over_who_may(pool: dict) -> None:
    report = routing_report("random", ASKED, pool, route("random", ASKED, pool), gold)
    for language, shares in report.shares.items():
        able = REGISTRY.teachers(language)
        assert set(shares) == set(able)
        for share in shares.values():
            # Four standard errors over 600 prompts.
            assert share == pytest.approx(1 / len(able), abs=4 * np.sqrt(0.25 / 600))
    assert route("random", ASKED, pool) == route("random", ASKED[::-1], pool)
    assert route("random", ASKED, pool, seed=1) != route("random", ASKED, pool)


def test_ties_of_the_reward_router_are_drawn_not_given_to_the_first_name() -> None:
    asked = prompts_in(["en"], 400)
    pool = {p.id: {name: answer(p, name, "1", score=1.0) for name in ("a", "b")} for p in asked}
    chosen = [row.model for row in route("reward", asked, pool).values()]
    assert chosen.count("a") == pytest.approx(200, abs=4 * 10)


def test_gold_quality_follows_the_planted_order(pool: dict, experts: Experts) -> None:
    mean = {
        name: routing_report(name, ASKED, pool, route(name, ASKED, pool, experts=experts), gold).gold["all"]
        for name in ("single", "random", "fixed", "reward")
    }
    # Planted: the best of all right if anyone is; fixed (.9 + .8 + .5) / 3; single (.6 + .5 + .5) / 3.
    best = np.mean([1 - 0.4 * 0.1 * 0.6, 1 - 0.5 * 0.2, 1 - 0.5 * 0.7])
    expected = {"reward": best, "fixed": 2.2 / 3, "single": 1.6 / 3, "random": (1.9 / 3 + 1.3 / 2 + 0.8 / 2) / 3}
    assert mean == pytest.approx(expected, abs=0.04)


def test_the_report_by_hand() -> None:
    asked = [prompt(0), prompt(1), prompt(0, "hi")]
    pool = {
        asked[0].id: {
            "a": answer(asked[0], "a", "1", score=3.0, tokens=10),
            "b": answer(asked[0], "b", "0", score=1.0, tokens=4),
            "c": answer(asked[0], "c", "0", score=-7.0, tokens=1),
        },
        asked[1].id: {
            "a": answer(asked[1], "a", "0", score=0.5, tokens=20),
            "b": answer(asked[1], "b", "1", score=1.5, tokens=5),
        },
        asked[2].id: {"a": answer(asked[2], "a", "0.5", score=0.0, tokens=7)},
    }
    fixed = route("fixed", asked, pool, experts=Experts({"en": "a", "hi": "a"}))
    report = routing_report("fixed", asked, pool, fixed, gold)
    assert report.shares == {"en": {"a": 1.0}, "hi": {"a": 1.0}}
    assert report.reward_gap == pytest.approx((2.0 + 1.0) / 2)
    assert report.agreement == pytest.approx(2 / 3)
    assert report.agreement_by_language == {"en": 0.5, "hi": 1.0}
    assert report.gold == {"all": 0.5, "en": 0.5, "hi": 0.5}
    assert (report.generated_tokens, report.scorings, report.prompts) == (37, 0, 3)
    reward = routing_report("reward", asked, pool, route("reward", asked, pool), gold)
    assert reward.shares["en"] == {"a": 0.5, "b": 0.5}
    assert (reward.generated_tokens, reward.scorings, reward.agreement) == (47, 6, 1.0)
    assert RoutingReport(**reward.as_dict()) == reward


def test_every_router_answers_every_prompt_once(pool: dict, experts: Experts) -> None:
    """Equal prompt budget; only the generation behind it differs."""
    learned = {p.id: "generalist" for p in ASKED}
    cost = {}
    for name in ("single", "random", "fixed", "reward", "learned"):
        chosen = route(name, ASKED, pool, experts=experts, learned=learned)
        assert list(chosen) == [p.id for p in ASKED]
        assert [row.prompt_id for row in chosen.values()] == list(chosen)
        cost[name] = routing_report(name, ASKED, pool, chosen, gold).generated_tokens
    everything = sum(row.tokens for answers in pool.values() for row in answers.values())
    assert cost["reward"] == everything
    assert all(cost[name] < everything / 2 for name in cost if name != "reward")


def test_without_a_known_truth_the_report_has_no_gold(pool: dict) -> None:
    chosen = route("random", ASKED, pool)
    blind, seeing = (routing_report("random", ASKED, pool, chosen, *truth) for truth in ((), (gold,)))
    assert blind.gold == {}
    assert replace(blind, gold=seeing.gold) == seeing


def test_cost_must_be_known() -> None:
    asked = prompt(0)
    row = answer(asked, "a", "1", score=1.0).model_copy(update={"tokens": None})
    pool = {asked.id: {"a": row}}
    with pytest.raises(DataError, match="no token count"):
        routing_report("reward", [asked], pool, route("reward", [asked], pool), gold)


def test_what_a_router_lacks_is_named(pool: dict, experts: Experts) -> None:
    with pytest.raises(ConfigError, match="no router 'best'"):
        route("best", ASKED, pool)
    for name in ("single", "fixed"):
        with pytest.raises(ConfigError, match=f"{name} router needs the experts"):
            route(name, ASKED, pool)
    with pytest.raises(ConfigError, match="needs its predictions"):
        route("learned", ASKED, pool)
    with pytest.raises(ConfigError, match="no prediction for 'q0/en'"):
        route("learned", ASKED, pool, learned={})
    with pytest.raises(ConfigError, match=r"no expert for 'hi'.*only en"):
        route("fixed", [prompt(0, "hi")], pool, experts=Experts({"en": "northern"}))
    with pytest.raises(ConfigError, match=r"sends 'q0/hi' \(hi\) to 'northern', which may not"):
        route("single", [prompt(0, "hi")], pool, experts=replace(experts, overall="northern"))
    with pytest.raises(DataError, match="no answer to the prompt 'q9999/en'"):
        route("random", [prompt(9999)], pool)


def test_chosen_answers_become_training_rows_and_empty_ones_do_not() -> None:
    asked = [prompt(0), prompt(1)]
    chosen = {asked[0].id: answer(asked[0], "a", "1 yes"), asked[1].id: answer(asked[1], "b", "  ")}
    rows = as_examples(asked, chosen)
    assert [(row.id, row.source, row.answer, row.language, row.task) for row in rows] == [
        ("q0/en", "a", "1 yes", "en", "toy")
    ]
    assert rows[0].messages[:-1] == asked[0].messages
