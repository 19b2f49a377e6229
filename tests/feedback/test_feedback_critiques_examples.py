"""Training rows for a local critic: what it will be asked, answered by what was written."""

import pytest
from critiques_toy import VOICE, asked, claims, said

from paribus.errors import DataError
from paribus.feedback.critiques import CRITIQUE_TEMPLATE, EngineCritic, RuleCritic, critic_examples
from paribus.feedback.critiques.templates import SHORT_TEMPLATE
from paribus.inference.scripted import ScriptedEngine

PROMPTS = [asked(0, chosen_id="a"), asked(0), asked(1, "de")]
ANSWERS = [
    said(prompt, text, name) for prompt, text, name in zip(PROMPTS, ("1 0", "1 0", "0"), ("a", "b", "c"), strict=True)
]
WRITTEN = RuleCritic(claims, VOICE).critique(PROMPTS, ANSWERS)


@pytest.mark.parametrize("template", [None, CRITIQUE_TEMPLATE])
def test_a_critic_is_trained_on_what_it_will_be_asked(template: object) -> None:
    """The turns before the critique are those of ``EngineCritic`` with the same template, byte for byte."""
    more = {} if template is None else {"template": template}
    found = critic_examples(PROMPTS, ANSWERS, WRITTEN, **more)
    critic = EngineCritic(ScriptedEngine(lambda request: ""), template=template or SHORT_TEMPLATE)
    assert [row.messages[:-1] for row in found] == [
        critic.request(prompt, answer).messages for prompt, answer in list(zip(PROMPTS, ANSWERS, strict=True))[1:]
    ]
    assert [row.answer for row in found] == [row.text for row in WRITTEN[1:]]
    assert [(row.task, row.language, row.source) for row in found] == [
        ("critique", "en", WRITTEN[0].critic),
        ("critique", "de", WRITTEN[0].critic),
    ]
    assert "chosen_id" not in str(found)


def test_rows_that_do_not_belong_together_or_say_nothing_are_refused() -> None:
    with pytest.raises(DataError, match=r"The critique of 'q1/de#c' .* stands beside the answer 'q0/en#a'"):
        critic_examples(PROMPTS, ANSWERS, WRITTEN[::-1])
    silent = WRITTEN[0].model_copy(update={"text": " ", "meta": {"error": "HTTP 503"}})
    with pytest.raises(DataError, match=r"The critique of 'q0/en#a' is empty \(HTTP 503\)"):
        critic_examples(PROMPTS, ANSWERS, [silent, *WRITTEN[1:]])
