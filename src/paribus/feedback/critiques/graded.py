"""The rule critic of the graded world: true claims about graded answers, said in the answer's language."""

from paribus.feedback.critiques.critics import RuleCritic, Voice
from paribus.world.graded import claims_about, say
from paribus.world.graded.wording import wording

GRADED_VOICE = Voice(say=say, joint=lambda language: wording(language).joint)


def graded_critic(
    accuracy: float = 1.0, omission: float = 0.0, seed: int = 0, *, name: str = "graded rules"
) -> RuleCritic:
    """A ``RuleCritic`` for prompts made by ``paribus.world.graded`` (``Request.to_prompt``)."""
    return RuleCritic(claims_about, GRADED_VOICE, accuracy, omission, seed, name)
