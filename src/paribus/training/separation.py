"""Does a model keep packed conversations apart? Asked of the model itself, since its architecture does not say.

A packed row brings positions that restart and a block-diagonal mask. Attention models of transformers take both; state
models and position biases of some kinds ignore them, and would learn from the neighbour without a word.
"""

from typing import Any

import torch

from paribus.training.objectives.causal import model_inputs

FIRST, OTHER, SECOND = (3, 1, 4, 1, 5), (9, 2, 6, 5, 3), (5, 8, 9, 7, 9, 3, 2)
TOLERANCE = 1e-3
"""Largest difference of two logits, in standard deviations of the logits, that is rounding."""


@torch.inference_mode()
def keeps_apart(model: Any) -> bool:
    """Whether a conversation gets the logits it gets alone, whatever stands before it in its row."""
    was_training = model.training
    model.eval()
    try:
        alone = _logits(model, (), SECOND)
        behind = [_logits(model, before, SECOND) for before in (FIRST, OTHER)]
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError, NotImplementedError):
        return False  # a model that cannot take the mask or the positions at all
    finally:
        model.train(was_training)
    return all(bool((logits - alone).abs().max() <= TOLERANCE * alone.std()) for logits in behind)


def _logits(model: Any, before: tuple[int, ...], tokens: tuple[int, ...]) -> torch.Tensor:
    vocabulary = model.config.get_text_config().vocab_size
    rows = {
        "input_ids": [token % vocabulary for token in (*before, *tokens)],
        "position_ids": [*range(len(before)), *range(len(tokens))],
        "segment_ids": [1] * len(before) + [2] * len(tokens),
    }
    batch = {name: torch.tensor([row], device=model.device) for name, row in rows.items()}
    return model(**model_inputs(model, batch), use_cache=False).logits[0, len(before) :].float()
