"""Critics: rules of set quality, models through engines; what they are asked and what they leave behind."""

import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from critiques_toy import VOICE, asked, claims, many_answers, said
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import ConfigError, DataError, EngineError
from paribus.feedback.critiques import (
    CRITIQUE_TEMPLATE,
    ONE_TURN_TEMPLATE,
    SHORT_TEMPLATE,
    EngineCritic,
    RuleCritic,
    claims_of,
    graded_critic,
)
from paribus.inference.engine import GenerationRequest, Reply
from paribus.inference.scripted import ScriptedEngine
from paribus.records import Critique, Message, Prompt


def right_share(critic: RuleCritic, prompts: Sequence[Prompt], answers: Sequence[object]) -> float:
    found = critic.critique(prompts, answers)
    hits = [
        dict.fromkeys(claims(prompt, answer.text)).keys() >= {claim}
        for prompt, answer, critique in zip(prompts, answers, found, strict=True)
        for claim in claims_of(critique)
    ]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 0.75, 0.9, 1.0])
def test_claims_are_right_as_often_as_set(accuracy: float) -> None:
    """7 claims about each of 400 answers: the standard error is below 0.01."""
    share = right_share(RuleCritic(claims, VOICE, accuracy), *many_answers(400))
    assert share == pytest.approx(accuracy, abs=0.04 if 0 < accuracy < 1 else 0)


def test_a_worse_critic_is_wrong_wherever_a_better_one_is() -> None:
    rows = many_answers(60)
    wrong = [
        {
            (critique.completion_id, claim.target)
            for critique, prompt, answer in zip(RuleCritic(claims, VOICE, q).critique(*rows), *rows, strict=True)
            for claim in claims_of(critique)
            if claim not in claims(prompt, answer.text)
        }
        for q in (1.0, 0.9, 0.75, 0.5)
    ]
    assert not wrong[0] and all(better < worse for better, worse in pairwise(wrong))


def test_omissions_leave_all_other_sentences_as_they_are() -> None:
    rows = many_answers(50)
    whole, partial = (RuleCritic(claims, VOICE, 0.8, omission).critique(*rows) for omission in (0.0, 0.4))
    sentences = [[set(critique.text.split("; ")) for critique in side] for side in (whole, partial)]
    assert all(few <= all_ for all_, few in zip(*sentences, strict=True))
    kept = sum(map(len, sentences[1])) / sum(map(len, sentences[0]))
    assert kept == pytest.approx(0.6, abs=0.08)


def test_a_critic_that_omits_everything_still_says_one_thing() -> None:
    found = RuleCritic(claims, VOICE, omission=1.0).critique(*many_answers(20))
    assert all(len(claims_of(critique)) == 1 and critique.text for critique in found)


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["1 0", "0 0 1", "1"]), min_size=1, max_size=5), st.integers(0, 3), st.floats(0, 1))
def test_what_is_said_stands_where_the_record_says(texts: list[str], seed: int, accuracy: float) -> None:
    prompts = [asked(number % 2) for number in range(len(texts))]
    critic = RuleCritic(claims, VOICE, accuracy, omission=0.3, seed=seed)
    found = critic.critique(prompts, [said(p, t, str(n)) for n, (p, t) in enumerate(zip(prompts, texts, strict=True))])
    assert [row.completion_id for row in found] == [f"{p.id}#{n}" for n, p in enumerate(prompts)]
    by_answer: dict[tuple[str, str], set[str]] = {}
    for prompt, text, critique in zip(prompts, texts, found, strict=True):
        rows = [row for side in critique.aspects.values() for row in side]
        assert all(critique.text[row["at"] :].startswith(row["said"]) for row in rows)
        assert "; ".join(row["said"] for row in sorted(rows, key=lambda row: row["at"])) == critique.text
        by_answer.setdefault((prompt.id, text), set()).add(critique.text)
    assert all(len(written) == 1 for written in by_answer.values())


def test_rule_critics_name_their_settings_and_refuse_odd_ones() -> None:
    (prompt,), (answer,) = many_answers(1)
    critic = RuleCritic(claims, VOICE, 0.9, 0.1, seed=3)
    (critique,) = critic.critique([prompt], [answer])
    assert critique.critic == critic.identity == "rules (accuracy 0.9, omission 0.1, seed 3)"
    assert critique.meta["sampling"] == {"accuracy": 0.9, "omission": 0.1, "seed": 3}
    assert (critique.meta["template"], critique.meta["language"]) == ("claims/1", "en")
    assert Critique.model_validate_json(critique.model_dump_json()) == critique
    with pytest.raises(ConfigError, match=r"accuracy=1\.2"):
        RuleCritic(claims, VOICE, 1.2)
    with pytest.raises(ConfigError, match="omission=-1"):
        RuleCritic(claims, VOICE, omission=-1)
    with pytest.raises(DataError, match="Nothing is claimed"):
        critic.critique([prompt], [said(prompt, "")])


@pytest.mark.parametrize("language", ["de", "hi", "ja", "ar"])
def test_the_graded_critic_says_the_truth_in_the_answers_language(language: str) -> None:
    import random

    from paribus.world.graded import GradedConfig, GradedWorld, claims_about, draw_plan, read, write_answer

    world, dice = GradedWorld(GradedConfig(languages=(language,), per_cell=20)), random.Random(1)
    asked_ = world.requests("test")
    answers = [write_answer(world, request, draw_plan(dice), dice) for request in asked_]
    rows = [answer.to_completion(f"a{number}") for number, answer in enumerate(answers)]
    found = graded_critic().critique([request.to_prompt() for request in asked_], rows)
    for request, answer, critique in zip(asked_, answers, found, strict=True):
        assert read(critique.text, language) == claims_about(request, answer)


WEEKDAY = Prompt(id="w1", language="en", messages=(Message(role="user", content="Which day comes after Monday?"),))
GOLDEN_MATERIAL = """--- CONVERSATION {code} ---
Which day comes after Monday?
--- END CONVERSATION {code} ---

--- ANSWER {code} ---
Tuesday
--- END ANSWER {code} ---"""


def test_golden_prompts() -> None:
    rules, material = CRITIQUE_TEMPLATE.write(WEEKDAY, "Tuesday")
    code = re.search(r"carry the code (\w+)", rules.content)[1]
    assert (rules.role, material.role) == ("system", "user")
    assert material.content == GOLDEN_MATERIAL.format(code=code)
    assert rules.content.startswith("You are a careful reviewer. You read one conversation, which is in English,")
    assert all(f'"{name}:"' in rules.content for name in ("Instruction", "Correctness", "Style"))
    assert rules.content.endswith("Give no score, no grade and no overall verdict.")
    (whole,) = ONE_TURN_TEMPLATE.write(WEEKDAY, "Tuesday")
    assert whole.content == f"{rules.content}\n\n{material.content}"
    (short,) = SHORT_TEMPLATE.write(WEEKDAY, "Tuesday")
    assert short.content == "Which day comes after Monday?\n\n[answer]\nTuesday\n\n[critique]"
    names = [template.identity for template in (CRITIQUE_TEMPLATE, ONE_TURN_TEMPLATE, SHORT_TEMPLATE)]
    assert names == ["review/1", "review-one-turn/1", "short/1"]


def test_a_translation_is_reviewed_in_the_language_asked_for() -> None:
    wanted = WEEKDAY.model_copy(update={"meta": {"answer_language": "de"}})
    assert "the language (German) that were wanted" in CRITIQUE_TEMPLATE.write(wanted, "Dienstag")[0].content


@given(st.text(max_size=80))
def test_an_answer_cannot_close_its_frame(text: str) -> None:
    rules, material = CRITIQUE_TEMPLATE.write(WEEKDAY, text)
    code = re.search(r"carry the code (\w+)", rules.content)[1]
    framed = re.search(rf"--- ANSWER {code} ---\n(.*)\n--- END ANSWER {code} ---", material.content, re.DOTALL)
    assert framed[1] == text


def test_paragraphs_are_read_by_aspect() -> None:
    reply = "**Instruction:** Done as asked.\n\nCorrectness: The day is wrong:\nit is Tuesday.\n- style : Curt."
    assert CRITIQUE_TEMPLATE.read(reply) == {
        "instruction": "Done as asked.",
        "correctness": "The day is wrong:\nit is Tuesday.",
        "style": "Curt.",
    }
    assert CRITIQUE_TEMPLATE.read("It is fine.") == {} == SHORT_TEMPLATE.read(reply)


class Counting:
    """Answers by a rule and keeps what it was asked; ``None`` is a failed request."""

    name = "counting"

    def __init__(self, rule) -> None:
        self.rule, self.asked = rule, []

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Reply]:
        self.asked += requests
        return [self._reply(request, self.rule(request)) for request in requests]

    def _reply(self, request: GenerationRequest, text: str | None) -> Reply:
        if text is None:
            return Reply(request_id=request.id, text="", tokens=0, finish="error", error="HTTP 503")
        return Reply(request_id=request.id, text=text, tokens=3, finish="stop")

    def logprobs(self, requests: Sequence[object]) -> list[object]:
        raise NotImplementedError


def test_equal_answers_are_asked_about_once() -> None:
    engine = Counting(lambda request: "Instruction: yes.")
    critic = EngineCritic(engine, max_tokens=9, temperature=0.7, seed=5)
    prompts = [asked(0), asked(0), asked(1)]
    answers = [said(prompt, text, name) for prompt, text, name in zip(prompts, "xxx", "abc", strict=True)]
    found = critic.critique(prompts, answers)
    assert len(engine.asked) == 2
    assert [row.completion_id for row in found] == [answer.id for answer in answers]
    assert found[0].meta == found[1].meta and found[0].meta["request"] != found[2].meta["request"]
    assert found[0].meta["sampling"] == {"max_tokens": 9, "temperature": 0.7, "top_p": 1.0, "seed": 5}
    assert (found[0].critic, found[0].meta["tokens"], found[0].aspects) == ("counting", 3, {"instruction": "yes."})
    assert critic.critique(prompts[:1], answers[:1]) == found[:1] and len(engine.asked) == 2


def test_failed_requests_are_marked_and_asked_again() -> None:
    down = True
    engine = Counting(lambda request: None if down and "question 1" in request.messages[-1].content else "fine")
    critic, prompts = EngineCritic(engine), [asked(0), asked(1)]
    answers = [said(prompt, "x") for prompt in prompts]
    first = critic.critique(prompts, answers)
    assert [(row.text, row.meta.get("error")) for row in first] == [("fine", None), ("", "HTTP 503")]
    down = False
    assert [row.text for row in critic.critique(prompts, answers)] == ["fine", "fine"] and len(engine.asked) == 3
    with pytest.raises(EngineError, match="All 2 requests to the critic counting failed; the first said: HTTP 503"):
        EngineCritic(Counting(lambda request: None)).critique(prompts, answers)
    assert critic.critique([], []) == []


def test_a_request_says_nothing_about_names_models_scores_or_other_answers() -> None:
    critic = EngineCritic(ScriptedEngine(lambda request: ""))
    prompt = asked(0, chosen_id="good")
    first = critic.request(prompt, said(prompt, "x", "chosen", model="gold", score=1.0))
    assert critic.request(asked(0), said(prompt, "x", "rejected", model="tin", score=0.0)) == first
    assert not any(word in first.model_dump_json() for word in ("chosen", "gold", "tin", "rejected"))
