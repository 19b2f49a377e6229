"""Worker scripts run by two processes over gloo."""

import os
import socket
import subprocess
import sys
from pathlib import Path

PATIENCE = 300
"""Seconds after which processes that wait for each other are given up."""


def launch(script: str, out: Path, processes: int = 2) -> None:
    """Run ``script`` in each process, with this folder and ``out`` as its arguments; none may fail or hang."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    common["GLOO_SOCKET_IFNAME"] = "lo"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(Path(__file__).parent), str(out)],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(processes)
    ]
    try:
        assert [worker.wait(timeout=PATIENCE) for worker in workers] == [0] * processes
    finally:
        for worker in workers:
            worker.kill()
