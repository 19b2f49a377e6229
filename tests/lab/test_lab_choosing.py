"""Launchers by name: what each is given, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from paribus.errors import ConfigError
from paribus.lab.launchers.choosing import make_launcher, parse_options
from paribus.lab.launchers.inline import Inline
from paribus.lab.launchers.pool import ProcessPool
from paribus.lab.runner import default_workers


@pytest.fixture
def given_to(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the cluster launchers are made with, without a cluster."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr("paribus.lab.launchers.slurm.Slurm", lambda store, **given: seen.update(slurm=given))
    monkeypatch.setattr("paribus.lab.launchers.ray_cluster.RayCluster", lambda store, **given: seen.update(ray=given))
    return seen


def test_the_pool_takes_workers_threads_and_devices(tmp_path: Path) -> None:
    pool = make_launcher("pool", tmp_path, workers=3, threads=2, devices=["cuda:0", "cuda:1"])
    assert isinstance(pool, ProcessPool) and pool.slots == 3
    machines = [next(pool._machines) for _ in range(3)]
    assert [(m.device, m.threads, m.workers) for m in machines] == [
        ("cuda:0", 2, 3),
        ("cuda:1", 2, 3),
        ("cuda:0", 2, 3),
    ]
    assert make_launcher("pool", tmp_path).slots == default_workers()


def test_inline_runs_one_stage_at_a_time(tmp_path: Path) -> None:
    assert isinstance(make_launcher("inline", tmp_path, workers=1, devices=["cpu"]), Inline)
    with pytest.raises(ConfigError, match="not 2; use --launcher pool"):
        make_launcher("inline", tmp_path, workers=2)


def test_clusters_keep_their_own_defaults_and_take_options(given_to: dict[str, Any], tmp_path: Path) -> None:
    make_launcher("slurm", tmp_path)
    assert given_to["slurm"] == {"parameters": {}, "threads": 1}
    options = parse_options(["slurm_partition=gpu", "timeout_min=60", "note=a=b"])
    make_launcher("slurm", tmp_path, workers=8, threads=4, devices=["cuda"], options=options)
    parameters = {"slurm_partition": "gpu", "timeout_min": 60, "note": "a=b"}
    assert given_to["slurm"] == {"parameters": parameters, "threads": 4, "device": "cuda", "workers": 8}
    make_launcher("ray", tmp_path, options={"num_gpus": 1})
    assert given_to["ray"] == {"resources": {"num_gpus": 1}, "threads": 1}


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("pol", {}, "Did you mean 'pool'"),
        ("inline", {"options": {"a": 1}}, "no option 'a'"),
        ("slurm", {"devices": ["a", "b"]}, "one device"),
    ],
)
def test_refusals(name: str, more: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        make_launcher(name, tmp_path, **more)


@pytest.mark.parametrize("text", ["gpus", "=1", ""])
def test_options_need_a_key_and_a_value(text: str) -> None:
    with pytest.raises(ConfigError, match="key=value"):
        parse_options([text])
