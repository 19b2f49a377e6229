"""Judging under one name: the games, the engine judge, which asks a model, and the rule judge, defined here.

The rule judge is for testing the machinery after it: true win rate, position bias and length bias are what was planted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from paribus.feedback.arbiters import Gold, unit_noise
from paribus.feedback.engine_judge import EngineJudge
from paribus.feedback.games import Game, GameProtocol, Judge, Order, games, parse_rates, verdict
from paribus.feedback.judge_prompts import parse_label
from paribus.records import Verdict, VerdictLabel

__all__ = [
    "EngineJudge",
    "Game",
    "GameProtocol",
    "Judge",
    "Order",
    "RuleJudge",
    "games",
    "parse_label",
    "parse_rates",
    "verdict",
]


@dataclass(frozen=True)
class RuleJudge:
    """Gold quality plus biases that can be set, so that the true win rate is known.

    The first-shown answer wins by ``gap = gold(first) - gold(second) + length_bias * log(len ratio) + position_bias +
    noise * N(0, 1)``; |gap| at most ``tie_band`` is a tie, above ``strong`` a strong verdict. ``true_verdicts`` gives
    the labels that the same rule would give without biases and noise.
    """

    gold: Gold
    length_bias: float = 0.0
    position_bias: float = 0.0
    tie_band: float = 0.0
    noise: float = 0.0
    strong: float = math.inf
    seed: int = 0
    name: str = "rule judge"

    @property
    def identity(self) -> str:
        """Name and settings."""
        return (
            f"{self.name} (length {self.length_bias:g}, position {self.position_bias:g}, "
            f"tie {self.tie_band:g}, noise {self.noise:g})"
        )

    def judge(self, games: Sequence[Game]) -> list[Verdict]:
        """One verdict a game."""
        return [verdict(game, self.identity, self._label(game), "") for game in games]

    def true_verdicts(self, games: Sequence[Game]) -> list[Verdict]:
        """The planted truth: gold quality and tie band alone."""
        unbiased = replace(self, length_bias=0.0, position_bias=0.0, noise=0.0, name=f"truth behind {self.name}")
        return unbiased.judge(games)

    def _label(self, game: Game) -> VerdictLabel:
        first, second = (game.a, game.b) if game.order == "ab" else (game.b, game.a)
        gap = self.gold(game.prompt, first.text) - self.gold(game.prompt, second.text) + self.position_bias
        gap += self.length_bias * math.log((len(first.text) + 1) / (len(second.text) + 1))
        gap += self.noise * self._normal(game)
        if abs(gap) <= self.tie_band:
            return "A=B"
        if gap > 0:
            return "A>>B" if gap > self.strong else "A>B"
        return "B>>A" if -gap > self.strong else "B>A"

    def _normal(self, game: Game) -> float:
        key = (self.seed, game.prompt.id, game.order, game.a.text, game.b.text)
        u, v = unit_noise("u", *key), unit_noise("v", *key)
        return math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v)
