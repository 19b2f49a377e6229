"""Random token data and tiny random models that the training tests share."""

import numpy as np
import torch

from paribus.data.chat import Encoded
from paribus.data.packing import pack
from paribus.data.pairs import PairDataset
from paribus.data.samples import SampleDataset
from paribus.data.stream import BatchStream
from paribus.models.decoder import DecoderConfig, DecoderForCausalLM
from paribus.models.mixture import MixtureConfig, MixtureForCausalLM
from paribus.training.objectives.causal import Causal
from paribus.training.optimizers import build_optimizer
from paribus.training.settings import TrainSettings

VOCABULARY = 48
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


class Killed(Exception):
    """A run was interrupted."""


def killer(at):
    """An ``on_step`` that interrupts the run after step ``at``."""

    def on_step(report):
        if report.step == at:
            raise Killed

    return on_step


def decoder(**changes):
    torch.manual_seed(0)
    return DecoderForCausalLM(DecoderConfig(**{**SHAPE, **changes})).eval()


def mixture(**changes):
    """Four attention experts and four feed-forward experts, the paper's gates, and losses that are not small."""
    torch.manual_seed(0)
    experts = {"attention_experts": 4, "ffn_experts": 4, "load_balance_coefficient": 0.3, "router_z_coefficient": 0.1}
    return MixtureForCausalLM(MixtureConfig(**{**SHAPE, **experts, **changes})).eval()


def build(model_class, config_class, **changes):
    """A tiny model of a transformers class."""
    torch.manual_seed(0)
    return model_class(config_class(**{**SHAPE, **changes})).eval()


def conversation(generator, length, prompt):
    """Random tokens, of which those behind the prompt carry loss."""
    ids = generator.integers(3, VOCABULARY, length).astype(np.int32)
    return Encoded(ids, np.arange(length) >= prompt)


def conversations(count=24, seed=0, shortest=5, longest=12):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(shortest, longest + 1, count)
    return [conversation(generator, int(length), int(generator.integers(1, 4))) for length in lengths]


def packed(count=24, seed=0, length=16):
    return pack(conversations(count, seed), length)


def answers(generator, count, longest):
    """Conversations that share their prompt."""
    prompt = generator.integers(3, VOCABULARY, int(generator.integers(2, 5))).astype(np.int32)
    rows = []
    for _ in range(count):
        tail = generator.integers(3, VOCABULARY, int(generator.integers(1, longest))).astype(np.int32)
        mask = np.arange(len(prompt) + len(tail)) >= len(prompt)
        rows.append(Encoded(np.concatenate([prompt, tail]), mask))
    return rows


def pairs(count=12, seed=0):
    generator = np.random.default_rng(seed)
    both = [answers(generator, 2, 8) for _ in range(count)]
    margins = generator.normal(size=count).astype(np.float32)
    return PairDataset(tuple(a for a, _ in both), tuple(b for _, b in both), margins)


def samples(count=6, k=3, seed=0):
    generator = np.random.default_rng(seed)
    rows = [row for _ in range(count) for row in answers(generator, k, 8)]
    return SampleDataset(tuple(rows), generator.normal(size=(count, k)))


def every(dataset):
    """All rows as one batch."""
    return dataset.batch(np.arange(len(dataset)))


def stream(dataset, batch_size=4, seed=0):
    return BatchStream(dataset, batch_size, seed)


def settings(**changes):
    return TrainSettings(**{"steps": 6, "batch_size": 4, "learning_rate": 1e-2, **changes})


def bare_loop(model, feed, run, *, processes=1, rank=0):
    """A mixture's steps written out, with constant rates: a row (loss, regulariser) a step.

    The loss is shared out by targets, the regulariser is the plain mean over micro-batches. Of several processes each
    takes its share of every micro-batch, and gradients and rows are means over them.
    """
    model.train()
    optimizer, objective, rows = build_optimizer(model, run), Causal(), []
    parts = run.gradient_accumulation * processes
    for step in range(run.steps):
        chunks = feed.rows(step).reshape(parts, -1)[rank::processes]
        batches = [feed.dataset.batch(chunk) for chunk in chunks]
        targets = mean_over_processes(torch.tensor([sum(objective.weight(batch) for batch in batches)]), processes)
        row = torch.zeros(2, dtype=torch.float64)
        for batch in batches:
            loss = objective.loss(model, batch)
            value, regulariser = loss.value * objective.weight(batch) / targets.item(), loss.regulariser / len(batches)
            (value + regulariser).backward()
            row += torch.stack([value.detach(), regulariser.detach()])
        torch.nn.utils.clip_grad_norm_(model.parameters(), run.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        rows.append(tuple(mean_over_processes(row, processes).tolist()))
    return rows


def mean_over_processes(values, processes):
    """Unchanged for one."""
    if processes > 1:
        torch.distributed.all_reduce(values)
    return values / processes


def weights(model):
    """All weights as bytes, by name."""
    return {name: tensor.detach().numpy().tobytes() for name, tensor in model.state_dict().items()}


def completion_logprob(model, row):
    """Summed log-probability of one conversation's completion, the long way."""
    ids = torch.tensor(row.input_ids, dtype=torch.long)
    with torch.no_grad():
        logprobs = model(input_ids=ids[None]).logits[0].double().log_softmax(-1)
    return sum(float(logprobs[t - 1, ids[t]]) for t in np.flatnonzero(row.completion_mask))
