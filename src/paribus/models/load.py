"""Models and tokenizers from a directory or a hub id: safetensors only, no remote code, and errors that say what to do.

Every architecture of transformers and of this package loads through the same three functions; importing this module
registers ours with the Auto classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from paribus.errors import ModelError
from paribus.models import decoder, mixture

decoder.register()
mixture.register()

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


def load_causal(
    path_or_id: str | Path,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "cpu",
    attn_implementation: str | None = None,
) -> PreTrainedModel:
    """A causal language model in evaluation mode; ``dtype="auto"`` keeps the type it was saved in.

    Raises ``ModelError`` for a missing directory, one without a configuration, weights that are only pickled, a damaged
    file, a hub id that cannot be reached, an architecture that is not causal, and weights the checkpoint lacks.
    """
    options = {"dtype": dtype, "attn_implementation": attn_implementation}
    model, missing = _load(AutoModelForCausalLM, path_or_id, **options)
    if missing:
        raise ModelError(
            f"{path_or_id} lacks the weights {_some(missing)} of {type(model).__name__}, which would be random; load a "
            "causal language model's checkpoint."
        )
    return model.to(device).eval()  # type: ignore[arg-type]


def load_reward(
    path_or_id: str | Path,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "cpu",
    attn_implementation: str | None = None,
    fresh_head: bool = False,
) -> PreTrainedModel:
    """A reward model: sequence classification with one output.

    ``fresh_head=True`` starts one from a language model's checkpoint (its head is then random, from torch's generator);
    without it a checkpoint that lacks the head is refused. Other errors as for ``load_causal``.
    """
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": attn_implementation}
    if fresh_head:
        options["num_labels"] = 1
    model, missing = _load(AutoModelForSequenceClassification, path_or_id, **options)
    head = {name for name in missing if not name.startswith(f"{model.base_model_prefix}.")}
    if missing - head or (head and not fresh_head):
        raise ModelError(
            f"{path_or_id} lacks the weights {_some(missing)} of {type(model).__name__}; load a trained reward model, "
            "or pass fresh_head=True to start one from a language model."
        )
    if model.config.num_labels != 1:
        raise ModelError(
            f"{path_or_id} has num_labels={model.config.num_labels}; a reward model gives one number, so load one that "
            "was saved with num_labels=1."
        )
    return model.to(device).eval()  # type: ignore[arg-type]


def load_tokenizer(path_or_id: str | Path, *, model: PreTrainedModel | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer saved beside a model; with ``model`` its ids are checked against the model's embedding.

    A tokenizer without a padding token pads with its end of sequence. Raises ``ModelError`` if there is none, if it is
    damaged, or if it has ids that the model has no embedding for.
    """
    directory = _directory(path_or_id)
    if directory is not None and not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"{directory} has no tokenizer file ({', '.join(TOKENIZER_FILES[:3])}, ...); save the tokenizer there with "
            "save_pretrained, or name the directory that has it."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(path_or_id, trust_remote_code=False)
    except Exception as error:  # tokenizers raises bare Exception for a damaged file
        raise _cannot_read("tokenizer", path_or_id, directory, error) from error
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
    if model is not None:
        check_vocabulary(model, tokenizer)
    return tokenizer


def check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise ``ModelError`` if the tokenizer can produce an id that the model has no embedding for.

    A model with more rows than the tokenizer has ids is fine: embeddings are often padded to a round number.
    """
    rows = next(model.get_input_embeddings().parameters()).shape[0]
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= rows:
        raise ModelError(
            f"Tokenizer {tokenizer.name_or_path!r} has ids up to {highest}, model {model.name_or_path!r} has {rows} "
            "embeddings; use the tokenizer that the model was trained with, or resize_token_embeddings and train."
        )


def _load(auto: Any, path_or_id: str | Path, **options: Any) -> tuple[PreTrainedModel, set[str]]:
    """The model and the names of weights that its checkpoint lacks."""
    directory = _directory(path_or_id)
    if directory is not None:
        _check_directory(directory)
    options = {name: value for name, value in options.items() if value is not None}
    try:
        model, info = auto.from_pretrained(
            path_or_id, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, HfHubHTTPError, ImportError) as error:
        raise _cannot_read("model", path_or_id, directory, error) from error
    return model, set(info["missing_keys"])


def _directory(path_or_id: str | Path) -> Path | None:
    """The directory meant, or None for a hub id; ``ModelError`` for a path that is not there."""
    path = Path(path_or_id)
    if path.is_dir():
        return path
    text = str(path_or_id)
    is_path = isinstance(path_or_id, Path) or text.startswith(("/", ".", "~")) or text.count("/") > 1 or "\\" in text
    if is_path or path.exists() or not text:
        state = "is a file" if path.exists() else "does not exist"
        raise ModelError(f"Model directory {str(path_or_id)!r} {state}; give a directory that holds config.json.")
    return None


def _check_directory(directory: Path) -> None:
    names = sorted(path.name for path in directory.iterdir())
    if "config.json" not in names:
        found = ", ".join(names[:5]) or "nothing"
        raise ModelError(
            f"{directory} holds no config.json (found: {found}); give a directory made by save_pretrained."
        )
    if not any(name.endswith(".safetensors") for name in names):
        pickled = [name for name in names if name.endswith(PICKLED)]
        if pickled:
            raise ModelError(
                f"{directory} has its weights only as {pickled[0]}, a format that can run code when it is read; "
                "convert it to safetensors (load it where you trust it, then save_pretrained)."
            )
        raise ModelError(f"{directory} has a config.json but no .safetensors file; its weights were not saved.")


def _cannot_read(what: str, path_or_id: str | Path, directory: Path | None, error: Exception) -> ModelError:
    """The library's reason in one line, with what to do about it."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if directory is not None:
        return ModelError(f"The {what} in {directory} cannot be read: {reason}")
    if isinstance(error, HFValidationError):
        return ModelError(f"{str(path_or_id)!r} is neither a directory nor a hub id ('owner/name'): {reason}")
    return ModelError(
        f"The {what} {str(path_or_id)!r} is no local directory and could not be had from the hub: {reason} Download it "
        "where there is a network, or give a local directory (offline mode is on if HF_HUB_OFFLINE is set)."
    )


def _some(names: set[str]) -> str:
    """The first names of a set, for a message."""
    listed = sorted(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
