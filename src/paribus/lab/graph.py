"""A set of handles with everything they need, each address once, parents before children."""

from collections.abc import Iterable, Iterator

from paribus.errors import ConfigError
from paribus.lab.stages import Handle


class Graph:
    """The handles reachable from ``targets``. Handles with one address are one node; the first one met is kept."""

    def __init__(self, targets: Iterable[Handle]) -> None:
        self.targets = tuple(targets)
        self.nodes: dict[str, Handle] = {}
        self.parents: dict[str, tuple[str, ...]] = {}
        self._owners: dict[str, str] = {}
        for target in self.targets:
            self._add(target)
        self.children: dict[str, list[str]] = {address: [] for address in self.nodes}
        for address, parents in self.parents.items():
            for parent in parents:
                self.children[parent].append(address)

    def _add(self, target: Handle) -> None:
        # Iterative depth-first walk: a chain of a thousand stages must not meet the recursion limit.
        stack = [(target, False)]
        while stack:
            handle, expanded = stack.pop()
            self._check_name(handle)
            if handle.address in self.nodes:
                continue
            if expanded:
                self.nodes[handle.address] = handle
                self.parents[handle.address] = tuple(dict.fromkeys(p.address for p in handle.parents()))
                continue
            stack.append((handle, True))
            stack.extend((parent, False) for parent in reversed(list(handle.parents())))

    def _check_name(self, handle: Handle) -> None:
        reference = handle.stage.reference
        owner = self._owners.setdefault(handle.stage.name, reference)
        if owner != reference:
            raise ConfigError(
                f"Two stages are named {handle.stage.name!r}: {owner} and {reference}; "
                "their artifacts would share addresses. Rename one, or pass name=... to @stage."
            )

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Handle]:
        """Handles, parents before children."""
        return iter(self.nodes.values())

    def __contains__(self, address: object) -> bool:
        return address in self.nodes

    def __getitem__(self, address: str) -> Handle:
        return self.nodes[address]

    def descendants(self, address: str) -> list[str]:
        """Every address that needs this one, directly or not, nearest first."""
        found: dict[str, None] = {}
        queue = list(self.children[address])
        for child in queue:
            if child not in found:
                found[child] = None
                queue.extend(self.children[child])
        return list(found)
