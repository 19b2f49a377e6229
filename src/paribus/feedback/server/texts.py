"""The words of the pages, one JSON file for each of the 23 languages, and which of them a browser asks for."""

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from paribus.languages import AYA_23, get

DEFAULT = "en"


@cache
def texts(language: str) -> dict[str, Any]:
    """The words of a language; those of English where there is no file of it."""
    code = language if language in AYA_23 else DEFAULT
    content: dict[str, Any] = json.loads(
        files("paribus.feedback.server").joinpath(f"texts/{code}.json").read_text(encoding="utf-8")
    )
    return content


def preferred(header: str) -> str:
    """The language of ours that an ``Accept-Language`` header likes best; English if none."""
    wanted = sorted(_weighted(header), key=lambda pair: -pair[1])
    return next((code for code, weight in wanted if weight > 0 and code in AYA_23), DEFAULT)


def _weighted(header: str) -> Sequence[tuple[str, float]]:
    found = []
    for part in header.split(",")[:20]:
        tag, _, weight = part.partition(";")
        try:
            found.append((tag.strip().lower().partition("-")[0], float(weight.strip().removeprefix("q=") or 1)))
        except ValueError:
            continue
    return found


def autonyms(codes: Sequence[str]) -> list[tuple[str, str, str]]:
    """Languages as those who read them call them: code, name, direction; in the order of the codes."""
    return [(code, get(code).autonym, get(code).direction) for code in codes]
