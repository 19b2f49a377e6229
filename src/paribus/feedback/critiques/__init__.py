"""Critiques: written about one answer at a time, and read by reward models.

What lives here: critics (rules of set quality, models through any engine) and what they are asked; which critique
belongs to which answer; the one form in which a reward model reads prompt, answer and critique; controls,
counterfactual edits and the test that a critic sees no label. What may not: training (``training.objectives.reward``
trains on the pairs made here) and measures (``evaluation.reward_models``, ``critic_quality``, ``counterfactuals``).
The paper is Improving Reward Models with Synthetic Critiques (arXiv 2405.20850).
"""

from paribus.feedback.critiques.controls import Control, controlled, filler, oracle, shuffled, swapped
from paribus.feedback.critiques.critics import Claim, Critic, EngineCritic, RuleCritic, Stated, Voice
from paribus.feedback.critiques.edits import Edit, claims_of, edit_claim, edits
from paribus.feedback.critiques.examples import critic_examples
from paribus.feedback.critiques.graded import GRADED_VOICE, graded_critic
from paribus.feedback.critiques.joining import (
    CritiquedPair,
    CritiqueIndex,
    Joined,
    answers_of,
    critique_pairs,
    join,
    side_ids,
)
from paribus.feedback.critiques.pointwise import Leak, assert_pointwise, leaks
from paribus.feedback.critiques.reading import CritiquedArbiter, completions_to_read, pairs_to_read
from paribus.feedback.critiques.reward_inputs import Reads, RewardInput, reward_input
from paribus.feedback.critiques.templates import (
    CRITIQUE_TEMPLATE,
    ONE_TURN_TEMPLATE,
    SHORT_TEMPLATE,
    TEMPLATES,
    CritiqueTemplate,
)
from paribus.feedback.critiques.truncation import Cut, shorten_inputs

__all__ = [
    "CRITIQUE_TEMPLATE",
    "GRADED_VOICE",
    "ONE_TURN_TEMPLATE",
    "SHORT_TEMPLATE",
    "TEMPLATES",
    "Claim",
    "Control",
    "Critic",
    "CritiqueIndex",
    "CritiqueTemplate",
    "CritiquedArbiter",
    "CritiquedPair",
    "Cut",
    "Edit",
    "EngineCritic",
    "Joined",
    "Leak",
    "Reads",
    "RewardInput",
    "RuleCritic",
    "Stated",
    "Voice",
    "answers_of",
    "assert_pointwise",
    "claims_of",
    "completions_to_read",
    "controlled",
    "critic_examples",
    "critique_pairs",
    "edit_claim",
    "edits",
    "filler",
    "graded_critic",
    "join",
    "leaks",
    "oracle",
    "pairs_to_read",
    "reward_input",
    "shorten_inputs",
    "shuffled",
    "side_ids",
    "swapped",
]
