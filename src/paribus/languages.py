"""The language registry: the 23 languages of Aya 23, the 101 of Aya-101, their scripts, clusters and resource tiers.

Everything comes from ``languages.csv`` beside this file, whose head says where each column is from and where sources
disagree; tiers and clusters are data, so a reader who disagrees changes a cell and no code. Reading it takes about a
millisecond and needs the standard library alone.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from paribus.errors import ConfigError

Direction = Literal["ltr", "rtl"]

_TABLE = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True, slots=True)
class Language:
    """One language.

    ``code`` is ISO 639-1 where one exists, else 639-3; ``script`` is ISO 15924; ``family`` is "Family" or
    "Family/Branch"; ``cluster`` is empty outside Aya 23; ``tier`` is "high", "mid" or "low" (see the data file).
    """

    code: str
    name: str
    autonym: str
    script: str
    direction: Direction
    family: str
    cluster: str
    tier: str
    iso3: str


def _rows() -> list[dict[str, str]]:
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def _language(row: dict[str, str]) -> Language:
    direction: Direction = "rtl" if row["direction"] == "rtl" else "ltr"
    fields = {key: row[key] for key in ("code", "name", "autonym", "script", "family", "cluster", "tier", "iso3")}
    return Language(direction=direction, **fields)


def _clusters(languages: Iterable[Language]) -> dict[str, tuple[str, ...]]:
    members: dict[str, list[str]] = {}
    for language in languages:
        if language.cluster:
            members.setdefault(language.cluster, []).append(language.code)
    return {name: tuple(codes) for name, codes in sorted(members.items())}


_ROWS = _rows()
_REGISTRY: dict[str, Language] = {row["code"]: _language(row) for row in _ROWS}
_BY_ISO3: dict[str, str] = {language.iso3: code for code, language in _REGISTRY.items()}

#: The 23 languages of Aya 23 (arXiv 2405.15032), in alphabetical order of their codes.
AYA_23: tuple[str, ...] = tuple(sorted(row["code"] for row in _ROWS if row["aya_23"] == "1"))

#: The 101 languages of Aya-101 (arXiv 2402.07827), in alphabetical order of their codes.
AYA_101: tuple[str, ...] = tuple(sorted(row["code"] for row in _ROWS if row["aya_101"] == "1"))

#: Five clusters that cut the 23 languages into disjoint parts. Aya Expanse names the idea (language-family clusters)
#: but not the lists; these are the ones this package uses.
CLUSTERS: dict[str, tuple[str, ...]] = _clusters(_REGISTRY.values())

#: Every cluster's models also see these three, for robustness (Aya Expanse, section on merging).
SHARED: tuple[str, ...] = ("en", "es", "fr")


def get(code: str) -> Language:
    """Return the language with this ISO 639-1 (or, where there is none, 639-3) code; 639-3 codes are found as well.

    Raises ConfigError, naming the nearest codes, when the registry has no such language.
    """
    language = _REGISTRY.get(code) or _REGISTRY.get(_BY_ISO3.get(code, ""))
    if language is None:
        raise ConfigError(f"Unknown language code {code!r}; {_near(code)} (paribus/languages.csv lists all).")
    return language


def _near(code: str) -> str:
    by_name = {language.name.lower(): language.code for language in _REGISTRY.values()}
    if str(code).lower() in by_name:
        return f"did you mean {by_name[str(code).lower()]!r}"
    near = difflib.get_close_matches(str(code).lower(), list(_REGISTRY), n=4, cutoff=0.4)
    return f"near codes: {', '.join(near)}" if near else f"the 23 of Aya 23 are {', '.join(AYA_23)}"


def cluster_languages(cluster: str, *, shared: bool = True) -> tuple[str, ...]:
    """Return the languages a cluster's model is trained on: the cluster's own and, if ``shared``, en, es and fr.

    Raises ConfigError for an unknown cluster.
    """
    if cluster not in CLUSTERS:
        raise ConfigError(f"Unknown language cluster {cluster!r}; use one of {', '.join(CLUSTERS)}.")
    own = CLUSTERS[cluster]
    return tuple(sorted({*own, *SHARED})) if shared else own


def by_tier(tier: str) -> tuple[str, ...]:
    """Return the codes of a resource tier ("high", "mid" or "low"), sorted; ConfigError for another word."""
    codes = tuple(sorted(code for code, language in _REGISTRY.items() if language.tier == tier))
    if not codes:
        raise ConfigError(f"Unknown resource tier {tier!r}; use one of high, mid, low.")
    return codes


def restrict(cluster: str, languages: Iterable[str], *, shared: bool = True) -> tuple[str, ...]:
    """Return the languages of ``cluster`` that are among ``languages``, sorted (for worlds with fewer than 23)."""
    return tuple(sorted(set(cluster_languages(cluster, shared=shared)) & set(languages)))
