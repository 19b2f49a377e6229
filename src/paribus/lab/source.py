"""Which source code a stage can reach, as one checksum per module: changed code is reported, never rerun silently.

The walk follows import statements (also those inside functions) through the packages that the stage's own module
belongs to, without importing anything. For the stage's own module only the module's top-level imports and those of the
stage function itself are followed, so that twenty stages in one file do not share each other's parts.
"""

import ast
import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

_FROM = re.compile(r"^[ \t]*from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#;]+)", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*import[ \t]+([^\n#;]+)", re.MULTILINE)


def sources(function: Callable[..., Any]) -> dict[str, str]:
    """Module name to SHA-256 of its source, for the stage's module and all it reaches in the same top-level package.

    Empty where the source cannot be found (a function typed into an interpreter).
    """
    return dict(_sources(function))


@lru_cache(maxsize=1024)  # a study calls one stage many times
def _sources(function: Callable[..., Any]) -> dict[str, str]:
    module = function.__module__
    path = _own_path(function)
    if path is None:
        return {}
    found = {module: _file_digest(path)}
    queue = list(_entry_imports(function, path, module))
    while queue:
        name = queue.pop()
        target = _find(name) if name.partition(".")[0] == module.partition(".")[0] and name not in found else None
        if target is not None:
            found[name] = _file_digest(target)
            queue.extend(_imports_of(target, name))
    return dict(sorted(found.items()))


def changed(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Names of modules whose source differs, with ``+`` or ``-`` before those that only one side reaches."""
    both = [name for name in old if name in new and old[name] != new[name]]
    return (
        sorted(both)
        + [f"+{n}" for n in sorted(new.keys() - old.keys())]
        + [f"-{n}" for n in sorted(old.keys() - new.keys())]
    )


def _own_path(function: Callable[..., Any]) -> Path | None:
    try:
        path = Path(inspect.getsourcefile(function) or "")
    except TypeError:
        return None
    return path if path.is_file() else None


def _entry_imports(function: Callable[..., Any], path: Path, module: str) -> Iterator[str]:
    tree = _tree(path)
    package = _package(module, path)
    yield from _names((node for node in tree.body if not isinstance(node, (ast.FunctionDef, ast.ClassDef))), package)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == function.__name__:
            yield from _names([node], package)


@lru_cache(maxsize=4096)
def _imports_of(path: Path, module: str) -> tuple[str, ...]:
    # By pattern, not by syntax tree: 20 instead of 800 ms for 170 files. An import quoted in a docstring counts too,
    # which at worst reports a change that does not matter.
    package = _package(module, path)
    text = path.read_text(encoding="utf-8")
    found = [name.split()[0] for names in _IMPORT.findall(text) for name in names.split(",") if name.strip()]
    for base, names in _FROM.findall(text):
        found += _from(base, [part.split()[0] for part in names.strip("() \n").split(",") if part.strip()], package)
    return tuple(found)


def _from(base: str, names: list[str], package: str) -> list[str]:
    dots = len(base) - len(base.lstrip("."))
    whole = resolve_name(base, package) if dots else base
    return [whole, *(f"{whole}.{name}" for name in names)]


def _names(roots: Any, package: str) -> Iterator[str]:
    for root in roots:
        for node in ast.walk(root):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = (
                    resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
                )
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


def _package(module: str, path: Path) -> str:
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


@lru_cache(maxsize=4096)
def _find(name: str) -> Path | None:
    """Source file of a module, found by walking packages down from the top; nothing is imported."""
    paths: list[str] | None = None
    origin: Path | None = None
    parts = name.split(".")
    for depth in range(len(parts)):
        full = ".".join(parts[: depth + 1])
        loaded = sys.modules.get(full)
        spec = (
            loaded.__spec__ if loaded is not None and loaded.__spec__ is not None else PathFinder.find_spec(full, paths)
        )
        if spec is None:
            return None
        paths = list(spec.submodule_search_locations or [])
        origin = Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    return origin


@lru_cache(maxsize=4096)
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


@lru_cache(maxsize=4096)
def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
