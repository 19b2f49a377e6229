"""The documentation says what the code does: its snippets run, its links lead somewhere, its names exist."""

import re
from pathlib import Path

import pytest
from pages import DOCS, ROOT, Block, anchors, blocks, commands, found_by_name, inline_code, links, name_of, pages, prose

from paribus.studies.catalogue import CATALOGUE

PAGES = pages()
BUILT = [entry.name for entry in CATALOGUE if entry.built]


def python_blocks(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language == "python"]


@pytest.mark.parametrize("page", [p for p in PAGES if python_blocks(p)], ids=name_of)
def test_snippets_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one page share their names, as a reader's notebook would; a titled block is also written as a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {"__name__": "snippet"}
    for block in python_blocks(page):
        if block.reason is not None:
            continue
        if block.file is not None:
            (tmp_path / block.file).write_text(block.code, encoding="utf-8")
            continue
        # Leading blank lines make a traceback point at the line of the page.
        exec(compile("\n" * block.line + block.code, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    for block in blocks(page):
        assert block.reason is None or len(block.reason.split()) >= 2, f"{block.page}:{block.line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        if target.startswith("https://"):
            continue
        path, _, fragment = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.is_file() and DOCS in other.parents, f"{name_of(page)} links to {target}"
        assert not fragment or fragment in anchors(other), f"{name_of(page)} links to {target}: no such heading"


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    assert listed == {name_of(page) for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_their_options_exist(page: Path) -> None:
    from typer.main import get_command

    from paribus.cli.app import app

    root = get_command(app)
    for line in commands(page):
        words = line.split()[1:]
        command = root
        while words and not words[0].startswith("-") and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        named = words[0] if words else ""
        unknown = hasattr(command, "commands") and named and not named.startswith("-")
        assert not unknown or named.isupper() or "|" in named, f"{name_of(page)}: no command {named!r} in {line!r}"
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for word in words:
            option = word.partition("=")[0]
            if option.startswith("-") and option != "--help":
                assert option in known, f"{name_of(page)}: {line!r} has no option {option}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_named_in_prose_exist(page: Path) -> None:
    from typer.main import get_command

    from paribus.cli.app import app

    def options(command: object) -> set[str]:
        own = {o for p in getattr(command, "params", ()) for o in (*p.opts, *p.secondary_opts)}
        return own.union(*(options(sub) for sub in getattr(command, "commands", {}).values()))

    known = options(get_command(app)) | {"--help"}
    for code in inline_code(page):
        for option in re.findall(
            r"(?<![\w-])--[a-z][\w-]*", "" if code.startswith(("pip", "make", "mkdocs")) else code
        ):
            assert option in known, f"{name_of(page)} names {option}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_overrides_shown_can_be_set(page: Path) -> None:
    from paribus.studies.catalogue import load

    for line in commands(page):
        study = next((word for word in line.split() if word in BUILT), None)
        if study is not None:
            scale = re.search(r"--scale[ =](\w+)", line)
            overrides = re.findall(r"--set[ =]([\w.]+=[^\s]+)", line)
            load(study).settings.at(scale[1] if scale else "pocket", [text.strip("'\"") for text in overrides])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_imports_named_in_prose_exist(page: Path) -> None:
    """``paribus.room.name`` between backticks is a module, or a name in one."""
    for code in inline_code(page):
        if not re.fullmatch(r"paribus(\.[A-Za-z_]\w*)+(\(.*\))?", code):
            continue
        found_by_name(code.partition("(")[0])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_named_in_prose_exist(page: Path) -> None:
    """Paths of the repository between backticks, such as ``src/paribus/lab/study.py``."""
    for code in inline_code(page):
        if re.fullmatch(r"(src|tests|docs|benchmarks)/[\w./-]+", code):
            assert (ROOT / code).exists(), f"{name_of(page)} names {code}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_nothing_is_fetched_and_no_machine_is_named(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"!\[[^\]]*\]\(http|<script|<iframe", text), name_of(page)
    assert not re.search(r"(?<![\w.])/(work|tmp|root|home|opt)/", prose(page)), name_of(page)


def test_every_command_is_described() -> None:
    from typer.main import get_command

    from paribus.cli.app import app

    shown = "\n".join(line for page in PAGES for line in commands(page))
    for name in get_command(app).commands:
        assert re.search(rf"^paribus {name}\b", shown, re.MULTILINE), f"no page shows `paribus {name}`"


@pytest.mark.parametrize("name", BUILT)
def test_every_arm_of_a_study_is_described(name: str) -> None:
    from paribus.studies.catalogue import load

    described = {code for page in PAGES for code in inline_code(page)}
    study = load(name)
    arms = {arm.name for arm in study.build(study.at("desk", ["seeds=0"])).arms}
    assert arms - described == set()


def test_every_domain_of_the_world_is_described() -> None:
    from paribus.world.domains import DOMAINS

    described = {code for page in PAGES for code in inline_code(page)}
    assert set(DOMAINS) - described == set()
