"""The ``@stage`` decorator: a function that, while a study is being built, returns a ``Handle`` and runs nothing."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any, overload

from pydantic import BaseModel

from paribus.errors import ConfigError
from paribus.lab.budget import Cost
from paribus.lab.identity import address_of, digest, encode_config, identity

CostModel = Callable[..., Cost]
_RESERVED = frozenset({"config", "out", "seed"})
_LABEL = re.compile(r"[\w+:/@\-]+")


@dataclass(frozen=True, eq=False)
class Handle:
    """A stage call that has not run: what it is, what it needs, and where its artifact will lie.

    ``inputs`` maps each input name to a Handle, a tuple of Handles, a dict of Handles, or None. ``label`` is the role
    of the call in an arm and no part of its identity; ``hints`` (such as where a source file lies now) is neither.
    """

    stage: "Stage"
    config: BaseModel | None
    inputs: Mapping[str, Any]
    seed: int | None
    label: str
    hints: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Stage name, version, non-default config fields, parents' digests and seed."""
        config = encode_config(self.config, owner=self.stage.name)
        parents = {
            name: _map_handles(value, lambda h: h.digest) for name, value in self.inputs.items() if value is not None
        }
        return identity(self.stage.name, self.stage.version, config, parents, self.seed)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the identity."""
        return digest(self.identity)

    @cached_property
    def address(self) -> str:
        """Name of the artifact in any store: ``<stage>-<12 hex digits>``."""
        return address_of(self.stage.name, self.digest)

    @cached_property
    def planned(self) -> Cost:
        """What the stage's cost model expects this call to spend; all zero where it has none."""
        return self.stage.plan(self)

    def parents(self) -> Iterator["Handle"]:
        """The handles this one reads, in input order; one that is read twice comes twice."""
        for value in self.inputs.values():
            yield from iter_handles(value)

    def parent_addresses(self) -> dict[str, Any]:
        """Addresses by input name, in the shape of the inputs (text, list, or dict)."""
        return {
            name: None if value is None else _map_handles(value, lambda h: h.address)
            for name, value in self.inputs.items()
        }

    def parent_labels(self) -> dict[str, Any]:
        """Labels by input name, in the shape of the inputs: the wiring that a comparison looks at."""
        return {
            name: None if value is None else _map_handles(value, lambda h: h.label)
            for name, value in self.inputs.items()
        }

    def __repr__(self) -> str:
        return f"Handle({self.label}: {self.address})"


class Stage:
    """A cached step of a study, made by ``@stage``. Calling it plans; ``.function`` is the plain function."""

    def __init__(self, function: Callable[..., Any], *, version: str, name: str | None, cost: CostModel | None) -> None:
        self.function = function
        self.version = version
        self.name = name or function.__name__
        self.cost = cost
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__
        self._parameters = inspect.signature(function).parameters
        self._check_signature()

    @property
    def reference(self) -> str:
        """Import path that a worker loads, ``module:function``."""
        return f"{self.function.__module__}:{self.function.__qualname__}"

    @property
    def takes_seed(self) -> bool:
        """Whether the function has a ``seed`` parameter."""
        return "seed" in self._parameters

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """The parameters that are artifacts: all but ``config``, ``out`` and ``seed``."""
        return tuple(name for name in self._parameters if name not in _RESERVED)

    @cached_property
    def config_type(self) -> type[BaseModel] | None:
        """The frozen pydantic model the stage is configured by, or None."""
        if "config" not in self._parameters:
            return None
        annotation = self._parameters["config"].annotation
        if isinstance(annotation, str):
            annotation = eval(annotation, getattr(self.function, "__globals__", {}))
        return self._frozen_model(annotation)

    def __call__(
        self,
        config: BaseModel | None = None,
        *,
        label: str | None = None,
        seed: int | None = None,
        hints: Mapping[str, str] | None = None,
        **inputs: Any,
    ) -> Handle:
        """Plan a call: returns its ``Handle``. Raises ``ConfigError`` for a wrong config, input, seed or label."""
        self._check_config(config)
        self._check_seed(seed)
        checked = self._checked_inputs(inputs)
        handle = Handle(self, config, checked, seed, self._checked_label(label), dict(hints or {}))
        _ = handle.address  # refuse what cannot be identified here, where the user's line is on the traceback
        return handle

    def plan(self, handle: Handle) -> Cost:
        """Expected cost by the declared cost model: ``cost(config, inputs)`` with the inputs as handles."""
        if self.cost is None:
            return Cost()
        cost = self.cost(handle.config, dict(handle.inputs))
        if not isinstance(cost, Cost):
            raise ConfigError(f"The cost model of stage {self.name!r} returned {type(cost).__name__}; return a Cost.")
        return cost

    def _check_signature(self) -> None:
        if "out" not in self._parameters:
            raise ConfigError(
                f"Stage {self.name!r} has no parameter 'out'; add `*, out: Path`, the folder it writes into."
            )
        if not _LABEL.fullmatch(self.name) or "/" in self.name:
            raise ConfigError(f"The stage name {self.name!r} cannot be a folder name; use letters, digits and '_'.")
        for parameter in self._parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise ConfigError(
                    f"Stage {self.name!r} takes {parameter}; name every input, so that it can be recorded."
                )

    def _frozen_model(self, annotation: Any) -> type[BaseModel]:
        if not (inspect.isclass(annotation) and issubclass(annotation, BaseModel)):
            raise ConfigError(
                f"The config of stage {self.name!r} is annotated {annotation!r}; use one pydantic model class."
            )
        if not annotation.model_config.get("frozen"):
            raise ConfigError(
                f"{annotation.__name__}, the config of stage {self.name!r}, can be changed after it is made; "
                "give it model_config = ConfigDict(frozen=True, extra='forbid')."
            )
        return annotation

    def _check_config(self, config: BaseModel | None) -> None:
        expected = self.config_type
        if expected is None and config is not None:
            raise ConfigError(f"Stage {self.name!r} takes no config, but got {type(config).__name__}.")
        if expected is not None and type(config) is not expected:
            raise ConfigError(
                f"Stage {self.name!r} needs a {expected.__name__} as config, but got {type(config).__name__}."
            )

    def _check_seed(self, seed: int | None) -> None:
        if not self.takes_seed and seed is not None:
            raise ConfigError(f"Stage {self.name!r} takes no seed, but got seed={seed!r}; leave it out.")
        required = self.takes_seed and self._parameters["seed"].default is inspect.Parameter.empty
        if required and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise ConfigError(f"Stage {self.name!r} needs a whole number as seed, but got {seed!r}.")

    def _checked_inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        for name in inputs:
            if name not in self.input_names:
                raise ConfigError(f"Stage {self.name!r} has no input {name!r}.{near(name, self.input_names)}")
        checked = {}
        for name in self.input_names:
            if name in inputs:
                checked[name] = _frozen_handles(inputs[name], f"Input {name!r} of stage {self.name!r}")
            elif self._parameters[name].default is inspect.Parameter.empty:
                raise ConfigError(
                    f"Stage {self.name!r} needs the input {name!r}; give a Handle, a list or a dict of them."
                )
        return checked

    def _checked_label(self, label: str | None) -> str:
        label = self.name if label is None else label
        if not _LABEL.fullmatch(label):
            raise ConfigError(
                f"The label {label!r} of stage {self.name!r} may hold only letters, digits and _ + : / @ -."
            )
        return label

    def __repr__(self) -> str:
        return f"Stage({self.name} v{self.version})"


@overload
def stage(function: Callable[..., Any], /) -> Stage: ...
@overload
def stage(
    *, version: str = ..., name: str | None = ..., cost: CostModel | None = ...
) -> Callable[[Callable[..., Any]], Stage]: ...
def stage(
    function: Callable[..., Any] | None = None,
    /,
    *,
    version: str = "1",
    name: str | None = None,
    cost: CostModel | None = None,
) -> Stage | Callable[[Callable[..., Any]], Stage]:
    """Turn ``f(config, inputs..., *, out, seed)`` into a cached stage.

    While building, calls return a ``Handle``. When run, ``config`` arrives as given, inputs as artifact folders
    (``Path``, list or dict of them), ``out`` as an empty folder to fill; the function may return its measured
    ``Cost``. Raise ``version`` when the meaning of the output changes. ``cost(config, inputs)`` prices a call without
    running it.
    """
    if function is not None:
        return Stage(function, version="1", name=None, cost=None)
    return lambda wrapped: Stage(wrapped, version=version, name=name, cost=cost)


def iter_handles(value: Any) -> Iterator[Handle]:
    """All handles in an input value."""
    if isinstance(value, Handle):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from iter_handles(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from iter_handles(item)


def near(name: str, known: Any) -> str:
    """`` Did you mean 'x'?`` with the nearest known name, or the list of names."""
    names = [str(item) for item in known]
    close = get_close_matches(name, names, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known names: {', '.join(names)}." if names else " There are none."


def _map_handles(value: Any, read: Callable[[Handle], Any]) -> Any:
    if isinstance(value, Handle):
        return read(value)
    if isinstance(value, Mapping):
        return {str(key): _map_handles(item, read) for key, item in value.items()}
    return [_map_handles(item, read) for item in value]


def _frozen_handles(value: Any, where: str) -> Any:
    if value is None or isinstance(value, Handle):
        return value
    if isinstance(value, Mapping):
        return {str(key): _frozen_handles(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_frozen_handles(item, f"{where}[{i}]") for i, item in enumerate(value))
    raise ConfigError(
        f"{where} is a {type(value).__name__}; give what another stage returned, or put the value into the config."
    )
