"""The learned router: predicts the best teacher from the prompt alone, so only one teacher has to answer.

A linear softmax over hashed character n-grams. Targets are the softmax of the arbiter's rewards (trained by the
Kullback-Leibler divergence) or the best teacher (cross-entropy). The papers do not give the router's form or size.
"""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError, DataError
from paribus.feedback.arbiters import score_of
from paribus.feedback.routing import Pool, answers_to
from paribus.records import Prompt

FEATURES = 4096
RouterLoss = Literal["kl", "ce"]


def features(prompts: Sequence[Prompt]) -> NDArray[np.float32]:
    """Hashed counts of character 1- to 3-grams and of the language code, scaled to unit length: (n, FEATURES)."""
    matrix = np.zeros((len(prompts), FEATURES), np.float32)
    for row, prompt in enumerate(prompts):
        text = f"^{prompt.text.lower()}$"
        grams = [text[i : i + n] for n in (1, 2, 3) for i in range(len(text) - n + 1)]
        for gram in [f"lang={prompt.language}", *grams]:
            matrix[row, zlib.crc32(gram.encode()) % FEATURES] += 1
    return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)


@dataclass(frozen=True)
class LearnedRouter:
    """Weights (FEATURES + 1, teachers), the teachers' names, and the ids of the prompts it was fitted on."""

    teachers: tuple[str, ...]
    weights: NDArray[np.float64]
    fitted_on: frozenset[str]

    @classmethod
    def fit(
        cls,
        prompts: Sequence[Prompt],
        pool: Pool,
        *,
        evaluation: Collection[str] = (),
        loss: RouterLoss = "kl",
        temperature: float = 1.0,
        penalty: float = 1e-3,
    ) -> Self:
        """Fit by L-BFGS. Teachers that may not answer a prompt's language get no probability there.

        Args:
            evaluation: ids of the prompts that the router will be judged on.
            loss: ``"kl"``: targets are the softmax of the scores over ``temperature`` (in score units); ``"ce"``: the
                best-scored teacher.
            penalty: of the squared weights, against overfitting.

        Raises:
            ConfigError: a prompt is also in ``evaluation``, which would flatter the router; an unknown loss, or a
                temperature that is not positive.
            DataError: no prompts, one that the pool lacks, or an answer without a score.
        """
        if loss not in get_args(RouterLoss) or temperature <= 0:
            raise ConfigError(f"loss={loss!r}, temperature={temperature}: use 'kl' or 'ce', and one above 0.")
        if not prompts:
            raise DataError("The learned router needs prompts to be fitted on and got none; give development prompts.")
        overlap = sorted({prompt.id for prompt in prompts} & set(evaluation))
        if overlap:
            raise ConfigError(
                f"{len(overlap)} prompts are in both the router's data and the evaluation, such as {overlap[0]!r}."
            )
        teachers = tuple(sorted({name for prompt in prompts for name in answers_to(prompt, pool)}))
        scores = np.array([[_score(pool, p.id, t) for t in teachers] for p in prompts])
        targets = _targets(scores, loss, temperature)
        weights = _minimise(features(prompts), targets, np.isfinite(scores), penalty)
        return cls(teachers, weights, frozenset(prompt.id for prompt in prompts))

    def predict(self, prompts: Sequence[Prompt], pool: Pool) -> dict[str, str]:
        """Prompt id -> the likeliest teacher; errors as in ``probabilities``."""
        rows = zip(prompts, self.probabilities(prompts, pool), strict=True)
        return {prompt.id: self.teachers[int(row.argmax())] for prompt, row in rows}

    def probabilities(self, prompts: Sequence[Prompt], pool: Pool) -> NDArray[np.float64]:
        """Chance of each teacher to be the best, (n, teachers). The pool is asked who may answer, never for scores.

        Raises ``ConfigError`` for a prompt that the router was fitted on, or that none of its teachers may answer, and
        ``DataError`` for one that the pool lacks.
        """
        seen = sorted({prompt.id for prompt in prompts} & self.fitted_on)
        if seen:
            raise ConfigError(
                f"The router was fitted on {len(seen)} of these prompts, such as {seen[0]!r}; ask others."
            )
        able = np.array([[name in answers_to(prompt, pool) for name in self.teachers] for prompt in prompts], bool)
        able = able.reshape(len(prompts), len(self.teachers))
        for prompt, row in zip(prompts, able, strict=True):
            if not row.any():
                raise ConfigError(
                    f"None of the router's teachers ({', '.join(self.teachers)}) may answer {prompt.id!r} "
                    f"({prompt.language}); fit it on prompts of that language too."
                )
        return np.exp(_log_softmax(_with_bias(features(prompts)) @ self.weights, able))


def _score(pool: Pool, prompt_id: str, teacher: str) -> float:
    row = pool[prompt_id].get(teacher)
    return -np.inf if row is None else score_of(row)


def _targets(scores: NDArray[np.float64], loss: str, temperature: float) -> NDArray[np.float64]:
    if loss == "ce":
        return np.eye(scores.shape[1])[scores.argmax(1)]
    soft = np.exp((scores - scores.max(1, keepdims=True)) / temperature)
    return soft / soft.sum(1, keepdims=True)


def _with_bias(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.hstack([matrix.astype(np.float64), np.ones((len(matrix), 1))])


def _log_softmax(logits: NDArray[np.float64], able: NDArray[np.bool_]) -> NDArray[np.float64]:
    logits = np.where(able, logits, -1e9)
    logits = logits - logits.max(1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))


def _minimise(
    matrix: NDArray[np.float32], targets: NDArray[np.float64], able: NDArray[np.bool_], penalty: float
) -> NDArray[np.float64]:
    from scipy.optimize import minimize

    x = _with_bias(matrix)
    shape = (x.shape[1], targets.shape[1])

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(shape)
        logs = _log_softmax(x @ weights, able)
        value = -(np.where(able, targets * logs, 0.0)).sum() / len(x) + penalty * (weights**2).sum()
        gradient = x.T @ (np.exp(logs) - targets) / len(x) + 2 * penalty * weights
        return value, gradient.ravel()

    found = minimize(objective, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(found.x).reshape(shape)
