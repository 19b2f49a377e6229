"""A launcher by its name, with the options that every launcher understands and those that only one does."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from paribus.errors import ConfigError
from paribus.lab.launchers.contract import Launcher
from paribus.lab.stages import near

LauncherName = Literal["pool", "inline", "slurm", "ray"]


def make_launcher(
    name: str,
    store: Path,
    *,
    workers: int | None = None,
    threads: int = 1,
    devices: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Launcher:
    """Make a launcher; ``None`` and empty values leave each launcher's own default.

    Args:
        devices: handed round among the workers of ``pool``; the other launchers take one.
        options: ``slurm``: parameters of submitit; ``ray``: resources of a task; the others have none.

    Raises:
        ConfigError: an unknown name, more devices or options than the launcher takes, or a missing extra package.
    """
    if name not in get_args(LauncherName):
        raise ConfigError(f"There is no launcher {name!r}.{near(name, get_args(LauncherName))}")
    if options and name in ("pool", "inline"):
        raise ConfigError(
            f"The {name} launcher has no option {next(iter(options))!r}; only slurm and ray take options."
        )
    if name == "pool":
        from paribus.lab.launchers.pool import ProcessPool
        from paribus.lab.runner import default_workers

        count = workers or default_workers(threads)
        return ProcessPool(store, workers=count, threads=threads, devices=tuple(devices) or ("cpu",))
    given: dict[str, Any] = {"threads": threads, **_one_device(name, devices)}
    if name == "inline":
        from paribus.lab.launchers.inline import Inline

        if (workers or 1) > 1:
            raise ConfigError(f"The inline launcher runs one stage at a time, not {workers}; use --launcher pool.")
        return Inline(store, **given)
    given |= {"workers": workers} if workers else {}
    if name == "slurm":
        from paribus.lab.launchers.slurm import Slurm

        return Slurm(store, parameters=dict(options or {}), **given)
    from paribus.lab.launchers.ray_cluster import RayCluster

    return RayCluster(store, resources=dict(options or {}), **given)


def parse_options(texts: Sequence[str]) -> dict[str, Any]:
    """``key=value`` texts as a dictionary, values as JSON where possible. Raises ``ConfigError`` for another form."""
    found = {}
    for text in texts:
        key, separator, raw = text.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"The launcher option {text!r} is not of the form key=value, such as timeout_min=60.")
        try:
            found[key.strip()] = json.loads(raw)
        except json.JSONDecodeError:
            found[key.strip()] = raw.strip()
    return found


def _one_device(name: str, devices: Sequence[str]) -> dict[str, str]:
    if len(devices) > 1:
        raise ConfigError(
            f"The {name} launcher takes one device, not {', '.join(devices)}; several need --launcher pool."
        )
    return {"device": devices[0]} if devices else {}
