"""Pairs: the better answer first, cues and noise at exactly the share asked for."""

import math
import random
from collections import Counter

import pytest

from paribus.errors import ConfigError
from paribus.world.graded import GradedConfig, GradedWorld, better, draw_pair, draw_plan, grade, quality, to_pair

DRAWS = 2000


@pytest.fixture(scope="module")
def world() -> GradedWorld:
    return GradedWorld(GradedConfig(languages=("en", "de"), per_cell=50))


def near(share: float, wanted: float, draws: int) -> bool:
    """Within four standard errors of what is wanted (1 in 16,000 by chance; the draws are fixed)."""
    return abs(share - wanted) <= 4 * math.sqrt(max(wanted * (1 - wanted), 1e-9) / draws)


def test_the_better_answer_comes_first_by_the_checker_too(world: GradedWorld) -> None:
    rng = random.Random(0)
    for request in world.requests("train") * 3:
        first, second = draw_pair(world, request, rng)
        assert better(first, second)
        assert grade(request, first.text).score > grade(request, second.text).score


@pytest.mark.parametrize("cue", ["long", "booster"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 1.0])
def test_the_cue_is_with_the_preferred_at_the_share(world: GradedWorld, cue: str, share: float) -> None:
    rng = random.Random(1)
    with_first = 0
    for number in range(DRAWS):
        request = world.requests("train")[number % 100]
        first, second = draw_pair(world, request, rng, cue, share)
        assert better(first, second)
        knob = "wordiness" if cue == "long" else "assertiveness"
        steps = getattr(first.plan, knob), getattr(second.plan, knob)
        assert sorted(steps) == [0, 2]
        with_first += steps[0] == 2
    assert near(with_first / DRAWS, share, DRAWS)


def test_the_cue_says_nothing_of_the_truth_at_one_half(world: GradedWorld) -> None:
    """At a share of .5 the planted errors are spread alike over answers with and without the cue."""
    rng = random.Random(2)
    errors: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for number in range(DRAWS):
        for answer in draw_pair(world, world.requests("train")[number % 100], rng, "long", 0.5):
            errors[answer.plan.wordiness == 2].update(answer.plan.errors)
    for error in errors[True]:
        rate = (errors[True][error] + errors[False][error]) / (2 * DRAWS)
        assert near(errors[True][error] / DRAWS, rate, DRAWS // 2), error


def test_noise_flips_labels_and_the_cue_follows_the_label(world: GradedWorld) -> None:
    rng = random.Random(3)
    flipped = with_first = 0
    for number in range(DRAWS):
        request = world.requests("train")[number % 100]
        first, second = draw_pair(world, request, rng, "booster", 0.9, label_noise=0.2)
        flipped += better(second, first)
        with_first += first.plan.assertiveness == 2
    assert near(flipped / DRAWS, 0.2, DRAWS) and near(with_first / DRAWS, 0.9, DRAWS)


def test_plans_are_drawn_at_their_rates() -> None:
    rng = random.Random(4)
    plans = [draw_plan(rng, error_rate=0.3, refusal_rate=0.1) for _ in range(DRAWS)]
    answering = [plan for plan in plans if "refusal" not in plan.errors]
    assert near(1 - len(answering) / DRAWS, 0.1, DRAWS)
    for error in ("factuality", "formatting", "repetition"):
        assert near(sum(error in plan.errors for plan in answering) / len(answering), 0.3, len(answering))
    for knob, steps in (("assertiveness", 5), ("complexity", 3), ("wordiness", 3)):
        counts = Counter(getattr(plan, knob) for plan in plans)
        assert len(counts) == steps and all(near(count / DRAWS, 1 / steps, DRAWS) for count in counts.values())


def test_a_pair_record_says_the_true_margin(world: GradedWorld) -> None:
    request = world.requests("test")[0]
    good, bad = draw_pair(world, request, random.Random(5))
    right, wrong = to_pair(request, "p", good, bad), to_pair(request, "q", bad, good)
    assert right.margin == pytest.approx(quality(good) - quality(bad)) == -wrong.margin
    assert (right.prompt_id, right.prompt[0].content, right.chosen) == (request.id, request.text, good.text)
    assert right.meta == {"question_id": request.cluster}


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"cue": "bold"}, "Unknown cue 'bold'"),
        ({"cue": "long", "cue_share": 1.5}, "cue_share is a probability, got 1.5"),
        ({"label_noise": -0.1}, "label_noise is a probability, got -0.1"),
    ],
)
def test_settings_off_range_are_refused(world: GradedWorld, settings: dict, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        draw_pair(world, world.requests("train")[0], random.Random(6), **settings)
