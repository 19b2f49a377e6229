"""Settings: presets per scale, dotted overrides, and errors that name the nearest field."""

import json
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from paribus.errors import ConfigError
from paribus.lab import Settings


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    steps: int = 10
    rate: float = 0.5
    kind: Literal["a", "b"] = "a"


class Whole(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    part: Part = Part(rate=0.25)
    name: str = "n"


class Demo(Settings):
    presets: ClassVar[dict[str, Any]] = {
        "smoke": {"whole": {"part": {"steps": 2}}, "languages": ("en",)},
        "pocket": {"whole.part.steps": 5, "whole.name": "pocket"},
    }
    whole: Whole = Whole(part=Part(rate=0.125))
    languages: tuple[str, ...] = ("en", "tr")
    kinds: tuple[Literal["a", "b"], ...] = ("a",)
    seeds: tuple[int, ...] = (0,)
    limit: int | None = 3
    flag: bool = False
    table: dict[str, float] = Field(default_factory=dict)
    word: str = "x"


def test_a_preset_changes_only_what_it_names() -> None:
    smoke = Demo.at("smoke")
    assert smoke.scale == "smoke" and smoke.languages == ("en",)
    assert smoke.whole.part == Part(steps=2, rate=0.125)  # the rate of the field's own default survives
    assert Demo.at("pocket").whole == Whole(part=Part(steps=5, rate=0.125), name="pocket")


@pytest.mark.parametrize(
    ("text", "read", "value"),
    [
        ("whole.part.steps=7", lambda s: s.whole.part.steps, 7),
        ("whole.part.rate=1e-3", lambda s: s.whole.part.rate, 1e-3),
        ("languages=en,tr,hi", lambda s: s.languages, ("en", "tr", "hi")),
        ('languages=["en"]', lambda s: s.languages, ("en",)),
        ("seeds=1,2", lambda s: s.seeds, (1, 2)),
        ("seeds=4", lambda s: s.seeds, (4,)),
        ("limit=null", lambda s: s.limit, None),
        ("flag=true", lambda s: s.flag, True),
        ("table.en=0.5", lambda s: s.table, {"en": 0.5}),
        ("word=123", lambda s: s.word, "123"),
        ("languages=null,true", lambda s: s.languages, ("null", "true")),
        ("word=a=b,c", lambda s: s.word, "a=b,c"),
        ('whole.part={"steps": 1}', lambda s: s.whole.part, Part(steps=1, rate=0.125)),
    ],
)
def test_overrides_are_read_as_the_field_wants_them(text: str, read, value: object) -> None:  # type: ignore[no-untyped-def]
    assert read(Demo.at("pocket", [text])) == value


def test_the_last_override_wins() -> None:
    assert Demo.at("pocket", ["limit=1", "limit=2"]).limit == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("whole.part.stpes=7", "Did you mean 'whole.part.steps'"),
        ("languagse=en", "Did you mean 'languages'"),
        ("whole.part.steps.more=7", "plain value"),
        ("whole.part.steps", "field=value"),
        ("whole.part.steps=many", "whole.part.steps=many"),
        ("whole.part.kind=c", "'a' or 'b'"),
        ("kinds=a,c", "1: .*'a' or 'b'.*got 'c'"),
        ("scale=full", "no setting 'scale'"),
    ],
)
def test_errors_name_the_field_and_the_nearest_one(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Demo.at("smoke", [text])


def test_an_unknown_scale_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="pocket"):
        Demo.at("pockett")
    with pytest.raises(ConfigError, match="smoke, pocket"):
        Demo.at("huge")


@given(
    scale=st.sampled_from(["smoke", "pocket"]),
    values=st.fixed_dictionaries(
        {},
        optional={
            "whole.part.steps": st.integers(),
            "whole.part.rate": st.floats(allow_nan=False),
            "whole.name": st.text(),
            "languages": st.lists(st.text()),
            "seeds": st.lists(st.integers()),
            "limit": st.none() | st.integers(),
            "flag": st.booleans(),
            "table": st.dictionaries(st.text(), st.floats(allow_nan=False)),
            "word": st.sampled_from(["5", "null", "true", "[1]", "a,b", '"', "", " x", "=", "日本"]),
        },
    ),
)
def test_overrides_name_every_change_and_give_the_same_settings_again(scale: str, values: dict[str, Any]) -> None:
    changed = Demo.at(scale, [f"{key}={json.dumps(value)}" for key, value in values.items()])
    texts = changed.overrides()
    assert Demo.at(scale, texts) == changed
    assert {text.partition("=")[0] for text in texts} <= set(values)
    assert Demo.at(scale).overrides() == []
