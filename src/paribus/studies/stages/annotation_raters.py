"""The planted raters of a config: a crowd, and rules that read a rating prompt as a model would and answer in JSON."""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from paribus.studies.stages.annotation import SEVEN, CrowdConfig

if TYPE_CHECKING:
    from paribus.feedback.annotation.crowd import RaterModel
    from paribus.inference.engine import GenerationRequest
    from paribus.inference.scripted import ScriptedEngine
    from paribus.records import Prompt
    from paribus.world.graded import Grade

_PART = re.compile(r"--- (REQUEST|RESPONSE) (\S+) ---\n(.*?)\n--- END \1 \2 ---", re.DOTALL)
_SCORE = re.compile(r'^"(quality|overall|assertiveness|complexity)": ', re.MULTILINE)
_FLAG = re.compile(r'^"(\w+)": The response ', re.MULTILINE)


def rater_model(config: CrowdConfig, seed: int) -> "RaterModel":
    """The raters of a config; the seed fixes every draw."""
    from paribus.feedback.annotation.crowd import RaterModel

    return RaterModel(**config.model_dump(exclude={"raters"}), seed=seed)


def rules_engine(like: CrowdConfig, prompts: "Sequence[Prompt]", seed: int) -> "ScriptedEngine":
    """An engine that knows the requests, grades the response it is shown, and answers with planted biases."""
    from paribus.inference.scripted import ScriptedEngine

    reader = _RulesRater(rater_model(like, seed), {prompt.text: prompt for prompt in prompts})
    return ScriptedEngine(reader.answer, name="rules rater")


class _RulesRater:
    """Reads rating prompts. What it flags and how it scores follows ``RaterModel``, one output at a time."""

    def __init__(self, model: "RaterModel", prompts: "dict[str, Prompt]") -> None:
        self.model, self.prompts = model, prompts

    def answer(self, request: "GenerationRequest") -> str:
        """The reply to one rating prompt, as JSON."""
        from paribus.world.graded import grade

        text = "\n\n".join(message.content for message in request.messages)
        parts = {name: body for name, _, body in _PART.findall(text)}
        seen = grade(self.prompts[parts["REQUEST"]], parts["RESPONSE"])
        asked = [name for name in _FLAG.findall(text) if name in SEVEN]
        noticed = self._noticed(seen, request.id)
        flags = self._flags(noticed, request.id)
        found: dict[str, Any] = {name: name in flags for name in asked}
        felt = noticed if asked else seen.errors
        return json.dumps(found | {name: self._score(name, seen, felt, request.id) for name in _SCORE.findall(text)})

    def _noticed(self, seen: "Grade", key: str) -> frozenset[str]:
        import numpy as np

        from paribus.feedback.annotation.schema import ERRORS

        (chances,) = self.model.noticing(np.array([float(seen.assertiveness)]))
        chance = dict(zip(ERRORS, chances, strict=True))
        return frozenset(name for name in seen.errors if self._noise("notice", name, key) < chance[name])

    def _flags(self, noticed: frozenset[str], key: str) -> frozenset[str]:
        chance = 1 - (1 - float(self.model.false_alarm)) * (1 - self.model.halo) ** len(noticed)  # type: ignore[arg-type]
        return noticed | {name for name in SEVEN if self._noise("flag", name, key) < chance}

    def _score(self, name: str, seen: "Grade", felt: frozenset[str], key: str) -> int:
        from statistics import NormalDist

        model, spread = self.model, self.model.style_noise
        if name == "assertiveness":
            value: float = 3 + seen.assertiveness
        elif name == "complexity":
            value = 3 + 2 * seen.complexity
        else:
            spread = model.noise
            value = model.intercept - sum(model.weights.get(error, 0.0) for error in felt)
            value += model.assertiveness_gain * seen.assertiveness + model.complexity_gain * seen.complexity
        value += spread * NormalDist().inv_cdf((self._noise(name, key) + 1e-9) / (1 + 2e-9))
        return max(1, min(5, int(value + 0.5)))

    def _noise(self, *parts: str) -> float:
        from paribus.feedback.arbiters import unit_noise

        return unit_noise(self.model.seed, *parts)
