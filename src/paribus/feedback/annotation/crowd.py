"""Raters whose weights and biases are planted, so that what an analysis finds can be held against the truth.

How they rate an output with true errors e_j (0 or 1), assertiveness a and complexity c (0 = neutral):

- An error that is there is noticed with probability min(1, s_j * exp(-k_j * a)): above 0, assertiveness hides it.
- An error that is not there is flagged with probability 1 - (1 - f_j) * (1 - h)^m, m being the errors that this rater
  noticed in the output: h is the halo of a bad answer.
- Quality is b - sum w_j e_j + g_a a + g_c c + input + rater + noise, rounded to 1..5; ``overall``, on the form where
  errors are flagged, has the rater's own flags in place of e_j.
- Assertiveness and complexity are 3 + a and 3 + 2 c with noise, rounded to 1..5.
- A lazy rater does not read: half of them draw scores at random and flag each error with probability 0.2, half give the
  same score to everything and flag nothing.

Source of the biases: arXiv 2309.16349; forms of the equations: ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError
from paribus.feedback.annotation.schema import ERRORS, Pass
from paribus.feedback.arbiters import unit_noise

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Habit = Literal["careful", "random", "straight"]

_STREAMS = {"errors": 1, "quality": 2, "style": 3, "inputs": 4}
_HABITS: dict[Habit, int] = {"careful": 0, "random": 1, "straight": 2}
_LAZY_FLAGS = 0.2


class Planted(Protocol):
    """What is true of an answer; the plans of ``world.graded`` are that."""

    @property
    def errors(self) -> frozenset[str]: ...

    @property
    def assertiveness(self) -> float: ...

    @property
    def complexity(self) -> float: ...


@dataclass(frozen=True)
class Truth:
    """Planted errors and style of an output; style 0 is neutral, about -2..2 (assertiveness) and -1..1 (complexity)."""

    errors: frozenset[str] = frozenset()
    assertiveness: float = 0.0
    complexity: float = 0.0


@dataclass(frozen=True)
class PlantedOutputs:
    """The truth of n outputs in columns.

    errors: ``(n, 10)``, columns as in ``schema.ERRORS``. assertiveness, complexity: ``(n,)``. cluster: ``(n,)``, the
    number of the input. elsewhere: ``(n,)``, whether the output answers another prompt (a distractor).
    """

    errors: Bools
    assertiveness: Floats
    complexity: Floats
    cluster: Ints
    elsewhere: Bools

    @classmethod
    def of(
        cls, truths: Sequence[Planted], cluster: Ints | None = None, elsewhere: Bools | None = None
    ) -> "PlantedOutputs":
        """Columns of truths; each is its own input and no distractor unless said."""
        return cls(
            np.array([[name in truth.errors for name in ERRORS] for truth in truths], dtype=bool),
            np.array([truth.assertiveness for truth in truths], dtype=np.float64),
            np.array([truth.complexity for truth in truths], dtype=np.float64),
            np.arange(len(truths)) if cluster is None else cluster,
            np.zeros(len(truths), dtype=bool) if elsewhere is None else elsewhere,
        )


class Judgements(NamedTuple):
    """What raters said of m outputs in one pass: scores 1 to 5 by name, ``(m,)`` each, and error flags ``(m, 10)`` in
    the order of ``ERRORS`` (all False but in the pass ``errors``)."""

    scores: dict[str, Ints]
    errors: Bools


@dataclass(frozen=True)
class RaterModel:
    """Planted parameters of a crowd; the module says how they act. What is not named is 0 or as below.

    intercept: b, quality of a neutral answer without errors.
    weights: w_j, points of quality that an error costs.
    assertiveness_gain, complexity_gain: g_a, g_c, points of quality for a step of style.
    noise, style_noise: standard deviations of a single quality or style score before rounding.
    leniency: standard deviation between raters; input_spread: between inputs, shared by all outputs of one.
    detection: s_j, for all errors or by name (unnamed: 0.8). hiding: k_j.
    false_alarm: f_j, for all errors or by name (unnamed: 0). halo: h.
    lazy: chance that a rater is lazy.
    distractor_loss: points that an answer to another prompt loses (published: 2.8 on the overall score).
    sees: whether the quality pass feels the ``truth`` of errors or only errors ``noticed``, as on the error form.
    seed: fixes every draw.
    """

    intercept: float = 4.0
    weights: Mapping[str, float] = field(default_factory=dict)
    assertiveness_gain: float = 0.0
    complexity_gain: float = 0.0
    noise: float = 0.7
    style_noise: float = 0.7
    leniency: float = 0.0
    input_spread: float = 0.0
    detection: float | Mapping[str, float] = 0.8
    hiding: Mapping[str, float] = field(default_factory=dict)
    false_alarm: float | Mapping[str, float] = 0.0
    halo: float = 0.0
    lazy: float = 0.0
    distractor_loss: float = 2.5
    sees: Literal["truth", "noticed"] = "truth"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("weights", "hiding", "detection", "false_alarm"):
            _by_error(getattr(self, name), 0.0, name)
        for name in ("detection", "false_alarm", "halo", "lazy"):
            values = np.atleast_1d(_by_error(getattr(self, name), 0.0, name))
            if (values < 0).any() or (values > 1).any():
                raise ConfigError(f"RaterModel.{name} is {getattr(self, name)}; a probability is from 0 to 1.")
        for name in ("noise", "style_noise", "leniency", "input_spread"):
            if getattr(self, name) < 0:
                raise ConfigError(f"RaterModel.{name} is {getattr(self, name)}; a standard deviation is 0 or more.")

    @cached_property
    def w(self) -> Floats:
        """Weights in the order of ``ERRORS``, ``(10,)``."""
        return _by_error(self.weights, 0.0, "weights")

    def noticing(self, assertiveness: Floats) -> Floats:
        """The chance that an error which is there is noticed, ``(m, 10)`` for assertiveness ``(m,)``."""
        s, k = _by_error(self.detection, 0.8, "detection"), _by_error(self.hiding, 0.0, "hiding")
        return np.minimum(1.0, s * np.exp(-k * assertiveness[:, None]))

    def habit(self, rater: str) -> Habit:
        """How a rater works, which depends on the name and the seed alone."""
        if unit_noise("lazy", self.seed, rater) >= self.lazy:
            return "careful"
        return "random" if unit_noise("habit", self.seed, rater) < 0.5 else "straight"

    def leaning(self, rater: str) -> float:
        """Points by which a rater scores above others."""
        return self.leniency * NormalDist().inv_cdf((unit_noise("lean", self.seed, rater) + 1e-9) / (1 + 2e-9))

    def favourite(self, rater: str) -> int:
        """The one score of a rater who straight-lines."""
        return 1 + int(5 * unit_noise("favourite", self.seed, rater))


def judge_outputs(
    model: RaterModel, pass_: Pass, outputs: PlantedOutputs, item: Ints, rater: Ints, names: Sequence[str]
) -> Judgements:
    """What raters say of outputs: judgement i is of output ``item[i]`` by ``names[rater[i]]``, shapes ``(m,)``.

    The draws that ``simulated.simulate`` makes records of; thousands take milliseconds. The spread of inputs and the
    raters' habits and leanings are the same in every pass, all else is drawn anew.
    """
    rng = np.random.default_rng([model.seed, _STREAMS[pass_]])
    nothing = np.zeros((len(item), len(ERRORS)), dtype=bool)
    if pass_ == "style":
        careful = Judgements(_style(model, outputs, item, rng), nothing)
    elif pass_ == "quality":
        felt = outputs.errors[item] if model.sees == "truth" else _noticed(model, outputs, item, rng)
        careful = Judgements({"quality": _quality(model, outputs, item, rater, names, felt, rng)}, nothing)
    else:
        flags = _flags(model, outputs, item, rng)
        careful = Judgements({"overall": _quality(model, outputs, item, rater, names, flags, rng)}, flags)
    return _with_habits(model, careful, pass_, rater, names, rng)


def _style(model: RaterModel, outputs: PlantedOutputs, item: Ints, rng: np.random.Generator) -> dict[str, Ints]:
    centres = {"assertiveness": 3 + outputs.assertiveness[item], "complexity": 3 + 2 * outputs.complexity[item]}
    return {name: _cut(mid + model.style_noise * rng.standard_normal(len(item))) for name, mid in centres.items()}


def _noticed(model: RaterModel, outputs: PlantedOutputs, item: Ints, rng: np.random.Generator) -> Bools:
    chance = model.noticing(outputs.assertiveness[item])
    return outputs.errors[item] & (rng.random(chance.shape) < chance)


def _flags(model: RaterModel, outputs: PlantedOutputs, item: Ints, rng: np.random.Generator) -> Bools:
    noticed = _noticed(model, outputs, item, rng)
    plain = _by_error(model.false_alarm, 0.0, "false_alarm")
    false = 1 - (1 - plain) * (1 - model.halo) ** noticed.sum(axis=1, keepdims=True)
    return noticed | (~outputs.errors[item] & (rng.random(noticed.shape) < false))


def _quality(
    model: RaterModel,
    outputs: PlantedOutputs,
    item: Ints,
    rater: Ints,
    names: Sequence[str],
    errors: Bools,
    rng: np.random.Generator,
) -> Ints:
    inputs = np.random.default_rng([model.seed, _STREAMS["inputs"]])
    spread = model.input_spread * inputs.standard_normal(int(outputs.cluster.max(initial=0)) + 1)
    leanings = np.array([model.leaning(name) for name in names], dtype=np.float64)
    value = model.intercept - errors @ model.w - model.distractor_loss * outputs.elsewhere[item]
    value += model.assertiveness_gain * outputs.assertiveness[item] + model.complexity_gain * outputs.complexity[item]
    value += spread[outputs.cluster[item]] + leanings[rater]
    return _cut(value + model.noise * rng.standard_normal(len(item)))


def _cut(value: Floats) -> Ints:
    """The nearest point of the scale."""
    return np.clip(np.floor(value + 0.5), 1, 5).astype(np.int64)


def _with_habits(
    model: RaterModel, careful: Judgements, pass_: Pass, rater: Ints, names: Sequence[str], rng: np.random.Generator
) -> Judgements:
    """Replace what lazy raters say."""
    habits = np.array([_HABITS[model.habit(name)] for name in names], dtype=np.int64)[rater]
    favourites = np.array([model.favourite(name) for name in names], dtype=np.int64)[rater]
    scores = {
        name: np.choose(habits, [score, rng.integers(1, 6, len(score)), favourites])
        for name, score in careful.scores.items()
    }
    drawn = (rng.random(careful.errors.shape) < _LAZY_FLAGS) & (pass_ == "errors")
    kind = habits[:, None]
    return Judgements(scores, np.where(kind == _HABITS["random"], drawn, careful.errors & (kind == _HABITS["careful"])))


def _by_error(value: float | Mapping[str, float], default: float, field_name: str) -> Floats:
    if not isinstance(value, Mapping):
        return np.full(len(ERRORS), float(value))
    strange = sorted(set(value) - set(ERRORS))
    if strange:
        raise ConfigError(f"RaterModel.{field_name} has no error {strange[0]!r}; the errors are {', '.join(ERRORS)}.")
    return np.array([value.get(name, default) for name in ERRORS], dtype=np.float64)


CROWD = RaterModel(
    intercept=3.8,
    weights={
        "refusal": 1.4,
        "formatting": 0.9,
        "relevance": 0.9,
        "repetition": 0.6,
        "factuality": 0.3,
        "inconsistent": 0.3,
    },
    assertiveness_gain=0.3,
    noise=0.8,
    leniency=0.3,
    input_spread=0.2,
    detection={"factuality": 0.25, "inconsistent": 0.25, "contradiction": 0.3, "refusal": 0.9},
    hiding={"factuality": 0.6, "inconsistent": 0.5},
    false_alarm=0.02,
    halo=0.15,
    lazy=0.03,
)
"""A crowd somewhat like the published one: it notices little, less when told firmly, and likes assertive answers."""
