"""Answers from an engine, as records."""

from collections.abc import Sequence
from typing import Any

from paribus.errors import EngineError
from paribus.inference.engine import Engine, GenerationRequest, Reply
from paribus.records import Completion, Prompt


def completion_requests(prompts: Sequence[Prompt], *, samples: int = 1, **settings: Any) -> list[GenerationRequest]:
    """What ``sample_completions`` asks; ``settings`` are those of a request."""
    return [
        GenerationRequest(id=f"{prompt.id}#{number}", messages=prompt.messages, **settings)
        for prompt in prompts
        for number in range(samples)
    ]


def sample_completions(
    engine: Engine,
    prompts: Sequence[Prompt],
    *,
    samples: int = 1,
    temperature: float = 0.0,
    top_p: float = 1.0,
    max_tokens: int = 64,
    seed: int = 0,
) -> list[Completion]:
    """``samples`` answers to each prompt, prompt by prompt; ``meta["logprob"]`` keeps the engine's log-probability.

    A failed request becomes a completion with ``finish="error"`` and its reason in ``meta``; nothing is dropped.
    Raises ``EngineError`` when every request failed.
    """
    settings = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, "seed": seed}
    requests = completion_requests(prompts, samples=samples, **settings)
    replies = engine.generate(requests)
    if requests and all(reply.finish == "error" for reply in replies):
        raise EngineError(f"All {len(requests)} requests to {engine.name} failed; the first said: {replies[0].error}")
    owners = [prompt for prompt in prompts for _ in range(samples)]
    return [
        Completion(
            id=f"{engine.name}/{request.id}",
            prompt_id=prompt.id,
            language=prompt.language,
            model=engine.name,
            text=reply.text,
            finish=reply.finish,
            tokens=reply.tokens,
            meta={"logprob": reply.logprob, "seed": seed} | failure_of(reply),
        )
        for prompt, request, reply in zip(owners, requests, replies, strict=True)
    ]


def failure_of(reply: Reply) -> dict[str, str]:
    """Why a reply failed, in words (``error``) and, where the engine says it, as a kind (``failure``)."""
    found = {"error": reply.error, "failure": reply.failure}
    return {name: value for name, value in found.items() if value}
