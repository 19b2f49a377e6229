"""Locks: one owner, dead owners replaced, living ones respected, whichever machine they are on."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from paribus.lab import locks as module
from paribus.lab.locks import Locks, machine, process_start


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    first = locks.acquire("a")
    assert first is not None and locks.acquire("a") is None
    assert locks.acquire("b") is not None
    owner = locks.holder("a")
    assert owner is not None and owner.pid == os.getpid() and owner.machine == machine()
    first.release()
    assert locks.acquire("a") is not None


def test_a_dead_owner_is_replaced(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from paribus.lab.locks import Locks; Locks(Path({str(tmp_path)!r})).acquire('a')"
    subprocess.run([sys.executable, "-c", code], check=True)
    locks = Locks(tmp_path)
    assert locks.read("a") is not None and locks.holder("a") is None
    assert locks.acquire("a") is not None


def test_a_reused_process_id_is_not_the_owner(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    lock = locks.acquire("a")
    assert lock is not None
    forged = replace(lock.owner, started="0", nonce="other")
    locks.path("a").write_text(json.dumps(asdict(forged)))
    assert locks.holder("a") is None


def test_another_machines_owner_lives_by_its_heartbeat(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    lock = locks.acquire("a")
    assert lock is not None
    foreign = replace(lock.owner, machine="elsewhere|boot|pid:[1]")
    locks.path("a").write_text(json.dumps(asdict(foreign)))
    assert locks.acquire("a") is None
    old = time.time() - module.STALE_SECONDS - 5
    os.utime(locks.path("a"), (old, old))
    assert locks.acquire("a") is not None


def test_the_heart_beats_while_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.02)
    locks = Locks(tmp_path)
    lock = locks.acquire("a")
    assert lock is not None
    os.utime(locks.path("a"), (1, 1))
    with lock:
        deadline = time.monotonic() + 5
        while locks.path("a").stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert locks.path("a").stat().st_mtime > 1
    assert not locks.path("a").exists()


def test_release_leaves_a_lock_that_was_taken_over(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    lock = locks.acquire("a")
    assert lock is not None
    taken = replace(lock.owner, nonce="thief")
    locks.path("a").write_text(json.dumps(asdict(taken)))
    lock.release()
    assert locks.read("a") == taken


def test_a_torn_lock_file_is_no_lock(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    locks.folder.mkdir(exist_ok=True)
    locks.path("a").write_text('{"machine": "x"')
    assert locks.acquire("a") is not None


def test_of_many_contenders_for_a_dead_lock_one_wins(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    lock = locks.acquire("a")
    assert lock is not None
    locks.path("a").write_text(json.dumps(asdict(replace(lock.owner, pid=2**22 - 1, nonce="dead"))))
    barrier, won = threading.Barrier(8), []

    def contend() -> None:
        barrier.wait()
        if locks.acquire("a") is not None:
            won.append(1)

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_process_start_knows_the_living_from_the_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process_start(child.pid) is not None
    child.kill()
    child.wait()
    assert process_start(child.pid) is None
