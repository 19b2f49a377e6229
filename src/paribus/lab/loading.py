"""A user's own study by name: ``module:NAME``, importable from the current folder or the Python path."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from paribus.errors import ConfigError
from paribus.lab.stages import near
from paribus.lab.study import Study


def load_study(reference: str) -> Study:
    """Import ``module`` and return its study ``NAME``.

    The current folder goes on the Python path, from where the workers find the stages too. Raises ``ConfigError`` if
    there is no such module, no such name in it, or something else under that name.
    """
    module_name, _, name = reference.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    found: Any = getattr(_module(module_name, reference), name, None)
    if not isinstance(found, Study):
        studies = [key for key, value in vars(sys.modules[module_name]).items() if isinstance(value, Study)]
        raise ConfigError(
            f"{reference!r} names no Study (the module {module_name} has {studies}).{near(name, studies)}"
        )
    return found


def _module(name: str, reference: str) -> Any:
    try:
        return import_module(name)
    except (ModuleNotFoundError, ValueError) as error:
        # An import that fails inside the user's module is theirs to see in full.
        missing = getattr(error, "name", None) or name
        if name != missing and not name.startswith(f"{missing}."):
            raise
        raise ConfigError(
            f"There is no module {name!r} for the study {reference!r}; write module:NAME, with a module that Python "
            "can import from the current folder."
        ) from error
