"""The leak test: honest critics pass it, and every way to peep is caught by the change that shows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from critiques_toy import VOICE, asked, claims, pair, said, two_each

from paribus.errors import DataError
from paribus.feedback.critiques import (
    SHORT_TEMPLATE,
    EngineCritic,
    RuleCritic,
    answers_of,
    assert_pointwise,
    critique_pairs,
    leaks,
)
from paribus.inference.scripted import ScriptedEngine
from paribus.records import Completion, Critique, Prompt

Row = tuple[Prompt, Completion]


@dataclass
class Peeping:
    """A critic that looks at whatever ``say`` looks at: the answer's place and the whole batch."""

    say: Callable[[int, Sequence[Row]], str]
    identity: str = "peeping"

    def critique(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Critique]:
        rows = list(zip(prompts, completions, strict=True))
        return [
            Critique(prompt_id=p.id, completion_id=c.id, critic="peeping", text=self.say(place, rows))
            for place, (p, c) in enumerate(rows)
        ]


def telling_rows() -> list[Row]:
    """Two answers to each prompt, with the label written into everything that should not be read."""
    rows = []
    for number in range(4):
        prompt = asked(number, chosen_id=f"q{number}/en#good")
        for name, score, text in (("good", 1.0, "1 1"), ("bad", 0.0, "0 0 0")):
            fields = {"model": name, "score": score, "tokens": int(score) + 3, "meta": {"label": name}}
            rows.append((prompt, said(prompt, text, name, **fields)))
    return rows


def changes(critic: object, rows: Sequence[Row]) -> set[str]:
    return {leak.change for leak in leaks(critic, [p for p, _ in rows], [c for _, c in rows])}


def longest(place: int, rows: Sequence[Row]) -> str:
    """Compares with the other answers to the same prompt."""
    own = rows[place]
    others = [c.text for p, c in rows if p.id == own[0].id]
    return "longer" if len(others) > 1 and own[1].text == max(others, key=len) else "shorter"


PEEPERS = {
    "the name": (lambda place, rows: rows[place][1].id, {"names"}),
    "the model": (lambda place, rows: rows[place][1].model, {"names"}),
    "the score": (lambda place, rows: f"score {rows[place][1].score}", {"names"}),
    "the token count": (lambda place, rows: f"{rows[place][1].tokens}", {"names"}),
    "meta": (lambda place, rows: str(rows[place][1].meta), {"names"}),
    "the place": (lambda place, rows: "good" if place % 2 == 0 else "bad", {"order", "company"}),
    "the other answer": (longest, {"company"}),
    "the batch": (lambda place, rows: f"one of {len(rows)}", {"company"}),
    "the prompt's label": (
        lambda place, rows: str(rows[place][0].meta.get("chosen_id") == f"{rows[place][0].id}#good"),
        {"marks"},
    ),
    "name and label": (
        lambda place, rows: str(rows[place][0].meta.get("chosen_id") == rows[place][1].id),
        {"names", "marks"},
    ),
}


@pytest.mark.parametrize("what", PEEPERS)
def test_a_critic_that_reads_more_is_caught(what: str) -> None:
    say, shown_by = PEEPERS[what]
    rows = telling_rows()
    found = changes(Peeping(say), rows)
    assert found == shown_by
    with pytest.raises(DataError, match=r"'peeping' is not point-wise: with another"):
        assert_pointwise(Peeping(say), [p for p, _ in rows], [c for _, c in rows])


def test_a_leak_says_what_changed() -> None:
    rows = telling_rows()
    (first, *_) = leaks(Peeping(lambda place, rows: rows[place][1].model), [p for p, _ in rows], [c for _, c in rows])
    assert (first.change, first.prompt_id, first.text, first.before, first.after) == (
        "names",
        "q0/en",
        "1 1",
        "good",
        "bad",
    )


def echo(request: object) -> str:
    return f"Instruction: {request.id} {request.messages[-1].content}"


HONEST = {
    "rules": RuleCritic(claims, VOICE, 0.7, 0.2),
    "engine": EngineCritic(ScriptedEngine(echo)),
    "sampling engine": EngineCritic(ScriptedEngine(echo), template=SHORT_TEMPLATE, temperature=1.0),
    "prompt and text": Peeping(lambda place, rows: f"{rows[place][0].text} {rows[place][1].text}"),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_critics_pass(name: str) -> None:
    rows = telling_rows()
    assert changes(HONEST[name], rows) == set()
    lone = rows[::2]
    assert changes(HONEST[name], lone) == set()


def test_one_answer_cannot_be_tested() -> None:
    with pytest.raises(DataError, match="1 answers cannot show a leak"):
        leaks(HONEST["rules"], [asked(0)], [said(asked(0), "1")])


def test_permuting_labels_leaves_critiques_byte_for_byte() -> None:
    """What a critic gets from pairs does not depend on which answer is preferred, nor on what meta says of it."""
    pairs = two_each(6)
    turned = [row.model_copy(update={"chosen": row.rejected, "rejected": row.chosen, "margin": -1.0}) for row in pairs]
    assert answers_of(pairs) == answers_of(turned)
    for critic in (HONEST["rules"], HONEST["engine"]):
        assert critique_pairs(critic, pairs) == critique_pairs(critic, turned)
    named = pair(0, "1", "0", chosen_id="a", rejected_id="b", margin_of="x", topic="t")
    prompts, completions = answers_of([named])
    assert [row.id for row in completions] == ["a", "b"] and prompts[0].meta == {"topic": "t"}
    back = pair(0, "0", "1", chosen_id="b", rejected_id="a", margin_of="y", topic="t")
    assert answers_of([back]) == (prompts, completions)
