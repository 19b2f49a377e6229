"""The cache file: kept once, shared by processes, whole after a kill, refused when it is something else."""

import sqlite3
import subprocess
import sys
import threading

import pytest

from paribus.errors import EngineError
from paribus.inference.request_cache import RequestCache


def test_kept_answers_are_found_by_key(tmp_path):
    with RequestCache(tmp_path / "c.sqlite") as cache:
        cache.keep("a", {"text": "نعم \ud83d", "tokens": 1})
        cache.keep("b", {"text": "", "tokens": 0})
    with RequestCache(tmp_path / "c.sqlite") as cache:
        assert cache.find(["a", "missing", "a"]) == {"a": {"text": "نعم \ud83d", "tokens": 1}}
        assert len(cache) == 2


def test_the_first_answer_stays(tmp_path):
    with RequestCache(tmp_path / "c.sqlite") as cache:
        cache.keep("a", {"text": "first"})
        cache.keep("a", {"text": "second"})
        assert cache.find(["a"]) == {"a": {"text": "first"}}


def test_thousands_of_keys_are_looked_up(tmp_path):
    keys = [str(i) for i in range(2500)]
    with RequestCache(tmp_path / "c.sqlite") as cache:
        for key in keys[::2]:
            cache.keep(key, {"text": key})
        assert cache.find(keys) == {key: {"text": key} for key in keys[::2]}


def test_threads_and_open_files_share_it(tmp_path):
    with RequestCache(tmp_path / "c.sqlite") as one, RequestCache(tmp_path / "c.sqlite") as other:

        def write(cache, name):
            for i in range(40):
                cache.keep(f"{name}{i}", {"text": name})

        jobs = [(one, "a"), (one, "b"), (other, "c"), (other, "d")]
        threads = [threading.Thread(target=write, args=job) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(one) == len(other) == 160


def test_answers_outlive_a_killed_process(tmp_path):
    program = (
        "import os, pathlib, signal, sys\n"
        "from paribus.inference.request_cache import RequestCache\n"
        "with RequestCache(pathlib.Path(sys.argv[1])) as cache:\n"
        "    for i in range(5):\n"
        "        cache.keep(str(i), {'text': 'kept'})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "c.sqlite")], check=False)
    assert ended.returncode == -9
    with RequestCache(tmp_path / "c.sqlite") as cache:
        assert len(cache) == 5


def test_what_is_no_cache_is_refused_and_left_alone(tmp_path):
    text, foreign, folder = tmp_path / "text", tmp_path / "foreign.sqlite", tmp_path / "folder"
    text.write_text("not a database, " * 100)
    with sqlite3.connect(foreign) as other:
        other.execute("CREATE TABLE mine (x)")
    other.close()
    folder.mkdir()
    before = foreign.read_bytes()
    for path, said in (
        (text, "cannot be used"),
        (foreign, "layout 0, not a request cache"),
        (folder, "cannot be used"),
    ):
        with pytest.raises(EngineError, match=said) as caught, RequestCache(path):
            pass
        assert str(path) in str(caught.value)
    assert text.read_text().startswith("not a database")
    assert foreign.read_bytes() == before


def test_a_cache_of_a_later_layout_is_refused(tmp_path):
    with RequestCache(tmp_path / "c.sqlite"):
        pass
    with sqlite3.connect(tmp_path / "c.sqlite") as later:
        later.execute("PRAGMA user_version = 2")
    later.close()
    with (
        pytest.raises(EngineError, match="layout 2, not a request cache of layout 1"),
        RequestCache(tmp_path / "c.sqlite"),
    ):
        pass
