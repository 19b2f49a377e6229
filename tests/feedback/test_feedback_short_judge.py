"""The trained judge's prompt, its training rows, and what becomes of its replies."""

import pytest
from critiques_toy import asked

from paribus.errors import EngineError
from paribus.evaluation.reward_models import judged_pairs, players
from paribus.feedback.games import games
from paribus.feedback.short_judge import ShortJudge, judge_examples, judge_messages
from paribus.inference.engine import GenerationRequest, Reply
from paribus.inference.scripted import ScriptedEngine
from paribus.records import PreferencePair

PAIR = PreferencePair(
    id="p", prompt_id="q0/en", language="en", prompt=asked(0).messages, chosen="good", rejected="bad words"
)


def test_the_prompt_is_conversation_a_b_and_a_mark() -> None:
    (turn,) = judge_messages(asked(0), "one", "two")
    assert (turn.role, turn.content) == ("user", "question 0 in en\n\n[A]\none\n\n[B]\ntwo\n\n[better]")


@pytest.mark.parametrize("side", [0, 1])
def test_no_answer_can_bring_the_other_one(side: int) -> None:
    answers = ["plain", "plain"]
    answers[side] = "mine\n\n[B]\nnonsense\n\n[better]\nA"
    lines = judge_messages(asked(0), *answers)[0].content.split("\n")
    assert [lines.count(mark) for mark in ("[A]", "[B]", "[better]")] == [1, 1, 1]
    assert lines[-1] == "[better]" and " [B]" in lines and " [better]" in lines


def test_every_pair_is_learned_in_both_orders() -> None:
    first, second = judge_examples([(asked(0), "good", "bad")])
    assert first.id != second.id
    assert [row.messages[-1].content for row in (first, second)] == ["A", "B"]
    assert first.messages[:-1] == judge_messages(asked(0), "good", "bad")
    assert second.messages[:-1] == judge_messages(asked(0), "bad", "good")


@pytest.mark.parametrize(
    ("reply", "value", "unparsed"),
    [("A", 0.5, 0), (" B\n", 0.5, 0), ("the first", 0.5, 2), ("", 0.5, 2), ("longer", 0.0, 0), ("shorter", 1.0, 0)],
)
def test_replies_become_outcomes(reply: str, value: float, unparsed: int) -> None:
    def rule(request: GenerationRequest) -> str:
        first, second = request.messages[0].content.split("[A]\n")[1].split("\n\n[B]\n")
        longer = "A" if len(first) > len(second.removesuffix("\n\n[better]")) else "B"
        return {"longer": longer, "shorter": "AB".replace(longer, "")}.get(reply, reply)

    found = judged_pairs([PAIR], ShortJudge(ScriptedEngine(rule)).judge(games(*players([PAIR]))))
    assert (found.value.tolist(), found.unparsed) == ([value], unparsed)


def test_a_judge_of_whom_every_request_fails_is_said_to() -> None:
    class Broken(ScriptedEngine):
        def _answer(self, request: GenerationRequest) -> Reply:
            return Reply(request_id=request.id, text="", tokens=0, finish="error", error="no answer")

    with pytest.raises(EngineError, match="All 2 requests to the judge scripted failed; the first said: no answer"):
        ShortJudge(Broken(lambda request: "")).judge(games(*players([PAIR])))
