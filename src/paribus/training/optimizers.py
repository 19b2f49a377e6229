"""AdamW, and Muon for matrices with AdamW beside it behind one optimizer interface."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from paribus.errors import ConfigError
from paribus.training.settings import TrainSettings


def build_optimizer(model: nn.Module, settings: TrainSettings) -> Optimizer:
    """The optimizer of the settings over the trainable parameters. Weight decay touches matrices of the body only."""
    matrices, rest = split_parameters(model)
    if not matrices and not rest:
        raise ConfigError("The model has no trainable parameter; check what was frozen.")
    common: dict[str, Any] = {"lr": settings.learning_rate, "betas": settings.betas}
    if settings.optimizer == "muon":
        if not matrices:
            raise ConfigError("Muon needs matrices to train and this model has none outside its embeddings; use adamw.")
        # match_rms_adamw scales Muon's update to AdamW's usual size, so that one learning rate serves both.
        muon = Muon(
            matrices, lr=settings.learning_rate, weight_decay=settings.weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        return PairedOptimizer(muon, AdamW([{"params": rest, "weight_decay": 0.0}], **common, fused=True))
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return AdamW([group for group in groups if group["params"]], **common, fused=True)


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable matrices of the body, and everything else (embeddings, output layers, norms, biases)."""
    tables = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters(recurse=False)}
    head = getattr(model, "get_output_embeddings", lambda: None)()
    tables |= {id(p) for p in head.parameters()} if head is not None else set()
    trainable = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trainable if p.ndim == 2 and min(p.shape) > 1 and id(p) not in tables]
    chosen = {id(p) for p in matrices}
    return matrices, [p for p in trainable if id(p) not in chosen]


class PairedOptimizer(Optimizer):
    """Two optimizers that step together; schedulers see the groups of both, checkpoints hold the state of both."""

    def __init__(self, first: Optimizer, second: Optimizer) -> None:
        self.members = (first, second)
        super().__init__([p for m in self.members for g in m.param_groups for p in g["params"]], {})
        self._share_groups()

    def _share_groups(self) -> None:
        # The very same dictionaries: a scheduler that sets lr here sets it there.
        self.param_groups = [group for member in self.members for group in member.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both. A closure would have to run once for two optimizers and is refused."""
        if closure is not None:
            raise ConfigError("PairedOptimizer takes no closure; call backward before step.")
        for member in self.members:
            member.step()
        return None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of both."""
        for member in self.members:
            member.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """State of both, by place."""
        return {str(place): member.state_dict() for place, member in enumerate(self.members)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both."""
        for place, member in enumerate(self.members):
            member.load_state_dict(state_dict[str(place)])
        self._share_groups()
