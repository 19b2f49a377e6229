"""Markdown counters and style gaps."""

import numpy as np
import pytest

from paribus.errors import ConfigError, DataError
from paribus.evaluation.style import Style, completion_styles, count_style, style_gaps
from paribus.records import Completion

DOCUMENT = """# Title
## Part
####### seven signs are no header
#no space, no header
1. one
  2. two, indented
- dash
* star
+ plus
-no space
some **bold** and __also bold__, but **not
across lines** and not ** **** empty
```python
# a comment, not a header
- not a list
**not bold**
```
text 3. in the middle
"""


def test_counts_by_hand() -> None:
    assert count_style(DOCUMENT, 77) == Style(tokens=77, headers=2, lists=5, bold=3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 0, 0)),
        ("### three\n\n\n- item after blank lines\n", (1, 1, 0)),
        ("**a** **b** __c__", (0, 0, 3)),
        ("```\n# x\n```\n# y\n```\n# z\n```", (1, 0, 0)),
        ("2024. was a year", (0, 1, 0)),
        ("١. أول", (0, 1, 0)),
    ],
)
def test_small_texts(text: str, expected: tuple[int, int, int]) -> None:
    assert tuple(count_style(text, 0))[1:] == expected


def test_published_features_by_hand() -> None:
    a, b = np.array([[30.0, 2, 4, 0]]), np.array([[10.0, 0, 1, 3]])
    assert style_gaps(a, b, "v0.1")[0] == pytest.approx([20 / 41, 2 / 3, 3 / 6, -3 / 4])
    heads, lists, bold = (2 / 31, 0.0), (4 / 31, 1 / 11), (0.0, 3 / 11)
    dense = [(p - q) / (p + q + 1) for p, q in (heads, lists, bold)]
    assert style_gaps(a, b, "v2.0")[0] == pytest.approx([20 / 40, *dense])


@pytest.mark.parametrize("features", ["v0.1", "v2.0"])
def test_gaps_change_sign_with_the_sides_and_vanish_for_twins(features: str) -> None:
    counts = np.random.default_rng(0).integers(0, 50, size=(2, 40, 4)).astype(float)
    forward, backward = style_gaps(*counts, features), style_gaps(*counts[::-1], features)
    np.testing.assert_allclose(forward, -backward)
    assert (np.abs(forward) <= 1).all()
    assert (style_gaps(counts[0], counts[0], features) == 0).all()
    assert (style_gaps(np.zeros((1, 4)), np.zeros((1, 4)), features) == 0).all()


def _completion(name: str, tokens: int | None) -> Completion:
    return Completion(id=name, prompt_id="p", language="en", model="m", text="# a **b**", tokens=tokens)


def test_styles_are_keyed_by_model_prompt_and_language() -> None:
    assert completion_styles([_completion("c", 9)]) == {("m", "p", "en"): Style(9, 1, 0, 1)}
    assert completion_styles([_completion("c", None)], len)["m", "p", "en"].tokens == 9


def test_missing_lengths_and_repeats_are_refused() -> None:
    with pytest.raises(DataError, match="'c' has no token count"):
        completion_styles([_completion("c", None)])
    with pytest.raises(DataError, match="two completions"):
        completion_styles([_completion("c", 1), _completion("d", 1)])
    with pytest.raises(ConfigError, match=r"'v3\.0'"):
        style_gaps(np.zeros((1, 4)), np.zeros((1, 4)), "v3.0")
