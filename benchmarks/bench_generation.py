"""Tokens per second of ``LocalEngine`` against transformers' ``generate`` on prompts and answers of mixed length.

    python benchmarks/bench_generation.py [repeats]          # about two minutes for 5 repeats

256 prompts of 8-128 tokens, each with its own max_tokens of 8-64. Random weights seldom end a turn, so the number of
tokens wanted from each request is known: only those count for either side (``generate`` must run a batch to its largest
max_tokens; what it makes beyond a request's own is waste, as it is for its users). The peer gets left padding and batches
of 32 or 64, in arrival order and sorted by prompt length; greedy on both sides, one compute thread, one process. The
sides take turns within each repeat; medians are shown, and the ratio is taken within each repeat.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import random
import statistics
import sys
import time
from collections.abc import Callable

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from paribus.inference.engine import GenerationRequest
from paribus.inference.local import LocalEngine
from paribus.models.decoder import DecoderConfig, DecoderForCausalLM
from paribus.records import Message

VOCABULARY = 2000
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 384,
    "initializer_range": 0.1,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def tokenizer() -> PreTrainedTokenizerFast:
    """One word, one token; the template adds a first and a last token to a prompt."""
    core = Tokenizer(models.WordLevel({f"w{index}": index for index in range(VOCABULARY)}, unk_token="w3"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="w0", bos_token="w1", eos_token="w2", unk_token="w3")
    made.chat_template = "w1 {{ messages[0]['content'] }} w4"
    return made


def requests(count: int, *, samples: int = 1) -> list[GenerationRequest]:
    """``count`` requests of 8-128 prompt tokens and 8-64 wanted; ``samples`` of them share each prompt."""
    source = random.Random(0)
    prompts = [
        " ".join(f"w{source.randrange(5, VOCABULARY)}" for _ in range(source.randint(8, 128) - 2))
        for _ in range(count // samples)
    ]
    return [
        GenerationRequest(
            id=str(index),
            messages=(Message(role="user", content=prompts[index // samples]),),
            max_tokens=source.randint(8, 64),
        )
        for index in range(count)
    ]


def run_peer(
    model: PreTrainedModel, asked: list[GenerationRequest], prompts: list[list[int]], batch: int, *, by_length: bool
) -> list[list[int]]:
    """What ``generate`` gives each request, cut to the request's own max_tokens."""
    order = sorted(range(len(asked)), key=lambda i: len(prompts[i])) if by_length else list(range(len(asked)))
    answers: list[list[int]] = [[] for _ in asked]
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        width = max(len(prompts[i]) for i in chosen)
        ids = torch.tensor([[0] * (width - len(prompts[i])) + prompts[i] for i in chosen])
        mask = torch.tensor([[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in chosen])
        longest = max(asked[i].max_tokens for i in chosen)
        made = model.generate(ids, attention_mask=mask, max_new_tokens=longest, do_sample=False)[:, width:]
        for i, row in zip(chosen, made.tolist(), strict=True):
            kept = row[: asked[i].max_tokens]
            answers[i] = kept[: kept.index(2) + 1] if 2 in kept else kept
    return answers


def timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(name: str, model: PreTrainedModel, asked: list[GenerationRequest], repeats: int) -> list[str]:
    """Table rows for one model, after checking that both sides say the same."""
    engine = LocalEngine(model, tokenizer())
    prompts = engine.chat.prompts([request.messages for request in asked])
    sides: dict[str, Callable[[], object]] = {"LocalEngine": lambda: engine.generate(asked)}
    for batch in (32, 64):
        for by_length in (False, True):
            label = f"generate, batches of {batch}, " + ("sorted by length" if by_length else "arrival order")
            sides[label] = lambda batch=batch, by_length=by_length: run_peer(
                model, asked, prompts, batch, by_length=by_length
            )
    answers = run_peer(model, asked, prompts, 32, by_length=False)
    replies = engine.generate(asked)
    equal = sum(engine.chat.text(answer) == reply.text for answer, reply in zip(answers, replies, strict=True))
    wanted = sum(reply.tokens for reply in replies)
    times: dict[str, list[float]] = {label: [] for label in sides}
    for _ in range(repeats):
        for label, work in sides.items():
            times[label].append(timed(work))
    rows = []
    for label, seconds in times.items():
        ratio = statistics.median(peer / own for peer, own in zip(seconds, times["LocalEngine"], strict=True))
        speed = wanted / statistics.median(seconds)
        rows.append(f"| {name} | {label} | {statistics.median(seconds):.2f} | {speed:,.0f} | {ratio:.2f} |")
    rows.append(f"| {name} | *answers equal to generate's* | | {equal} of {len(asked)} | |")
    return rows


def main(repeats: int = 5) -> None:
    """Print a markdown table; the last column is how many times faster LocalEngine was."""
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    torch.manual_seed(0)
    decoder = DecoderForCausalLM(DecoderConfig(**SHAPE, num_key_value_heads=2)).eval()
    llama = LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=4)).eval()
    size = sum(weight.numel() for weight in decoder.parameters()) / 1e6
    print(f"| model | side | seconds | wanted tokens/s | LocalEngine is faster by |\n{'| --- ' * 5}|")
    cases = [
        (f"decoder {size:.1f} M", decoder, requests(256)),
        (f"Llama {sum(weight.numel() for weight in llama.parameters()) / 1e6:.1f} M", llama, requests(256)),
        (f"decoder {size:.1f} M, 8 samples a prompt", decoder, requests(256, samples=8)),
    ]
    for name, model, asked in cases:
        print("\n".join(compare(name, model, asked, repeats)), flush=True)


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:2]))
