"""The learned router: predicts the best teacher from the prompt alone, so only one teacher has to answer.

A linear softmax over hashed character n-grams. Targets are the softmax of the arbiter's rewards (trained by the
Kullback-Leibler divergence) or the best teacher (cross-entropy). The papers do not give the router's form or size.
"""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError
from paribus.feedback.routing import Pool
from paribus.records import Prompt

FEATURES = 4096


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
    """Weights (FEATURES + 1, teachers) and the teachers' names; made by ``fit``."""

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
        loss: Literal["kl", "ce"] = "kl",
        temperature: float = 1.0,
        penalty: float = 1e-3,
    ) -> "LearnedRouter":
        """Fit by L-BFGS. Teachers that may not answer a prompt's language get no probability there.

        Raises ``ConfigError`` when a prompt is also in ``evaluation`` (ids), which would flatter the router.
        """
        overlap = sorted({prompt.id for prompt in prompts} & set(evaluation))
        if overlap:
            raise ConfigError(
                f"{len(overlap)} prompts are in both the router's data and the evaluation, such as {overlap[0]!r}."
            )
        teachers = tuple(sorted({name for prompt in prompts for name in pool[prompt.id]}))
        scores = np.array([[_score(pool, p.id, t) for t in teachers] for p in prompts])
        targets = _targets(scores, loss, temperature)
        weights = _minimise(features(prompts), targets, np.isfinite(scores), penalty)
        return cls(teachers, weights, frozenset(prompt.id for prompt in prompts))

    def predict(self, prompts: Sequence[Prompt], pool: Pool) -> dict[str, str]:
        """Prompt id -> teacher, among those that may answer it. The pool is asked who may, never for scores."""
        logits = _with_bias(features(prompts)) @ self.weights
        choice = {}
        for prompt, row in zip(prompts, logits, strict=True):
            able = [place for place, name in enumerate(self.teachers) if name in pool[prompt.id]]
            choice[prompt.id] = self.teachers[max(able, key=lambda place: row[place])]
        return choice


def _score(pool: Pool, prompt_id: str, teacher: str) -> float:
    row = pool[prompt_id].get(teacher)
    return -np.inf if row is None or row.score is None else row.score


def _targets(scores: NDArray[np.float64], loss: str, temperature: float) -> NDArray[np.float64]:
    if loss == "ce":
        return np.eye(scores.shape[1])[scores.argmax(1)]
    finite = np.isfinite(scores)
    shifted = np.where(finite, scores, -np.inf) - scores.max(1, keepdims=True)
    soft = np.exp(shifted / temperature)
    return soft / soft.sum(1, keepdims=True)


def _with_bias(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.hstack([matrix.astype(np.float64), np.ones((len(matrix), 1))])


def _minimise(
    matrix: NDArray[np.float32], targets: NDArray[np.float64], able: NDArray[np.bool_], penalty: float
) -> NDArray[np.float64]:
    from scipy.optimize import minimize

    x = _with_bias(matrix)
    shape = (x.shape[1], targets.shape[1])

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(shape)
        logits = np.where(able, x @ weights, -1e9)
        logits -= logits.max(1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        value = -(np.where(able, targets * logs, 0.0)).sum() / len(x) + penalty * (weights**2).sum()
        gradient = x.T @ (np.exp(logs) - targets) / len(x) + 2 * penalty * weights
        return value, gradient.ravel()

    found = minimize(objective, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(found.x).reshape(shape)
