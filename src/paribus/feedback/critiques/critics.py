"""Critics: who writes about an answer, seeing its prompt and nothing else.

A critic is asked point-wise (papers/reward-critiques.md section 2): one prompt, one answer, never the other answer or
the label. ``pointwise.leaks`` tests that of any critic.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

from paribus.errors import ConfigError, DataError, EngineError
from paribus.feedback.arbiters import unit_noise
from paribus.feedback.critiques.templates import CRITIQUE_TEMPLATE, CritiqueTemplate, content_key
from paribus.inference.engine import Engine, GenerationRequest, Reply
from paribus.records import Completion, Critique, Prompt


class Critic(Protocol):
    """Writes about answers. ``identity`` names the model, or the rule with its settings."""

    @property
    def identity(self) -> str: ...

    def critique(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Critique]:
        """One critique for each (prompt, completion), in their order; equal answers to a prompt get equal ones."""


class Claim(Protocol):
    """A statement about an answer: something good that holds, or does not. ``target`` is what of it is meant."""

    @property
    def aspect(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def holds(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Stated:
    """A claim as a critic makes it, right or wrong."""

    aspect: str
    target: str
    holds: bool


ClaimsSource = Callable[[Prompt, str], Sequence[Claim]]
"""All true claims about an answer, as ``paribus.world.graded.claims_about`` gives them."""


def _space(language: str) -> str:
    return " "


@dataclass(frozen=True)
class Voice:
    """How claims become text: a sentence for a claim in a language, paraphrased by the generator; what joins two."""

    say: Callable[[Any, str, random.Random], str]
    joint: Callable[[str], str] = _space


@dataclass(frozen=True)
class RuleCritic:
    """A verifier of set quality: each true claim is said, left out, or turned around.

    Args:
        claims: the true claims about an answer.
        voice: how they are said.
        accuracy: chance of a claim that is said to be right; at 0.5 what is said means nothing (what it is about still
            may: some claims can be made of some answers only).
        omission: chance of a claim to be left out. A critic says at least one thing.

    Noise belongs to (seed, prompt, answer, claim): the same answer always gets the same critique, what a critic of some
    accuracy gets wrong a worse one gets wrong as well, and omissions change no other sentence.
    """

    claims: ClaimsSource
    voice: Voice
    accuracy: float = 1.0
    omission: float = 0.0
    seed: int = 0
    name: str = "rules"

    def __post_init__(self) -> None:
        for setting in ("accuracy", "omission"):
            if not 0 <= getattr(self, setting) <= 1:
                raise ConfigError(f"{setting}={getattr(self, setting)} cannot be used; it is a share, from 0 to 1.")

    @property
    def identity(self) -> str:
        """Name and settings."""
        return f"{self.name} (accuracy {self.accuracy:g}, omission {self.omission:g}, seed {self.seed})"

    def critique(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Critique]:
        """One critique an answer; ``aspects`` lists what was said: target, holds, sentence, place in the text.

        Raises ``DataError`` for an answer that nothing is true of.
        """
        return [self._one(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]

    def _one(self, prompt: Prompt, completion: Completion) -> Critique:
        key = (self.seed, prompt.id, completion.text)
        claims = self._said(prompt, completion.text, key)
        sentences = [self.voice.say(claim, prompt.language, _dice(*key, claim)) for claim in claims]
        joint = self.voice.joint(prompt.language)
        sampling = {"accuracy": self.accuracy, "omission": self.omission, "seed": self.seed}
        tokens = sum(len(sentence.split()) for sentence in sentences)
        return Critique(
            prompt_id=prompt.id,
            completion_id=completion.id,
            critic=self.identity,
            aspects=_by_aspect(claims, sentences, joint),
            text=joint.join(sentences),
            meta=provenance(prompt, completion.text, "claims/1", sampling, tokens),
        )

    def _said(self, prompt: Prompt, text: str, key: tuple[object, ...]) -> list[Stated]:
        true = self.claims(prompt, text)
        if not true:
            raise DataError(f"Nothing is claimed of the answer {text!r:.80} to {prompt.id!r}; check the claims source.")
        left_out = [unit_noise("omit", *key, claim.aspect, claim.target) for claim in true]
        said = [claim for claim, chance in zip(true, left_out, strict=True) if chance >= self.omission]
        return [self._stated(claim, key) for claim in said or [true[left_out.index(max(left_out))]]]

    def _stated(self, claim: Claim, key: tuple[object, ...]) -> Stated:
        # The wrong claims of a worse critic include those of a better one, so critics differ in accuracy alone.
        right = unit_noise("flip", *key, claim.aspect, claim.target) < self.accuracy
        return Stated(claim.aspect, claim.target, claim.holds if right else not claim.holds)


def _dice(seed: object, prompt_id: str, text: str, claim: Stated) -> random.Random:
    return random.Random(f"{seed}\x1f{prompt_id}\x1f{text}\x1f{claim.aspect}\x1f{claim.target}")


def _by_aspect(claims: Sequence[Stated], sentences: Sequence[str], joint: str) -> dict[str, list[dict[str, Any]]]:
    """What was said, by aspect; ``at`` is a sentence's first character in the text."""
    rows, at = [], 0
    for claim, sentence in zip(claims, sentences, strict=True):
        rows.append((claim.aspect, {"target": claim.target, "holds": claim.holds, "said": sentence, "at": at}))
        at += len(sentence) + len(joint)
    ordered = sorted(rows, key=lambda row: row[0])
    return {aspect: [row for _, row in group] for aspect, group in groupby(ordered, key=lambda row: row[0])}


def provenance(prompt: Prompt, text: str, template: str, sampling: dict[str, Any], tokens: int) -> dict[str, Any]:
    """Where a critique came from. ``content`` is a hash of what the critic saw; equal answers share it."""
    return {
        "language": prompt.language,
        "template": template,
        "sampling": sampling,
        "tokens": tokens,
        "content": content_key(prompt, text),
    }


class EngineCritic:
    """A model as critic, through any engine: a trained local one, or one behind an address.

    Equal answers to equal prompts are asked about once in a critic's life. A request that failed gives an empty
    critique, its reason in ``meta["error"]``. ``meta["tokens"]`` are those of the reply; critiques that share it share
    ``meta["request"]``.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        template: CritiqueTemplate = CRITIQUE_TEMPLATE,
        max_tokens: int = 512,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.engine, self.template = engine, template
        self.sampling: dict[str, Any] = {
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "seed": seed,
        }
        self._replies: dict[str, Reply] = {}

    @property
    def identity(self) -> str:
        """The engine's name: template and sampling stand in every critique's ``meta``."""
        return self.engine.name

    def critique(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Critique]:
        """Ask about every answer; raises ``EngineError`` if every request failed."""
        rows = list(zip(prompts, completions, strict=True))
        asked = [self.request(*row) for row in rows]
        fresh = {request.id: request for request in asked if request.id not in self._replies}
        replies = dict(zip(fresh, self.engine.generate(list(fresh.values())), strict=True))
        failed = {key: reply for key, reply in replies.items() if reply.finish == "error"}
        if failed and len(failed) == len(replies):
            raise EngineError(
                f"All {len(failed)} requests to the critic {self.identity} failed; the first said: "
                f"{next(iter(failed.values())).error}"
            )
        self._replies |= {key: reply for key, reply in replies.items() if key not in failed}
        found = self._replies | failed
        return [self._critique(*row, found[request.id]) for row, request in zip(rows, asked, strict=True)]

    def request(self, prompt: Prompt, completion: Completion) -> GenerationRequest:
        """What the engine is asked. Its id, and with it the random numbers of sampling, follow from what is sent."""
        messages = self.template.write(prompt, completion.text)
        sent = "\x1f".join(f"{turn.role}\x1f{turn.content}" for turn in messages)
        return GenerationRequest(id=hashlib.sha256(sent.encode()).hexdigest()[:16], messages=messages, **self.sampling)

    def _critique(self, prompt: Prompt, completion: Completion, reply: Reply) -> Critique:
        meta = provenance(prompt, completion.text, self.template.identity, dict(self.sampling), reply.tokens)
        meta |= {"request": reply.request_id, "finish": reply.finish}
        if reply.finish == "error":
            meta["error"] = reply.error or "no reason given"
        return Critique(
            prompt_id=prompt.id,
            completion_id=completion.id,
            critic=self.identity,
            aspects=self.template.read(reply.text),
            text=reply.text.strip(),
            meta=meta,
        )
