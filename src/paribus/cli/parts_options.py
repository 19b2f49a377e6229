"""Options that several commands for single parts share, so that one word means one thing everywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from paribus.errors import ConfigError

Number = TypeVar("Number", int, float)

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model folder (safetensors + tokenizer) or a hub id (owner/name).")
]
Prompts = Annotated[
    str, typer.Argument(metavar="PROMPTS", help="Prompts: a .jsonl, .jsonl.gz or .parquet file, or a hub dataset.")
]
OutFolder = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to make.")]
OutFile = Annotated[
    Path, typer.Option("--out", metavar="FILE", help="The file to make (.jsonl, .jsonl.gz or .parquet).")
]
Seed = Annotated[int, typer.Option(help="Fixes every random choice.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps ...")]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(help="Number format of the weights; auto: as they are stored."),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads (more than one only if nothing else runs).", show_default="as set"),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Answered together and then saved.")]
AcceptFailures = Annotated[
    bool, typer.Option("--accept-failures", help="Finish although requests failed (they are marked as such).")
]


def numbers(text: str, option: str) -> list[float]:
    """``"0.7, 0.3"`` as numbers. Raises ``ConfigError`` naming the option."""
    return _listed(text, option, float, "numbers", "0.7,0.3")


def whole_numbers(text: str, option: str) -> list[int]:
    """``"0, 1"`` as whole numbers. Raises ``ConfigError`` naming the option."""
    return _listed(text, option, int, "whole numbers", "0,1,2")


def _listed(text: str, option: str, kind: Callable[[str], Number], words: str, example: str) -> list[Number]:
    try:
        return [kind(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ConfigError(f"{option} is {text!r}; give {words} with commas between, such as {example}.") from None


def prepare(threads: int | None, device: str) -> None:
    """Set CPU threads before anything is computed (waiting ones sleep instead of spinning), try the device, and show
    our own words only: transformers reports a new reward head as a fault.

    Raises ``ConfigError`` for a device that is not there.
    """
    import os

    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ConfigError(f"--device {device} cannot be used here: {reason}.") from error
