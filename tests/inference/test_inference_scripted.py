"""The scripted engine: a rule, words as tokens, scores where given."""

import pytest

from paribus.errors import EngineError
from paribus.inference.engine import Engine
from paribus.inference.scripted import ScriptedEngine


def shout(request):
    return request.messages[-1].content.upper()


def test_replies_follow_the_rule_in_order(ask):
    engine = ScriptedEngine(shout, name="loud")
    replies = engine.generate([ask("b c", id="1"), ask("a", id="2")])
    assert [(reply.request_id, reply.text, reply.tokens, reply.finish) for reply in replies] == [
        ("1", "B C", 2, "stop"),
        ("2", "A", 1, "stop"),
    ]
    assert isinstance(engine, Engine)
    assert engine.name == "loud"
    assert engine.generate([]) == []


def test_long_answers_are_cut_at_words(ask):
    [reply] = ScriptedEngine(shout).generate([ask("a b c d", max_tokens=3)])
    assert (reply.text, reply.tokens, reply.finish) == ("A B C", 3, "length")
    [whole] = ScriptedEngine(shout).generate([ask("a b c d", max_tokens=4)])
    assert (whole.text, whole.finish) == ("A B C D", "stop")


def test_saying_nothing_is_no_words(ask):
    [reply] = ScriptedEngine(lambda request: "").generate([ask("a")])
    assert (reply.text, reply.tokens, reply.finish) == ("", 0, "stop")


def test_scores_come_from_the_score_rule(score):
    engine = ScriptedEngine(shout, score=lambda request: -float(len(request.completion)))
    got = engine.logprobs([score("a", "two words"), score("a", "")])
    assert [(found.logprob, found.tokens) for found in got] == [(-9.0, 2), (0.0, 0)]


def test_without_a_score_rule_there_are_no_scores(score):
    with pytest.raises(EngineError, match=r"'quiet' has no score rule; pass score="):
        ScriptedEngine(shout, name="quiet").logprobs([score("a", "b")])


def test_ids_that_occur_twice_are_refused(ask, score):
    engine = ScriptedEngine(shout, score=lambda request: 0.0)
    with pytest.raises(EngineError, match="'a' occurs twice"):
        engine.generate([ask("x", id="a"), ask("y", id="a")])
    with pytest.raises(EngineError, match="occurs twice"):
        engine.logprobs([score("x", "y")] * 2)


def test_a_bug_in_the_rule_is_let_through(ask):
    with pytest.raises(ZeroDivisionError):
        ScriptedEngine(lambda request: str(1 / 0)).generate([ask("a")])
