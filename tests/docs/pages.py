"""The documentation as data: its pages, code blocks, links, commands and settings tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(
    r"(?:<!-- no-test: (?P<reason>[^>]*?) -->\n)?"
    r"^```(?P<language>\w+)(?P<options>[^\n]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_TITLE = re.compile(r'title="([^"]+)"')
_LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block. ``reason``: why it is not run (None: it is); ``file``: the file it is shown as, if any."""

    page: str
    line: int
    language: str
    code: str
    reason: str | None
    file: str | None


def pages() -> list[Path]:
    """Every page, by name."""
    return sorted(DOCS.rglob("*.md"))


def name_of(page: Path) -> str:
    """A page as the tests call it: ``guide/world.md``."""
    return page.relative_to(DOCS).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        title = _TITLE.search(found["options"])
        line = text.count("\n", 0, found.start("code"))
        yield Block(name_of(page), line, found["language"], found["code"], found["reason"], title[1] if title else None)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Targets of the links in a page's prose."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The fragment names that the site gives to a page's headings."""
    from markdown.extensions.toc import slugify

    plain = (re.sub(r"[`*]", "", heading) for heading in _HEADING.findall(prose(page)))
    return {slugify(heading, "-") for heading in plain}


def inline_code(page: Path) -> list[str]:
    """What stands between single backticks in a page's prose."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def commands(page: Path) -> list[str]:
    """Every ``paribus ...`` command line, in blocks and in prose, one string each."""
    shell = [b.code.replace("\\\n", " ") for b in blocks(page) if b.language in ("bash", "console", "text")]
    lines = [line.strip().removeprefix("$ ") for code in shell for line in code.splitlines()]
    found = [line.partition("  #")[0] for line in [*lines, *inline_code(page)]]
    return [line for line in found if re.match(r"paribus( |$)", line)]


def found_by_name(target: str) -> Any:
    """What a dotted name means: the longest importable module, then its attributes."""
    parts = target.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AttributeError(f"nothing is called {target}")
