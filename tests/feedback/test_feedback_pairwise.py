"""A judge as arbiter: round robins, and where no score can be given."""

import numpy as np
import pytest
from feedback_toy import answer, gold, prompt, prompts_in, quality

from paribus.errors import ConfigError, DataError
from paribus.feedback.arbiters import arbiter_accuracy, ensure_distinct
from paribus.feedback.engine_judge import EngineJudge
from paribus.feedback.games import Game
from paribus.feedback.judges import RuleJudge
from paribus.feedback.pairwise import PairwiseArbiter
from paribus.inference.engine import GenerationRequest
from paribus.inference.scripted import ScriptedEngine
from paribus.records import Completion, Verdict


def _pool(languages: list[str], count: int, seed: int = 0) -> tuple[list, list[Completion]]:
    rng = np.random.default_rng(seed)
    asked = prompts_in(languages, count)
    rows = [answer(p, "policy", f"{rng.random():.3f} x", number=n) for p in asked for n in range(4)]
    return [p for p in asked for _ in range(4)], rows


def test_scores_are_mean_results_of_a_round_robin() -> None:
    asked = prompt(0)
    rows = [answer(asked, "m", text, number=n) for n, text in enumerate(["0.9", "0.5", "0.5 too", "0.1"])]
    scores = PairwiseArbiter(RuleJudge(gold)).score([asked] * 4, rows)
    assert scores == pytest.approx([1.0, 0.5, 0.5, 0.0])


def test_an_unbiased_judge_orders_every_pool_as_the_truth_does() -> None:
    owners, rows = _pool(["en", "hi"], 30)
    order = np.random.default_rng(1).permutation(len(rows))
    arbiter = PairwiseArbiter(RuleJudge(gold))
    scores = np.zeros(len(rows))
    scores[order] = arbiter.score([owners[i] for i in order], [rows[i] for i in order])
    scored = [row.model_copy(update={"score": float(s)}) for row, s in zip(rows, scores, strict=True)]
    assert arbiter_accuracy({p.id: p for p in owners}, scored, gold)[0].accuracy == 1.0
    np.testing.assert_array_equal(scores, arbiter.score(owners, rows))


def test_position_bias_cancels_and_length_bias_does_not() -> None:
    asked = prompt(0)
    rows = [answer(asked, "m", text, number=n) for n, text in enumerate(["0.5", "0.5 " + "x" * 50])]
    assert PairwiseArbiter(RuleJudge(gold, position_bias=9.0)).score([asked] * 2, rows).tolist() == [0.5, 0.5]
    assert PairwiseArbiter(RuleJudge(gold, length_bias=1.0)).score([asked] * 2, rows).tolist() == [0.0, 1.0]


def test_a_model_behind_an_engine_can_be_the_arbiter() -> None:
    def rule(request: GenerationRequest) -> str:
        texts = [part.split("\n")[1] for part in request.messages[1].content.split("\n\n")[1:]]
        gap = quality(texts[0]) - quality(texts[1])
        return "[[A>>B]]" if gap > 0 else "[[B>>A]]"

    owners, rows = _pool(["en"], 5)
    arbiter = PairwiseArbiter(EngineJudge(ScriptedEngine(rule, name="org/model")))
    np.testing.assert_array_equal(arbiter.score(owners, rows), PairwiseArbiter(RuleJudge(gold)).score(owners, rows))
    with pytest.raises(ConfigError, match="are the same"):
        ensure_distinct(arbiter, "org/model")


class Mute:
    """A judge whose replies about one answer cannot be read."""

    identity = "mute"

    def __init__(self, about: str) -> None:
        self.about = about

    def judge(self, games: list[Game]) -> list[Verdict]:
        """The rule judge's verdicts, some without their label."""
        rows = RuleJudge(gold).judge(games)
        return [row.model_copy(update={"label": None}) if self.about in (row.a, row.b) else row for row in rows]


def test_answers_without_a_readable_game_are_refused() -> None:
    asked = prompt(0)
    rows = [answer(asked, "m", text, number=n) for n, text in enumerate(["0.9", "0.5", "0.1"])]
    with pytest.raises(DataError, match=r"'m/q0/en#1' has no readable game"):
        PairwiseArbiter(Mute(rows[1].id)).score([asked] * 3, rows)
    with pytest.raises(DataError, match=r"'m/q0/en#0' has no readable game"):
        PairwiseArbiter(RuleJudge(gold)).score([asked], rows[:1])
    assert PairwiseArbiter(RuleJudge(gold)).score([], []).shape == (0,)
