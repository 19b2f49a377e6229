"""Comparable or refused: arms differ in what a contrast declares and spend alike, or the build stops."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from paribus.errors import ComparisonError
from paribus.lab.budget import TOLERANCE, Matched, miss, total
from paribus.lab.identity import MISSING, encode_config, field_differences, flatten
from paribus.lab.stages import Handle
from paribus.lab.study import Arm, Contrast

Differences = dict[str, tuple[Any, Any]]


def check_contrast(contrast: Contrast, arm: Arm, baseline: Arm) -> list[str]:
    """Hold two arms against a contrast; returns notices (declared differences that do not exist).

    Raises ``ComparisonError`` with every undeclared difference, or with the budgets, printed.
    """
    found = differences(arm, baseline)
    undeclared = {key: pair for key, pair in found.items() if not declared(key, contrast.differs_in)}
    if undeclared:
        raise ComparisonError(_undeclared_text(contrast, undeclared))
    check_budget(contrast, arm, baseline)
    unused = [pattern for pattern in contrast.differs_in if not any(declared(key, (pattern,)) for key in found)]
    return [
        f"Contrast {contrast.name!r} declares a difference in {p!r}, but its arms do not differ there." for p in unused
    ]


def differences(arm: Arm, baseline: Arm) -> Differences:
    """What two arms differ in: key to (baseline's value, arm's value), over all common seeds."""
    found: Differences = {}
    if set(arm.seeds) != set(baseline.seeds):
        found["seeds"] = (baseline.seeds, arm.seeds)
    for seed in arm.seeds:
        if seed in baseline.labelled:
            found.update(graph_differences(baseline.labelled[seed], arm.labelled[seed]))
    return found


def graph_differences(old: dict[str, Handle], new: dict[str, Handle]) -> Differences:
    """Differences of two graphs by label, as ``<label>.<field>`` or ``<label>``."""
    found: Differences = {}
    for label in dict.fromkeys([*old, *new]):
        before, after = old.get(label), new.get(label)
        if before is None or after is None:
            found[label] = (_presence(before), _presence(after))
        elif before.address != after.address:
            rows = field_differences(describe(before), describe(after))
            found.update({f"{label}.{field}": pair for field, pair in rows.items()})
    return found


def describe(handle: Handle) -> dict[str, Any]:
    """A stage call as a comparison sees it: every config field, stage, version, seed and the labels of its inputs."""
    config = encode_config(handle.config, owner=handle.stage.name, defaults=True)
    rows = {**flatten(config)} if config else {}
    wiring = {name: labels for name, labels in handle.parent_labels().items() if labels is not None}
    return {
        **rows,
        "stage": handle.stage.name,
        "version": handle.stage.version,
        "seed": handle.seed,
        "inputs": [wiring],
    }


def declared(key: str, patterns: Iterable[str]) -> bool:
    """Whether a difference is covered: by its whole key, or by a field above it (``route.router`` covers its parts)."""
    parts = key.split(".")
    heads = [".".join(parts[:length]) for length in range(2, len(parts))]
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in (key, *heads))


def check_budget(contrast: Contrast, arm: Arm, baseline: Arm) -> None:
    """Compare planned costs in the matching currency, seed by seed."""
    if not isinstance(contrast.matched, Matched):
        return
    matched = contrast.matched
    for seed in arm.seeds:
        if seed not in baseline.labelled:
            continue
        spent = [planned(side.labelled[seed].values(), matched) for side in (arm, baseline)]
        if not all(spent):
            raise ComparisonError(_nothing_text(contrast, matched, spent))
        if miss(*spent) > TOLERANCE:
            raise ComparisonError(_budget_text(contrast, matched, spent, seed))


def planned(handles: Iterable[Handle], matched: Matched) -> float:
    """Planned amount of the matching currency over the matching stages."""
    return total(handle.planned for handle in handles if matches(handle.label, matched.labels)).get(matched.currency)


def matches(label: str, patterns: Iterable[str]) -> bool:
    """Whether a label is among the patterns."""
    return any(fnmatchcase(label, pattern) for pattern in patterns)


def _presence(handle: Handle | None) -> Any:
    return MISSING if handle is None else handle.address


def _undeclared_text(contrast: Contrast, undeclared: Differences) -> str:
    rows = "\n".join(f"  {key}: {old!r} -> {new!r}" for key, (old, new) in undeclared.items())
    return (
        f"Contrast {contrast.name!r}: {contrast.arm!r} differs from {contrast.baseline!r} in undeclared ways:\n"
        f"{rows}\nMake these equal, or add them to differs_in if they are part of the question."
    )


def _nothing_text(contrast: Contrast, matched: Matched, spent: list[float]) -> str:
    return (
        f"Contrast {contrast.name!r} is matched by {matched.describe()}, but the planned amounts are {spent[0]:g} for "
        f"{contrast.arm!r} and {spent[1]:g} for {contrast.baseline!r}; check the labels, and give those stages a cost "
        "model (@stage(cost=...)) that counts this currency."
    )


def _budget_text(contrast: Contrast, matched: Matched, spent: list[float], seed: int) -> str:
    amounts = f"{contrast.arm!r} plans {spent[0]:,.6g} and {contrast.baseline!r} {spent[1]:,.6g}"
    return (
        f"Contrast {contrast.name!r} (seed {seed}) is matched by {matched.describe()}, but {amounts}, "
        f"{miss(*spent):.1%} apart (allowed {TOLERANCE:.0%}); "
        "change the budgets, match another currency, or declare Unmatched(reason=...)."
    )
