"""Answers from an engine, as records."""

from collections.abc import Sequence

from paribus.errors import EngineError
from paribus.inference.engine import Engine, GenerationRequest
from paribus.records import Completion, Prompt


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
    requests = [
        GenerationRequest(
            id=f"{prompt.id}#{number}",
            messages=prompt.messages,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
        )
        for prompt in prompts
        for number in range(samples)
    ]
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
            meta={"logprob": reply.logprob, "seed": seed} | ({"error": reply.error} if reply.error else {}),
        )
        for prompt, request, reply in zip(owners, requests, replies, strict=True)
    ]
