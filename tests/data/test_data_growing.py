"""Files that grow item by item: nothing paid for is lost, nothing half-written is believed, a kill leaves no trace."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.data.growing import GrowingFile, fill
from paribus.errors import DataError
from paribus.records import Completion, read_records

KEYS = [f"p{n}" for n in range(7)]


def row(key: str, text: str = "said") -> Completion:
    return Completion(id=key, prompt_id=key, language="de", model="m", text=f"{text} {key} ü")


def growing(folder: Path, name: str = "a.jsonl") -> GrowingFile[Completion]:
    return GrowingFile(folder / name, Completion, lambda one: one.id)


def filled(folder: Path, size: int = 3, name: str = "a.jsonl") -> bytes:
    file = growing(folder, name)
    assert not fill(file, KEYS, lambda key: [key], lambda chunk: [row(key) for key in chunk], size=size)
    file.finish(KEYS)
    return (folder / name).read_bytes()


def test_the_real_name_appears_only_when_nothing_is_missing(tmp_path: Path) -> None:
    file = growing(tmp_path)
    file.add([row("p0"), row("p1")])
    assert not file.final.exists() and file.partial.exists()
    with pytest.raises(DataError, match=r"lacks 1 of 3 rows, such as 'p2'"):
        file.finish(["p0", "p1", "p2"])
    file.add([row("p2")])
    file.finish(["p2", "p0", "p1"])
    assert [found.id for found in read_records(file.final, Completion)] == ["p2", "p0", "p1"]
    assert not file.partial.exists()


def test_a_row_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    file = growing(tmp_path)
    file.add([row("p0", "first"), row("p0", "second")])
    file.add([row("p0", "third")])
    assert len(file) == 1
    assert len(file.partial.read_text().splitlines()) == 1


@given(cut=st.integers(0, 400), size=st.integers(1, 8))
def test_cut_off_anywhere_it_ends_with_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, cut: int, size: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    whole = filled(folder, name="whole.jsonl")
    file = growing(folder)
    file.add(row(key) for key in KEYS[:4])
    content = file.partial.read_bytes()
    file.partial.write_bytes(content[: min(cut, len(content))])
    assert filled(folder, size) == whole


def test_only_what_is_missing_is_asked_and_failures_are_asked_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(chunk: list[str]) -> list[Completion]:
        asked.extend(chunk)
        return [row(key, "broken" if key == "p3" and asked.count("p3") == 1 else "said") for key in chunk]

    def failed(one: Completion) -> str | None:
        return "no luck" if one.text.startswith("broken") else None

    def run() -> list[tuple[Completion, str]]:
        return fill(growing(tmp_path), KEYS, lambda key: [key], answer, size=2, failed=failed)

    assert [(one.id, why) for one, why in run()] == [("p3", "no luck")]
    assert run() == []
    assert asked == [*KEYS, "p3"]


def test_chunks_are_the_same_after_an_interruption(tmp_path: Path) -> None:
    chunks: list[list[str]] = []

    def answer(chunk: list[str]) -> list[Completion]:
        if len(chunks) == 1 and chunk[0] == "p3":
            chunks.append(["stopped"])
            raise KeyboardInterrupt
        chunks.append(list(chunk))
        return [row(key) for key in chunk]

    with pytest.raises(KeyboardInterrupt):
        fill(growing(tmp_path), KEYS, lambda key: [key], answer, size=3)
    fill(growing(tmp_path), KEYS, lambda key: [key], answer, size=3)
    assert chunks == [KEYS[:3], ["stopped"], KEYS[3:6], KEYS[6:]]


def test_progress_counts_every_item(tmp_path: Path) -> None:
    seen: list[int] = []
    fill(
        growing(tmp_path),
        KEYS,
        lambda key: [key],
        lambda chunk: [row(key) for key in chunk],
        size=3,
        progress=seen.append,
    )
    assert seen == [3, 6, 7]
