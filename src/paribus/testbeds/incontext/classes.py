"""All function classes of ICL-Discrete by name, and how a name becomes a class."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import Field, ValidationError

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes_formulas import CNF, DNF
from paribus.testbeds.incontext.classes_linear import Halfspace, Majority, Threshold
from paribus.testbeds.incontext.classes_neighbour import NearestNeighbour
from paribus.testbeds.incontext.classes_parity import Parity, SparseParity
from paribus.testbeds.incontext.classes_terms import Conjunction, Disjunction, SparseDisjunction
from paribus.testbeds.incontext.function_class import FunctionClass

_Family = (
    Conjunction
    | Disjunction
    | SparseDisjunction
    | DNF
    | CNF
    | Majority
    | Threshold
    | Halfspace
    | Parity
    | SparseParity
    | NearestNeighbour
)
AnyClass = Annotated[_Family, Field(discriminator="name")]
"""For a pydantic field that holds any class; ``name`` decides which."""

CLASSES: Mapping[str, type[FunctionClass]] = {
    family.model_fields["name"].default: family for family in get_args(_Family)
}
"""Every class under its name, in the paper's order."""


def parse_class(name: str, **settings: Any) -> FunctionClass:
    """The class called ``name`` ("-" reads as "_"), with ``settings`` over the paper's defaults.

    Raises:
        ConfigError: an unknown name, an unknown setting, or a value that cannot be used; each is named.
    """
    name = name.replace("-", "_")
    if name not in CLASSES:
        raise ConfigError(f"There is no function class {name!r}; take one of {', '.join(CLASSES)}.")
    try:
        return CLASSES[name](**settings)
    except ValidationError as error:
        raise ConfigError(f"The class {name!r} cannot be set up so: {_told(error, CLASSES[name])}") from None


def _told(error: ValidationError, function_class: type[FunctionClass]) -> str:
    problems = [
        f"{'.'.join(map(str, problem['loc'])) or 'settings'}={problem['input']!r}: {problem['msg']}"
        for problem in error.errors()
    ]
    fields = ", ".join(field for field in function_class.model_fields if field != "name")
    return f"{'; '.join(problems)}. It takes {fields}."
