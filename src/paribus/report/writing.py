"""How a language is named on a page, and which way its text runs."""

from dataclasses import dataclass

from paribus.errors import ConfigError
from paribus.languages import get


@dataclass(frozen=True)
class Writing:
    """HTML's view of a language: ``lang`` and ``dir`` attributes, and the name a reader knows it by."""

    code: str
    name: str
    direction: str


def writing_of(code: str) -> Writing:
    """The writing of a language code; one outside the registry is its own name and leaves ``dir`` to the browser."""
    try:
        language = get(code)
    except ConfigError:
        return Writing(code, code, "auto")
    return Writing(language.code, language.name, language.direction)


def is_language(code: object) -> bool:
    """Whether ``code`` is a language of the registry."""
    return isinstance(code, str) and writing_of(code).direction != "auto"
