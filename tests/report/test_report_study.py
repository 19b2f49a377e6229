"""The study page: what is on it, in which order, and that nothing stored can break or steer it."""

import re
from pathlib import Path
from typing import Any

import pytest
from page_reader import Page
from synthetic_mixture import FAMILIES, mixture_study
from synthetic_study import LANGUAGES, synthetic_study

from paribus.errors import DataError
from paribus.lab.results import Panel, StudyResult
from paribus.report.page import anchor, breakable, clean, write_page
from paribus.report.study import render_study, write_study

COMMAND = "paribus run synthetic-expanse --scale pocket\nparibus report synthetic-expanse"
ATTACK = '<script>alert(1)</script><img src=x onerror=alert(1)>" onmouseover="alert(1)" \'></style>{{ 7 * 7 }}'
KEPT = {"better", "x_scale", "kind", "verdict", "id", "language", "direction", "columns"}


@pytest.fixture(scope="module")
def html() -> str:
    return render_study(synthetic_study(), rerun_command=COMMAND)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def attacked(value: Any, key: str = "") -> Any:
    """The same structure with the attack in every free string, keys of free mappings included."""
    if isinstance(value, dict):
        return {
            name + ATTACK
            if key in ("settings", "provenance", "factors", "cost", "cost_ratio", "addresses")
            else name: attacked(v, name)
            for name, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [attacked(v, key) for v in value]
    if isinstance(value, str) and key not in KEPT:
        return value + ATTACK
    return value


def attacked_study() -> StudyResult:
    study = StudyResult.model_validate(attacked(synthetic_study().model_dump()))
    sample = {"language": ATTACK, "prompt": ATTACK, "arm": ATTACK, "text": ATTACK, "correct": None, "note": ATTACK}
    more = (
        Panel(id=ATTACK, kind="table", title=ATTACK, rows=({ATTACK: ATTACK},)),
        Panel(id="hostile-sample", kind="samples", title=ATTACK, rows=(sample,)),
    )
    return study.model_copy(update={"panels": (*study.panels, *more)})


def test_sections_come_in_the_promised_order(page: Page) -> None:
    assert [text for tag, text in page.headings if tag == "h2"] == [
        "Answers",
        "What was run",
        "Budget",
        "Results",
        "Contrasts",
        "Provenance",
        "Run it again",
    ]
    panels = [attrs["id"] for attrs in page.of("section") if (attrs["id"] or "").startswith("panel-")]
    assert panels[:5] == ["panel-reading", "panel-ladder", "panel-sizes", "panel-by-language", "panel-gain"]
    assert panels[-1] == "panel-samples"


def test_the_page_is_well_formed_and_its_links_lead_somewhere(page: Page) -> None:
    assert page.faults == []
    assert len(set(page.ids)) == len(page.ids)
    targets = [attrs["href"] for attrs in [*page.of("a"), *page.of("use")]]
    assert targets
    assert {target for target in targets if target not in {f"#{name}" for name in page.ids}} == set()


def test_the_page_stands_alone(html: str, page: Page) -> None:
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not [attrs for _, attrs in page.tags if "src" in attrs]
    assert "http:" not in html
    assert "https:" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_verdicts_are_said_in_words_with_a_symbol(page: Page) -> None:
    chips = [attrs["class"] for attrs in page.of("span") if (attrs.get("class") or "").startswith("chip ")]
    assert chips[:4] == ["chip supported", "chip unresolved", "chip contradicted", "chip unresolved"]
    assert [attrs["href"] for attrs in page.of("use")][:2] == ["#mark-supported", "#mark-unresolved"]
    assert "Contradicted at pocket scale: merge-linear scores below joint on exact match" in page.text
    assert "reward and fixed are not told apart on exact match" in page.text


def test_numbers_of_a_contrast_are_on_the_page(page: Page) -> None:
    contrast = synthetic_study().contrasts[4]
    assert f"\N{MINUS SIGN}{abs(100 * contrast.difference.value):.1f}" in page.text
    assert "0.048" in page.text
    assert "greater by more than 1.0" in page.text
    assert "prompts, post-training" in page.text


def test_a_missed_budget_stands_out() -> None:
    study = synthetic_study()
    missed = study.contrasts[0].model_copy(update={"matched": "budget missed: tokens of sft, 100 against 120"})
    page = Page(render_study(study.model_copy(update={"contrasts": (missed, *study.contrasts[1:])}), rerun_command=""))
    assert len([attrs for attrs in page.of("td") if "missed" in (attrs.get("class") or "")]) == 1


def test_factors_that_never_vary_are_listed_apart(page: Page) -> None:
    titles = page.text.split("The same in all arms:")[1][:60]
    assert "tokens = 4,200,000; layers = 6." in titles


def test_model_text_has_the_direction_and_language_it_was_written_in(page: Page) -> None:
    answers = [attrs for attrs in page.of("div") if attrs.get("class") == "text"]
    directions = {attrs["lang"]: attrs["dir"] for attrs in answers}
    assert directions["ar"] == directions["he"] == "rtl"
    assert directions["hi"] == directions["zh"] == directions["en"] == "ltr"


def test_every_language_is_named(page: Page) -> None:
    for name in ("Arabic", "Hebrew", "Hindi", "Chinese", "Japanese"):
        assert name in page.text
    assert len([attrs for attrs in page.of("abbr") if attrs.get("title") == "Hindi"]) >= 1
    assert len(LANGUAGES) == 10


def test_the_commands_that_rerun_it_are_exact(page: Page) -> None:
    assert COMMAND in "".join(page.words)


def test_the_same_result_gives_the_same_bytes(html: str) -> None:
    assert render_study(synthetic_study(), rerun_command=COMMAND) == html
    assert render_study(synthetic_study(1), rerun_command=COMMAND) != html


def test_a_result_from_json_gives_the_same_page(html: str) -> None:
    again = StudyResult.model_validate_json(synthetic_study().model_dump_json())
    assert render_study(again, rerun_command=COMMAND) == html


def test_the_page_stays_light(html: str) -> None:
    assert len(html.encode()) < 600_000


def test_nothing_stored_can_become_markup() -> None:
    page = Page(render_study(attacked_study(), rerun_command=COMMAND + ATTACK))
    assert page.faults == []
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") > 200
    assert "{{ 7 * 7 }}" in page.text
    styles = [attrs["style"] or "" for _, attrs in page.tags if "style" in attrs]
    assert all(re.fullmatch(r"[-\w :;.%(),/]+", style) for style in styles)


def test_an_unknown_language_code_keeps_its_name_and_leaves_direction_open() -> None:
    row = {"language": "xx-none", "prompt": "?", "arm": "a", "text": "!", "correct": None, "note": None}
    study = synthetic_study().model_copy(update={"panels": (Panel(id="s", kind="samples", title="S", rows=(row,)),)})
    answer = next(a for a in Page(render_study(study, rerun_command="")).of("div") if a.get("class") == "text")
    assert (answer["lang"], answer["dir"]) == ("xx-none", "auto")


def test_a_study_without_panels_shows_its_languages_all_the_same() -> None:
    page = Page(render_study(synthetic_study().model_copy(update={"panels": ()}), rerun_command=""))
    assert "by-language" in page.ids
    assert "Exact match by language" in page.text


def test_an_empty_study_still_makes_a_page() -> None:
    bare = synthetic_study().model_copy(
        update={"arms": (), "contrasts": (), "claims": (), "panels": (), "provenance": {}}
    )
    page = Page(render_study(bare, rerun_command="paribus run x"))
    assert page.faults == []
    assert "This study states no claims." in page.text
    assert "This study declares no contrasts." in page.text


def test_a_claim_on_an_unknown_contrast_is_refused() -> None:
    study = synthetic_study()
    claim = study.claims[0].model_copy(update={"contrasts": ("none such",)})
    with pytest.raises(DataError, match="claim 'arbitrage' rests on contrast 'none such'"):
        render_study(study.model_copy(update={"claims": (claim,)}), rerun_command="")


def test_two_panels_of_one_name_are_refused() -> None:
    study = synthetic_study()
    with pytest.raises(DataError, match="two panels called 'panel-ladder'"):
        render_study(study.model_copy(update={"panels": study.panels[:1] * 2}), rerun_command="")


def test_a_broken_panel_writes_nothing(tmp_path: Path) -> None:
    broken = Panel(id="broken", kind="ladder", title="B", rows=({"step": "sft"},))
    with pytest.raises(DataError, match="'broken'"):
        write_study(synthetic_study().model_copy(update={"panels": (broken,)}), tmp_path / "a.html", rerun_command="")
    assert list(tmp_path.iterdir()) == []


def test_writing_replaces_the_page_whole_and_leaves_nothing_behind(tmp_path: Path, html: str) -> None:
    path = tmp_path / "deep" / "report.html"
    assert write_study(synthetic_study(1), path, rerun_command=COMMAND) == path
    write_study(synthetic_study(), path, rerun_command=COMMAND)
    assert path.read_bytes() == html.encode()
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_failed_write_keeps_the_old_page(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        write_page("half \ud800", path)
    assert path.read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_control_characters_become_visible_and_surrogates_are_replaced() -> None:
    assert clean("a\x00b\x1b[31m\ud800\x85\n\tc") == "a\u2400b\u241b[31m\ufffd\ufffd\n\tc"


def test_anchors_of_different_names_differ() -> None:
    names = ["a > b", "a < b", "a-b", "A-b", "星期", "月曜", "\ud800"]
    assert len({anchor("contrast", name) for name in names}) == len(names)
    assert anchor("panel", "win-rate") == "panel-win-rate"


@pytest.fixture(scope="module")
def large() -> Page:
    return Page(render_study(mixture_study(), rerun_command=COMMAND))


def test_a_study_of_many_arms_is_well_formed(large: Page) -> None:
    assert large.faults == []
    assert len(set(large.ids)) == len(large.ids)
    assert len(large.html.encode()) < 600_000


def test_contrasts_stand_by_the_family_they_were_corrected_in(large: Page) -> None:
    titles = [text for tag, text in large.headings if tag == "h3"]
    assert titles[-6:] == [*FAMILIES, "specialists"]
    groups = [attrs for attrs in large.of("th") if attrs.get("scope") == "rowgroup"]
    assert len(groups) == 6
    assert len([attrs for attrs in large.of("a") if (attrs["href"] or "").startswith("#family-")]) == 6
    assert {(attrs["href"] or "")[1:] for attrs in large.of("a")} <= {*large.ids, "main"}


def test_one_family_needs_no_heading(page: Page) -> None:
    assert [attrs for attrs in page.of("th") if attrs.get("scope") == "rowgroup"] == []
    assert ("h3", "exact match") in page.headings


def test_the_best_of_a_column_is_said_and_not_only_shown(large: Page) -> None:
    best = [attrs for attrs in large.of("td") if " best" in (attrs.get("class") or "")]
    assert len(best) == 5
    assert all((attrs["title"] or "").endswith("best of its column") for attrs in best)
    assert len([attrs for attrs in large.of("i") if attrs.get("class") == "unseen"]) >= 5


def test_every_map_is_named_and_its_alarms_are_in_words(large: Page) -> None:
    named = [attrs["aria-label"] for attrs in large.of("table") if "aria-label" in attrs]
    assert named[:2] == ["btx: general", "btx: code"]
    assert "of 192 cells dead: law in layer 3 (btx: general)" in large.text
    assert "None of 192 cells raises an alarm." in large.text


def test_currencies_of_any_name_have_a_column(large: Page) -> None:
    assert "Compute without output layer" in large.text
    assert "Kv bytes" in large.text


def test_long_names_break_at_their_joints_and_nowhere_in_the_text() -> None:
    assert breakable("bam_expert_kv_top_2.<b>") == "bam_<wbr>expert_<wbr>kv_<wbr>top_2.&lt;b&gt;"
