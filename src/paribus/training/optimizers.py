"""AdamW, and Muon for matrices with AdamW beside it behind one optimizer interface."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from paribus.errors import ConfigError
from paribus.training.settings import TrainSettings


def build_optimizer(model: nn.Module, settings: TrainSettings) -> Optimizer:
    """The optimizer of the settings over the trainable parameters.

    Weight decay touches matrices of the body, the experts' stacks of them, and routers, whose settings are their own.
    Raises ``ConfigError`` when nothing is trainable, or no matrix for Muon.
    """
    kinds = split_parameters(model)
    if not any(vars(kinds).values()):
        raise ConfigError("The model has no trainable parameter; check what was frozen.")
    if settings.optimizer == "adamw":
        return _adamw([*kinds.matrices, *kinds.stacks], kinds, settings)
    if not kinds.matrices:
        raise ConfigError("Muon needs matrices to train and this model has none outside its embeddings; use adamw.")
    # match_rms_adamw scales Muon's update to AdamW's usual size, so that one learning rate serves both.
    muon = Muon(
        kinds.matrices, lr=settings.learning_rate, weight_decay=settings.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    beside = kinds.stacks + kinds.routers + kinds.rest
    return PairedOptimizer(muon, _adamw(kinds.stacks, kinds, settings)) if beside else muon


def _adamw(decayed: list[nn.Parameter], kinds: "ParameterKinds", settings: TrainSettings) -> AdamW:
    """AdamW over the decayed weights, the routers, and the rest, a group each."""
    rate, decay = settings.router_learning_rate, settings.router_weight_decay
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {
            "params": kinds.routers,
            "lr": settings.learning_rate if rate is None else rate,
            "weight_decay": settings.weight_decay if decay is None else decay,
        },
        {"params": kinds.rest, "weight_decay": 0.0},
    ]
    filled = [group for group in groups if group["params"]]
    return AdamW(filled, lr=settings.learning_rate, betas=settings.betas, fused=True)


@dataclass
class ParameterKinds:
    """Trainable parameters, each in one list, by how they are treated.

    matrices   2-D weights of the body
    stacks     3-D: the matrices of all experts of a layer in one tensor (E, out, in)
    routers    2-D weights that score experts
    rest       embeddings, output layers, norms, biases
    """

    matrices: list[nn.Parameter] = field(default_factory=list)
    stacks: list[nn.Parameter] = field(default_factory=list)
    routers: list[nn.Parameter] = field(default_factory=list)
    rest: list[nn.Parameter] = field(default_factory=list)


def split_parameters(model: nn.Module) -> ParameterKinds:
    """Sort a model's trainable parameters."""
    tables = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters(recurse=False)}
    head = getattr(model, "get_output_embeddings", lambda: None)()
    tables |= {id(p) for p in head.parameters()} if head is not None else set()
    kinds = ParameterKinds()
    for path, parameter, owner in _owned(model):
        kind = "rest" if id(parameter) in tables else _kind(path, parameter, type(owner).__name__)
        getattr(kinds, kind).append(parameter)
    return kinds


def _owned(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, nn.Module]]:
    """Each trainable parameter once, with its module and the module's path."""
    seen = set()
    for path, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                yield path, parameter, module


def _kind(path: str, parameter: nn.Parameter, owner: str) -> str:
    """Which list of ``ParameterKinds`` a weight of module ``path``, of class ``owner``, belongs in."""
    # Norms of single heads have 2-D and 3-D weights, one row a head: no matrices, and pulled to 0 they would do harm.
    if "norm" in f"{path.rpartition('.')[2]} {owner}".lower() or min(parameter.shape[-2:], default=1) == 1:
        return "rest"
    if parameter.ndim == 2:
        # transformers' mixtures call theirs ``gate``, as gated feed-forwards do too; the class tells them apart.
        return "routers" if "router" in f"{path} {owner}".lower() else "matrices"
    return "stacks" if parameter.ndim == 3 else "rest"


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
