"""What a cluster job runs: a worker process for one address, with plain text going in and coming out."""

import json
import os
import subprocess

from paribus.lab.execution import Outcome


def run_once(command: list[str], environment: dict[str, str], address: str) -> str:
    """Start a worker for one address and return the JSON line it answers with (empty if it died)."""
    # The job's own variables (devices, ranks, scratch paths) win over those of the machine that submitted it.
    own = {
        **environment,
        **os.environ,
        **{k: environment[k] for k in ("PYTHONPATH", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")},
    }
    finished = subprocess.run([*command, "--once", address], env=own, stdout=subprocess.PIPE, text=True, check=False)
    return finished.stdout.strip()


def outcome_of(answer: str, address: str) -> Outcome:
    """The outcome in a worker's answer."""
    if not answer:
        return Outcome("lost", f"The worker of {address} died without an answer; its log in the store says more.")
    row = json.loads(answer.splitlines()[-1])
    return Outcome(**{key: value for key, value in row.items() if key != "address"})
