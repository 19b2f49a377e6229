"""Training steps of small sequence models, against peers in the same process and figures measured before.

    python benchmarks/bench_sequence.py                      # 2 layers, width 64, 64 x 80 tokens: about a minute
    python benchmarks/bench_sequence.py --shape harness      # 2 layers, width 64, 32 x 100 tokens
    python benchmarks/bench_sequence.py --shape released     # 6 layers, width 256, 64 x 140 tokens: several minutes

A step is forward, backward and AdamW on vectors in, one logit a position out. Every mixer runs in the same block, with
a feed-forward layer; where there is a peer, ours is built as the peer is and the two take turns:

- attention: transformers' GPT-2 of the same shape (without the token table it would not use);
- lstm: torch's own LSTM stack between two linear layers, ours without feed-forward layers, norms and residual paths;
- mamba2: transformers' Mamba-2 in plain PyTorch, ours without feed-forward layers;
- rwkv: transformers' RWKV (version 4, with its channel mixing), ours (version 6) with a feed-forward layer of 4D.

"before" are CPU seconds on the same kind of machine, one thread: of the blocks released with Bhattamishra et al. 2023
(DSS, RetNet, Hyena, LSTM; shape released), and of transformers' models (GPT-2, Mamba-2, RWKV; shapes harness and
released). Seconds are of the processor; medians over turns, ratios within each turn. The last table is of the step
form, which training does not use: it is what vmap can batch.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2Model, Mamba2Config, Mamba2Model, RwkvConfig, RwkvModel, logging

from paribus.models.sequence import SequenceConfig, SequenceForPrediction
from paribus.models.sequence_shape import MIXERS, SequenceShape

INPUT, STATE = 20, 64
SHAPES = {
    "pocket": {"layers": 2, "width": 64, "heads": 4, "batch": 64, "length": 80},
    "harness": {"layers": 2, "width": 64, "heads": 4, "batch": 32, "length": 100},
    "released": {"layers": 6, "width": 256, "heads": 8, "batch": 64, "length": 140},
}
BEFORE = {
    ("harness", "attention"): 0.087,
    ("harness", "mamba2"): 0.133,
    ("harness", "rwkv"): 0.185,
    ("released", "attention"): 3.6,
    ("released", "dss"): 3.0,
    ("released", "retention"): 3.2,
    ("released", "hyena"): 5.2,
    ("released", "lstm"): 1.35,
}
"""CPU seconds a step, by shape and mixer."""

PLAIN = {"norm": "none", "ffn_size": 0, "residual": False}


@dataclass
class Side:
    """A model, the operations of a token where they are known, and seconds of its steps."""

    name: str
    model: nn.Module
    shape: SequenceShape | None = None
    spent: list[float] = field(default_factory=list)


class Ends(nn.Module):
    """A body of transformers or torch between a read-in and a read-out."""

    def __init__(self, body: nn.Module, width: int) -> None:
        super().__init__()
        self.read_in, self.body, self.head = nn.Linear(INPUT, width), body, nn.Linear(width, 1)

    def forward(self, inputs_embeds: Tensor) -> Tensor:
        x = self.read_in(inputs_embeds)
        if isinstance(self.body, nn.LSTM):
            return self.head(self.body(x)[0])
        return self.head(self.body(inputs_embeds=x, use_cache=False).last_hidden_state)


def ours(mixer: str, size: dict[str, int], **changes: Any) -> Side:
    """One of our models."""
    settings = {
        "mixer": mixer, "input_size": INPUT, "outputs": 1, "hidden_size": size["width"], "state_size": STATE,
        "num_hidden_layers": size["layers"], "num_attention_heads": size["heads"], "max_positions": 200,
    }  # fmt: skip
    model = SequenceForPrediction(SequenceConfig(**settings | changes))
    return Side(mixer, model, model.config.shape)


def peers(size: dict[str, int]) -> dict[str, tuple[dict[str, Any], Side]]:
    """For a mixer: how ours is built to be compared, and its peer."""
    width, layers, heads = size["width"], size["layers"], size["heads"]
    gpt2 = GPT2Config(
        vocab_size=1, n_positions=200, n_embd=width, n_layer=layers, n_head=heads, activation_function="gelu",
        attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    mamba2 = Mamba2Config(
        vocab_size=1, hidden_size=width, state_size=STATE, num_heads=heads, head_dim=2 * width // heads, n_groups=1,
        num_hidden_layers=layers, chunk_size=32, pad_token_id=0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    rwkv = RwkvConfig(vocab_size=1, hidden_size=width, num_hidden_layers=layers, context_length=200)
    bodies = {
        "attention": ({}, "GPT-2", GPT2Model(gpt2)),
        "lstm": (PLAIN, "torch LSTM", nn.LSTM(width, width, layers, batch_first=True)),
        "mamba2": ({"ffn_size": 0}, "Mamba-2", Mamba2Model(mamba2)),
        "rwkv": ({}, "RWKV 4", RwkvModel(rwkv)),
    }
    return {mixer: (changes, Side(name, Ends(body, width))) for mixer, (changes, name, body) in bodies.items()}


def stepper(side: Side, x: Tensor) -> Callable[[], None]:
    """A training step on one batch."""
    side.model.train()
    optimizer = torch.optim.AdamW(side.model.parameters(), lr=0.0)

    def step() -> None:
        output = side.model(inputs_embeds=x)
        logits = output.logits if hasattr(output, "logits") else output
        logits.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def take_turns(sides: list[Side], x: Tensor, repeats: int) -> None:
    """Fill in the seconds of each; the first turn warms up."""
    steps = [stepper(side, x) for side in sides]
    for turn in range(repeats + 1):
        for side, step in zip(sides, steps, strict=True):
            start = time.process_time()
            step()
            if turn:
                side.spent.append(time.process_time() - start)


def faster(side: Side, peer: Side) -> float:
    """Steps of ``side`` while ``peer`` does one: the median over turns."""
    return statistics.median(theirs / mine for mine, theirs in zip(side.spent, peer.spent, strict=True))


def parameters(model: nn.Module) -> int:
    """Parameters of a model, GPT-2's unused token table of one row included."""
    return sum(weight.numel() for weight in model.parameters())


def row(*cells: object) -> None:
    """One line of a table."""
    print(f"| {' | '.join(str(cell) for cell in cells)} |", flush=True)


def heading(*cells: str) -> None:
    """The first lines of a table."""
    print()
    row(*cells)
    row(*["---"] * len(cells))


def all_mixers(name: str, size: dict[str, int], x: Tensor, repeats: int) -> None:
    """Every mixer in the common block."""
    heading("mixer", "parameters", "CPU ms a step", "GFLOP/s", "state numbers", "before, ms", "ours: times as fast")
    sides = [ours(mixer, size) for mixer in MIXERS]
    take_turns(sides, x, repeats)
    for side in sides:
        spent, before = statistics.median(side.spent), BEFORE.get((name, side.name))
        assert side.shape is not None
        rate = side.shape.training_flops(size["length"], size["batch"] * size["length"]) / spent / 1e9
        past = (f"{1e3 * before:,.0f}", f"{before / spent:.2f}") if before else ("-", "-")
        state = side.shape.state_numbers(size["length"])
        row(side.name, f"{parameters(side.model):,}", f"{1e3 * spent:,.0f}", f"{rate:.1f}", f"{state:,}", *past)


def against_peers(size: dict[str, int], x: Tensor, repeats: int) -> None:
    """Each peer against ours built like it."""
    heading("ours", "parameters", "CPU ms a step", "peer", "parameters", "CPU ms a step", "ours: times as fast")
    for mixer, (changes, peer) in peers(size).items():
        mine = ours(mixer, size, **changes)
        take_turns([mine, peer], x, repeats)
        cells = [
            cell
            for side in (mine, peer)
            for cell in (side.name, f"{parameters(side.model):,}", f"{1e3 * statistics.median(side.spent):,.0f}")
        ]
        row(*cells, f"{faster(mine, peer):.2f}")


def step_form(size: dict[str, int], x: Tensor) -> None:
    """The parallel form against one token after the other."""
    heading("mixer", "parallel, CPU ms a step", "step form, CPU ms a step", "parallel: times as fast")
    for mixer in MIXERS:
        parallel, steps = ours(mixer, size), ours(mixer, size)
        steps.model.set_kernel("steps")  # type: ignore[operator]
        take_turns([parallel, steps], x, 2)
        times = [f"{1e3 * statistics.median(side.spent):,.0f}" for side in (parallel, steps)]
        row(mixer, *times, f"{faster(parallel, steps):.1f}")


def main() -> None:
    """All tables for one shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="pocket")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    logging.set_verbosity_error()
    size = SHAPES[options.shape]
    x = torch.randn(size["batch"], size["length"], INPUT)
    all_mixers(options.shape, size, x, options.repeats)
    against_peers(size, x, options.repeats)
    if options.shape == "pocket":
        step_form(size, x)


if __name__ == "__main__":
    main()
