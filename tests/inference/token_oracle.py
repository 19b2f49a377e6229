"""What transformers gives one request alone: the oracle for batches."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from paribus.inference.engine import GenerationRequest
from paribus.inference.local import LocalEngine


def engine_of_ids(model: PreTrainedModel, tokenizer, **settings) -> LocalEngine:
    """A local engine whose replies show token ids, so that equal texts are equal tokens."""
    engine = LocalEngine(model, tokenizer, **settings)
    engine.chat.text = lambda ids: " ".join(map(str, ids))
    return engine


def ids_of(text: str) -> list[int]:
    return [int(token) for token in text.split()]


@torch.inference_mode()
def greedy_alone(engine: LocalEngine, request: GenerationRequest) -> tuple[list[int], float]:
    """Tokens that ``generate`` makes for the request alone, and their summed log-probability."""
    [prompt] = engine.chat.prompts([request.messages])
    made = engine.model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=request.max_tokens,
        do_sample=False,
        eos_token_id=sorted(engine.stop_ids) or None,
        pad_token_id=0,
    )[0, len(prompt) :].tolist()
    return made, forward_logprob(engine.model, prompt, made)


@torch.inference_mode()
def forward_logprob(model: PreTrainedModel, prompt: list[int], completion: list[int]) -> float:
    """Summed log-probability by one plain forward pass without cache or padding."""
    logits = model(torch.tensor([prompt + completion]), use_cache=False).logits[0].float()
    logprobs = torch.log_softmax(logits, dim=-1)[len(prompt) - 1 : -1].double()
    return float(logprobs.gather(1, torch.tensor(completion)[:, None]).sum())
