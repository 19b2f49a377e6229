"""Steps a second of ``train`` on freshly drawn batches against a bare loop, and of K members against K single steps.

    python benchmarks/bench_members.py [repeats]      # two CPU minutes for 2 repeats

Sizes of the test-beds at pocket scale: 64 rows a step, width 64. Everything runs in fp32 on one compute thread in one
process, sides taking turns; CPU seconds of the process are counted, which other work on the machine disturbs least, and
the first round is left out. The bare loop draws the same batches and ends with the same weights. Goal: ``train`` does
at least 90 % of the bare loop's steps a second. With a GPU the members' part runs there too, in seconds by the clock.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import copy
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from transformers.utils import logging

from paribus.data.sampled import SampledStream
from paribus.models.sequence import SequenceConfig, SequenceForPrediction
from paribus.training.compute import FP32
from paribus.training.members import batched_step, single_step
from paribus.training.objectives.labelled import Labelled
from paribus.training.optimizers import build_optimizer
from paribus.training.schedule import rate_at
from paribus.training.settings import TrainSettings
from paribus.training.trainer import train

ROWS, WIDTH = 64, 10
OBJECTIVE = Labelled("classes")
SETTINGS = TrainSettings(steps=1, batch_size=ROWS, learning_rate=1e-3, weight_decay=0.1)
SHAPES = {
    "attention, 2 layers, 64 x 80": ("attention", 2, 80, 60),
    "attention, 1 layer, 64 x 21": ("attention", 1, 21, 400),
    "lstm, 1 layer, 64 x 80": ("lstm", 1, 80, 120),
}
"""Mixer, layers, positions, and steps of a run, of which ``train`` spends a quarter of a second before the first."""


def build(seed: int, mixer: str, layers: int) -> SequenceForPrediction:
    """A model of width 64 over vectors, with one logit."""
    torch.manual_seed(seed)
    shape = {"input_size": WIDTH, "outputs": 1, "hidden_size": 64, "num_hidden_layers": layers}
    return SequenceForPrediction(SequenceConfig(mixer=mixer, **shape))


def sampler(length: int, count: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Vectors of signs; every other position is scored."""
    x = torch.randint(2, (count, length, WIDTH), generator=generator).float() * 2 - 1
    labels = (x.sum(-1) > 0).long()
    labels[:, 1::2] = -100
    return {"inputs_embeds": x, "labels": labels}


def bare_loop(model: SequenceForPrediction, stream: SampledStream, run: TrainSettings) -> None:
    """The same steps without any trainer."""
    optimizer = build_optimizer(model.train(), run)
    for step in range(run.steps):
        for group in optimizer.param_groups:
            group["lr"] = run.learning_rate * rate_at(step, run)
        loss = OBJECTIVE.loss(model, stream.batch(step)).value
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), run.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()


def timed(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of this process, or by another clock."""
    start = clock()
    work()
    return clock() - start


def against_the_bare_loop(name: str, repeats: int) -> list[str]:
    """Table rows for one shape."""
    mixer, layers, length, steps = SHAPES[name]
    start, run = build(0, mixer, layers), SETTINGS.model_copy(update={"steps": steps})
    times: dict[str, list[float]] = {"bare loop": [], "train": []}
    for _ in range(repeats + 1):
        ours, bare = copy.deepcopy(start), copy.deepcopy(start)
        stream = partial(SampledStream, partial(sampler, length), ROWS, 0, "signs")
        times["bare loop"].append(timed(partial(bare_loop, bare, stream(), run)))
        times["train"].append(timed(partial(train, ours, stream(), OBJECTIVE, run, compute=FP32)))
    both = zip(ours.parameters(), bare.parameters(), strict=True)
    apart = max(float((one - other).detach().abs().max()) for one, other in both)
    middle = {side: 1000 * statistics.median(seconds[1:]) / steps for side, seconds in times.items()}
    share = statistics.median(b / a for a, b in zip(times["train"][1:], times["bare loop"][1:], strict=True))
    return [f"| {name} | {middle['bare loop']:.1f} | {middle['train']:.1f} | {share:.2f} | {apart:.0e} |"]


def against_single_steps(name: str, count: int, device: str, repeats: int) -> list[str]:
    """Table row: ``count`` single steps, and one of as many members. Recurrent nets as members go step by step."""
    mixer, layers, length, _ = SHAPES[name]
    *together, alone = (build(seed, mixer, layers).to(device) for seed in range(count + 1))
    together[0].set_attn_implementation("eager")
    if mixer == "lstm":
        together[0].set_kernel("steps")
    batch = {key: values.to(device) for key, values in sampler(length, ROWS, torch.Generator()).items()}
    steps = [
        single_step(alone, batch, OBJECTIVE, SETTINGS, FP32),
        batched_step(together, batch, OBJECTIVE, SETTINGS, FP32),
    ]
    clock = time.process_time if device == "cpu" else time.perf_counter
    rounds = [[timed(step, clock) for step in steps] for _ in range(repeats + 1)][1:]
    single, batched = (1000 * statistics.median(column) for column in zip(*rounds, strict=True))
    return [f"| {name} | {device} | {count} | {count * single:.0f} | {batched:.0f} | {count * single / batched:.2f} |"]


def main(repeats: int = 2) -> None:
    """Print two markdown tables."""
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    print("| model, rows x positions | bare loop, ms a step | train, ms a step | share of its speed | weights apart |")
    print("| --- | --- | --- | --- | --- |")
    for name in SHAPES:
        print("\n".join(against_the_bare_loop(name, repeats)), flush=True)
    print("\n| model, rows x positions | device | K | K single steps, ms | K members, ms | times as fast |")
    print("| --- | --- | --- | --- | --- | --- |")
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        for name in SHAPES:
            print("\n".join(against_single_steps(name, 8, device, repeats)), flush=True)
    if not torch.cuda.is_available():
        print("| all | cuda | 8 | not run: no GPU here | | |")


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:2]))
