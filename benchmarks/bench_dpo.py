"""Tokens per second of our DPO against TRL's ``DPOTrainer`` on the same model, data, batches and optimizer.

    python benchmarks/bench_dpo.py [repeats]          # about four minutes for 5 repeats

Batches of 8 pairs; prompts of 16-64 tokens with two answers of 8-32 each. Both sides have reference log-probabilities
beforehand and run fp32 on one compute thread in one process, taking turns; CPU seconds of the process are counted,
which other work on the machine disturbs least. TRL's trainer is built before its clock starts, ours within. After the
same steps both sides must have the same weights. The bare loop shows what transformers' Trainer costs beneath ours.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import copy
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryDirectory

import datasets
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging
from trl import DPOConfig, DPOTrainer

from paribus.data.chat import Encoded
from paribus.data.pairs import PairDataset
from paribus.data.stream import BatchStream
from paribus.models.decoder import DecoderConfig, DecoderForCausalLM
from paribus.training.compute import FP32
from paribus.training.objectives.dpo import DPO
from paribus.training.optimizers import build_optimizer
from paribus.training.references import add_reference_logprobs
from paribus.training.settings import TrainSettings
from paribus.training.trainer import train

VOCABULARY, PAIRS, BATCH = 2000, 192, 8
SETTINGS = TrainSettings(
    steps=PAIRS // BATCH, batch_size=BATCH, learning_rate=1e-4, schedule="constant", betas=(0.9, 0.95)
)
WORDS = ["<pad>", "<bos>", "<end>", *(f"w{index}" for index in range(3, VOCABULARY))]


def shape(width: int, layers: int) -> dict[str, int | float]:
    """A decoder's shape; heads of 32."""
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 32,
        "num_key_value_heads": width // 32,
        "intermediate_size": 3 * width,
        "max_position_embeddings": 256,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def make_pairs() -> PairDataset:
    """Random pairs whose answers end as TRL ends them."""
    source = np.random.default_rng(0)
    sides: tuple[list[Encoded], list[Encoded]] = ([], [])
    for _ in range(PAIRS):
        prompt = source.integers(3, VOCABULARY, source.integers(16, 65))
        for side in sides:
            answer = source.integers(3, VOCABULARY, source.integers(7, 32))
            ids = np.concatenate([prompt, answer, [2]]).astype(np.int32)
            side.append(Encoded(ids, np.arange(len(ids)) >= len(prompt)))
    return PairDataset(tuple(sides[0]), tuple(sides[1]), np.zeros(PAIRS, np.float32))


def peer(model: PreTrainedModel, pairs: PairDataset, order: np.ndarray, directory: str) -> DPOTrainer:
    """TRL's trainer over the pairs in the given order, reference log-probabilities computed."""
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<bos>", eos_token="<end>", unk_token="<pad>"
    )
    rows = []
    for row in order:
        good, bad = pairs.chosen[row], pairs.rejected[row]
        ids = (good.input_ids[~good.completion_mask], *(side.input_ids[side.completion_mask] for side in (good, bad)))
        prompt, chosen, rejected = (" ".join(WORDS[index] for index in part) for part in ids)
        rows.append({"prompt": prompt, "chosen": f" {chosen}", "rejected": f" {rejected}"})
    arguments = DPOConfig(
        output_dir=directory,
        max_steps=SETTINGS.steps,
        per_device_train_batch_size=BATCH,
        learning_rate=SETTINGS.learning_rate,
        lr_scheduler_type="constant",
        adam_beta2=SETTINGS.betas[1],
        max_grad_norm=SETTINGS.max_grad_norm,
        beta=0.1,
        precompute_ref_log_probs=True,
        train_sampling_strategy="sequential",
        activation_checkpointing=False,
        use_cpu=True,
        bf16=False,
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
        save_strategy="no",
        dataloader_pin_memory=False,
    )
    rows_in_order = datasets.Dataset.from_list(rows)
    trainer = DPOTrainer(model, args=arguments, train_dataset=rows_in_order, processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    return trainer


def bare_loop(model: PreTrainedModel, stream: BatchStream) -> None:
    """The same steps without any trainer."""
    optimizer, objective = build_optimizer(model, SETTINGS), DPO(beta=0.1)
    for step in range(SETTINGS.steps):
        objective.loss(model, stream.batch(step)).value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()


def timed(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def distance(first: PreTrainedModel, second: PreTrainedModel) -> float:
    """Largest difference of two weights."""
    both = zip(first.parameters(), second.parameters(), strict=True)
    return max(float((one - other).detach().abs().max()) for one, other in both)


def compare(name: str, start: PreTrainedModel, repeats: int) -> list[str]:
    """Table rows for one model."""
    pairs = add_reference_logprobs(start, make_pairs())
    stream = BatchStream(pairs, BATCH, seed=0)
    order = np.concatenate([stream.rows(step) for step in range(SETTINGS.steps)])
    tokens = sum(len(row) for row in (*pairs.chosen, *pairs.rejected))
    times: dict[str, list[float]] = {"TRL DPOTrainer": [], "paribus train": [], "bare loop": []}
    for _ in range(repeats + 1):
        ours, theirs, bare = (copy.deepcopy(start) for _ in range(3))
        with TemporaryDirectory() as directory:
            trainer = peer(theirs, pairs, order, directory)
            times["TRL DPOTrainer"].append(timed(trainer.train))
        times["paribus train"].append(timed(partial(train, ours, stream, DPO(beta=0.1), SETTINGS, compute=FP32)))
        times["bare loop"].append(timed(partial(bare_loop, bare, stream)))
    rows = []
    for side, seconds in times.items():
        # The first round warms caches up and is left out.
        ratio = statistics.median(
            peer / own for peer, own in zip(times["TRL DPOTrainer"][1:], seconds[1:], strict=True)
        )
        middle = statistics.median(seconds[1:])
        rows.append(
            f"| {name} | {side} | {1000 * middle / SETTINGS.steps:.0f} | {tokens / middle:,.0f} | {ratio:.2f} |"
        )
    rows.append(f"| {name} | *largest difference of two weights, ours and TRL's* | | {distance(ours, theirs):.0e} | |")
    return rows


def main(repeats: int = 5) -> None:
    """Print a markdown table; the last column is how many times faster than TRL a side was."""
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    candidates = {
        "Llama": lambda width, layers: LlamaForCausalLM(LlamaConfig(**shape(width, layers))),
        "decoder": lambda width, layers: DecoderForCausalLM(DecoderConfig(**shape(width, layers))),
    }
    print(f"| model | side | CPU ms a step | tokens/s | times TRL's speed |\n{'| --- ' * 5}|")
    for kind, width, layers in (("Llama", 128, 4), ("decoder", 128, 4), ("decoder", 32, 2)):
        model = candidates[kind](width, layers).eval()
        size = sum(weight.numel() for weight in model.parameters()) / 1e6
        print("\n".join(compare(f"{kind} {size:.1f} M", model, repeats)), flush=True)


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:2]))
