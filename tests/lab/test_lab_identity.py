"""Addresses: stable under what does not matter, different under what does, and refused where they cannot be stable."""

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, create_model

from paribus.errors import ConfigError
from paribus.lab.identity import MISSING, canonical_json, digest, encode_config, field_differences


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Left(Frozen):
    rate: float = 1.0


class Right(Frozen):
    rate: float = 1.0


class Holder(Frozen):
    part: Left | Right = Left()
    rows: tuple[Left | Right, ...] = ()


class AnyValue(Frozen):
    value: Any = None


class Colour(Enum):
    RED = "red"


def pruned(config: BaseModel) -> dict[str, Any]:
    return encode_config(config, owner="stage")


def test_only_what_differs_from_the_default_is_in_the_identity() -> None:
    assert pruned(Left()) == {}
    assert pruned(Left(rate=1)) == {}
    assert pruned(Left(rate=2.0)) == {"rate": 2}


def test_a_new_field_with_a_default_leaves_the_identity_alone() -> None:
    before = create_model("C", __config__=ConfigDict(frozen=True), steps=(int, 5))
    after = create_model("C", __config__=ConfigDict(frozen=True), steps=(int, 5), added=(str, "x"))
    assert digest(pruned(before(steps=7))) == digest(pruned(after(steps=7)))
    assert digest(pruned(after(steps=7, added="y"))) != digest(pruned(after(steps=7)))


def test_members_of_a_union_with_equal_fields_differ() -> None:
    assert pruned(Holder()) == {}
    assert pruned(Holder(part=Right())) != pruned(Holder(part=Left()))
    assert pruned(Holder(rows=(Left(),))) != pruned(Holder(rows=(Right(),)))


def test_a_nested_value_back_at_its_own_default_is_not_the_holders_default() -> None:
    class Outer(Frozen):
        part: Left = Left(rate=3.0)

    assert pruned(Outer(part=Left(rate=1.0))) != pruned(Outer())


def test_a_truth_value_is_not_a_number() -> None:
    assert digest(pruned(AnyValue(value=[True]))) != digest(pruned(AnyValue(value=[1])))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (len, "callable"),
        (lambda: 1, "callable"),
        (object(), "no stable text"),
        ([1, object()], r"value\[1\]"),
        ({"a": {"b": print}}, "value.a.b"),
        (Path("/data"), "file_input"),
        (float("inf"), "no JSON form"),
        (b"bytes", "no stable text"),
        ({(1, 2): 3}, "key"),
        (1j, "no stable text"),
    ],
)
def test_values_without_a_stable_text_are_refused_by_field_name(value: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        pruned(AnyValue(value=value))
    assert "stage.value" in str(caught.value)


@pytest.mark.parametrize("name", ["api_key", "openai_api_key", "password", "access_token", "hub_auth_token"])
def test_fields_named_like_secrets_are_refused(name: str) -> None:
    model: Callable[..., BaseModel] = create_model("C", **{name: (str, "")})
    with pytest.raises(ConfigError, match="environment variable"):
        pruned(model())


def test_values_that_look_like_secrets_are_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_KEY", "correct-horse-battery")
    for secret in ("hf_" + "a1B2" * 8, "sk-" + "abcd1234" * 4, "x correct-horse-battery"):
        with pytest.raises(ConfigError) as caught:
            pruned(AnyValue(value=[secret]))
        assert secret not in str(caught.value)


def test_ordinary_field_names_with_token_in_them_are_fine() -> None:
    model = create_model("C", max_tokens=(int, 5), tokenizer=(str, "x"), key=(str, "k"))
    assert pruned(model(max_tokens=6, key="other")) == {"max_tokens": 6, "key": "other"}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(plain)
def test_encoding_survives_json_and_does_not_depend_on_key_order(value: Any) -> None:
    import json

    once = encode_config(AnyValue(value=value), owner="s", defaults=True)
    again = encode_config(AnyValue.model_validate(json.loads(canonical_json(once))), owner="s", defaults=True)
    assert canonical_json(once) == canonical_json(again)


@given(plain, plain)
def test_different_values_have_different_texts(one: Any, other: Any) -> None:
    texts = [canonical_json(encode_config(AnyValue(value=v), owner="s", defaults=True)) for v in (one, other)]
    same = one == other and repr(one).replace("-0.0", "0.0") == repr(other).replace("-0.0", "0.0")
    if same:
        assert texts[0] == texts[1]
    elif one != other:
        assert texts[0] != texts[1]


def test_enums_and_sets_are_stable() -> None:
    assert pruned(AnyValue(value=Colour.RED)) != pruned(AnyValue(value="red"))
    assert pruned(AnyValue(value={"b", "a"})) == {"value": ["a", "b"]}


def test_differences_name_dotted_fields() -> None:
    found = field_differences({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1, "c": 3}, "d": [1], "e": None})
    assert found == {"a.c": (2, 3), "e": (MISSING, None)}
