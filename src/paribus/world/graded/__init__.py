"""The graded world: requests of several checkable parts, answers with planted errors and style, and true claims.

What lives here: requests made of world questions and a format rule, in many languages (``requests``); answers written
by a plan of errors and style (``plans``, ``answers``) and the checker that finds them again (``grading``); claims, said
in the language and read back (``claims``); pairs of known order, with a cue and label noise (``pairs``); simulated
systems (``systems``); the sentences themselves (``phrases/*.json``). All of it is a pure function of a config and of
the generator passed in. What may not: models, critics, raters (they build on this), torch, numpy.
"""

from paribus.world.graded.answers import GradedAnswer, better, quality, write_answer
from paribus.world.graded.claims import Claim, claims_about, read, say, say_all
from paribus.world.graded.grading import Grade, grade
from paribus.world.graded.pairs import Cue, draw_pair, draw_plan, to_pair
from paribus.world.graded.plans import ASPECTS, ERRORS, Plan
from paribus.world.graded.requests import SPLITS, GradedConfig, GradedWorld, Request
from paribus.world.graded.systems import PREAMBLES, System, system_answers
from paribus.world.graded.wording import RULES, languages

__all__ = [
    "ASPECTS",
    "ERRORS",
    "PREAMBLES",
    "RULES",
    "SPLITS",
    "Claim",
    "Cue",
    "Grade",
    "GradedAnswer",
    "GradedConfig",
    "GradedWorld",
    "Plan",
    "Request",
    "System",
    "better",
    "claims_about",
    "draw_pair",
    "draw_plan",
    "grade",
    "languages",
    "quality",
    "read",
    "say",
    "say_all",
    "system_answers",
    "to_pair",
    "write_answer",
]
