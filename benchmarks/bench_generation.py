"""Tokens per CPU second of ``LocalEngine`` against transformers' ``generate`` on prompts and answers of mixed length.

    python benchmarks/bench_generation.py [repeats [requests]]     # 3 repeats of 256 requests: some ten CPU minutes

Prompts of 8-128 tokens, each with its own max_tokens of 8-64. Random weights seldom end a turn, so the number of tokens
wanted from each request is known: only those count for either side (``generate`` must run a batch to its largest
max_tokens; what it makes beyond a request's own is waste, as it is for its users). A second set of requests wants 32
tokens of each, where that waste falls away and only prompts differ. The peer gets left padding, its cache, and batches
of 32 or 64, in arrival order and sorted by prompt length, and for the first set also by wanted tokens, which is the
best a user can do by hand. Greedy and sampled (temperature 1, with and without top-p), one compute thread, one process,
the same model object. The sides take turns within each repeat; medians are shown, and the ratio is taken within each
repeat. Seconds are of the processor, so other work on the machine counts little.
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
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="w0", bos_token="w1", eos_token="w2", unk_token="w3"
    )
    made.chat_template = "w1 {{ messages[0]['content'] }} w4"
    return made


def requests(count: int, *, samples: int = 1, wanted: int | None = None, **settings: float) -> list[GenerationRequest]:
    """``count`` requests of 8-128 prompt tokens and 8-64 (or ``wanted``) to make; ``samples`` share each prompt."""
    source = random.Random(0)
    prompts = [
        " ".join(f"w{source.randrange(5, VOCABULARY)}" for _ in range(source.randint(8, 128) - 2))
        for _ in range(count // samples)
    ]
    return [
        GenerationRequest(
            id=str(index),
            messages=(Message(role="user", content=prompts[index // samples]),),
            max_tokens=wanted or source.randint(8, 64),
            **settings,
        )
        for index in range(count)
    ]


ORDERS: dict[str, Callable[[GenerationRequest, list[int]], int]] = {
    "arrival order": lambda request, prompt: 0,
    "sorted by prompt": lambda request, prompt: len(prompt),
    "sorted by max_tokens": lambda request, prompt: request.max_tokens,
}


def run_peer(
    model: PreTrainedModel, asked: list[GenerationRequest], prompts: list[list[int]], batch: int, order_by: str
) -> list[list[int]]:
    """What ``generate`` gives each request, cut to the request's own max_tokens."""
    order = sorted(range(len(asked)), key=lambda i: ORDERS[order_by](asked[i], prompts[i]))
    answers: list[list[int]] = [[] for _ in asked]
    sampling = {"do_sample": asked[0].temperature > 0}
    if sampling["do_sample"]:
        sampling |= {"temperature": asked[0].temperature, "top_p": asked[0].top_p, "top_k": 0}
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        width = max(len(prompts[i]) for i in chosen)
        ids = torch.tensor([[0] * (width - len(prompts[i])) + prompts[i] for i in chosen])
        mask = torch.tensor([[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in chosen])
        longest = max(asked[i].max_tokens for i in chosen)
        made = model.generate(ids, attention_mask=mask, max_new_tokens=longest, **sampling)[:, width:]
        for i, row in zip(chosen, made.tolist(), strict=True):
            kept = row[: asked[i].max_tokens]
            answers[i] = kept[: kept.index(2) + 1] if 2 in kept else kept
    return answers


def timed(work: Callable[[], int]) -> tuple[float, int]:
    """Processor seconds, and the tokens that were wanted and made."""
    start = time.process_time()
    tokens = work()
    return time.process_time() - start, tokens


def compare(name: str, model: PreTrainedModel, asked: list[GenerationRequest], repeats: int) -> list[str]:
    """Table rows for one set of requests, after counting the equal answers where both sides are greedy."""
    engine = LocalEngine(model, tokenizer())
    prompts = engine.chat.prompts([request.messages for request in asked])
    peers = [(64, "arrival order"), (32, "sorted by prompt"), (64, "sorted by prompt")]
    if len({request.max_tokens for request in asked}) > 1:
        peers.append((64, "sorted by max_tokens"))
    sides: dict[str, Callable[[], int]] = {
        "LocalEngine": lambda: sum(reply.tokens for reply in engine.generate(asked)),
    }
    for batch, order in peers:
        sides[f"generate, batches of {batch}, {order}"] = lambda batch=batch, order=order: sum(
            len(answer) for answer in run_peer(model, asked, prompts, batch, order)
        )
    speeds: dict[str, list[float]] = {label: [] for label in sides}
    for _ in range(repeats):
        for label, work in sides.items():
            seconds, tokens = timed(work)
            speeds[label].append(tokens / seconds)
    rows = []
    for label, values in speeds.items():
        ratio = statistics.median(own / peer for peer, own in zip(values, speeds["LocalEngine"], strict=True))
        rows.append(f"| {name} | {label} | {statistics.median(values):,.0f} | {ratio:.2f} |")
    if asked[0].temperature == 0:
        answers = run_peer(model, asked, prompts, 64, "arrival order")
        replies = engine.generate(asked)
        equal = sum(engine.chat.text(answer) == reply.text for answer, reply in zip(answers, replies, strict=True))
        rows.append(f"| {name} | *answers equal to generate's* | {equal} of {len(asked)} | |")
    return rows


def main(repeats: int = 3, count: int = 256) -> None:
    """Print a markdown table; the last column is how many times faster LocalEngine was."""
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    torch.manual_seed(0)
    decoder = DecoderForCausalLM(DecoderConfig(**SHAPE, num_key_value_heads=2)).eval()
    llama = LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=4)).eval()
    for model in (decoder, llama):  # first calls set things up on either side
        LocalEngine(model, tokenizer()).generate(requests(8))
        model.generate(torch.tensor([[4, 5]]), max_new_tokens=2, do_sample=False)
    cases = [
        ("Llama, greedy", llama, requests(count)),
        ("Llama, temperature 1", llama, requests(count, temperature=1.0)),
        ("Llama, top-p 0.9", llama, requests(count, temperature=1.0, top_p=0.9)),
        ("Llama, greedy, 32 tokens each", llama, requests(count, wanted=32)),
        ("Paribus decoder, greedy", decoder, requests(count)),
        ("Paribus decoder, temperature 1, 8 samples a prompt", decoder, requests(count, samples=8, temperature=1.0)),
    ]
    print(f"| model | side | wanted tokens/s | LocalEngine is faster by |\n{'| --- ' * 4}|")
    for name, model, asked in cases:
        print("\n".join(compare(name, model, asked, repeats)), flush=True)


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:3]))
