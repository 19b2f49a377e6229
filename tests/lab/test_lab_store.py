"""The store: whole or not at all, and every changed byte is found."""

from pathlib import Path

import pytest
from lab_toy import STUDY

from paribus.errors import StoreError
from paribus.lab import Store, payload_digest, run_plan
from paribus.lab.budget import Cost
from paribus.lab.manifest import Manifest, read_manifest
from paribus.lab.store import payload_differences


def manifest(address: str) -> Manifest:
    return Manifest(
        address=address,
        stage="s",
        version="1",
        function="m:f",
        config={},
        full_config={},
        inputs={},
        parents={},
        seed=None,
        planned=Cost(),
        measured=Cost(tokens=3),
        sources={},
        versions={},
        run={"seconds": 1.5},
    )


def fill(store: Store, address: str, files: dict[str, bytes]) -> None:
    lock = store.locks.acquire(address)
    assert lock is not None
    partial = store.begin(lock)
    for name, data in files.items():
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).write_bytes(data)
    assert store.publish(lock, partial, manifest(address))
    lock.release()


def test_an_artifact_appears_whole_and_sound(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store, "a-1", {"x.bin": b"123", "deep/y.txt": b"y"})
    assert store.has("a-1") and store.verify("a-1") == []
    assert set(store.manifest("a-1").files) == {"x.bin", "deep/y.txt"}
    assert store.manifest("a-1").cost == Cost(tokens=3, seconds=1.5)
    assert not list((tmp_path / "artifacts").glob(".partial*"))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda f: (f / "x.bin").write_bytes(b"12"), "2 bytes instead of 3"),
        (lambda f: (f / "x.bin").write_bytes(b"12\x37"), "checksum"),
        (lambda f: (f / "x.bin").unlink(), "missing"),
        (lambda f: (f / "new").write_bytes(b""), "not in the manifest"),
        (lambda f: (f / "manifest.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "manifest.json").unlink(), "cannot be read"),
    ],
)
def test_every_harm_is_found_and_named(tmp_path: Path, harm, said: str) -> None:  # type: ignore[no-untyped-def]
    store = Store(tmp_path)
    fill(store, "a-1", {"x.bin": b"123"})
    harm(store.path("a-1"))
    problems = store.verify_all(["a-1"])["a-1"]
    assert said in problems[0] and str(store.path("a-1")) in problems[0]


def test_a_changed_manifest_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store, "a-1", {"x.bin": b"123"})
    path = store.path("a-1") / "manifest.json"
    path.write_text(path.read_text().replace('"tokens": 3', '"tokens": 4'))
    with pytest.raises(StoreError, match="checksum"):
        read_manifest(store.path("a-1"))


def test_an_unpublished_folder_is_no_artifact_and_is_swept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    lock = store.locks.acquire("a-1")
    assert lock is not None
    partial = store.begin(lock)
    (partial / "x").write_text("half")
    store.sweep()
    assert partial.exists()  # its owner lives
    lock.release()
    store.sweep()
    assert not partial.exists() and store.addresses() == []


def test_work_whose_lock_was_taken_over_is_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    lock = store.locks.acquire("a-1")
    assert lock is not None
    partial = store.begin(lock)
    store.locks.path("a-1").unlink()
    assert store.publish(lock, partial, manifest("a-1")) is False
    assert not store.has("a-1") and not partial.exists()


def test_links_and_own_manifests_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    lock = store.locks.acquire("a-1")
    assert lock is not None
    partial = store.begin(lock)
    (partial / "link").symlink_to("/etc/hostname")
    with pytest.raises(StoreError, match="is a link"):
        store.publish(lock, partial, manifest("a-1"))
    (partial / "link").unlink()
    (partial / "manifest.json").write_text("{}")
    with pytest.raises(StoreError, match="belongs to the store"):
        store.publish(lock, partial, manifest("a-1"))


def test_a_folder_of_other_files_is_not_taken_for_a_store(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="is no store and holds"):
        Store(tmp_path)
    with pytest.raises(StoreError, match="is a file"):
        Store(tmp_path / "thesis.txt")


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    Store(tmp_path)
    (tmp_path / "store.json").write_text('{"format": 99}')
    with pytest.raises(StoreError, match="99"):
        Store(tmp_path)


def test_two_stores_that_ran_the_same_hold_the_same_bytes(tmp_path: Path) -> None:
    plan = STUDY.plan(STUDY.at("smoke"))
    stores = [Store(tmp_path / name) for name in ("one", "two")]
    for workers, store in zip((1, 2), stores, strict=True):
        assert run_plan(plan, store, workers=workers).ok
    assert payload_differences(*stores) == []
    assert payload_digest(stores[0]) == payload_digest(stores[1])
    (stores[0].path(plan.result.address) / "result.json").write_text("{}")
    assert "result.json" in payload_differences(*stores)[0]
