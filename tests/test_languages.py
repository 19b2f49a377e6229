"""The registry: sizes, partitions, codes and errors."""

import subprocess
import sys
import unicodedata
from collections import Counter

import pytest

from paribus import languages
from paribus.errors import ConfigError


def test_aya_23_is_the_published_list() -> None:
    published = "ar zh cs nl en fr de el he hi id it ja ko fa pl pt ro ru es tr uk vi"
    assert tuple(sorted(published.split())) == languages.AYA_23


def test_aya_101_has_101_languages_and_holds_aya_23() -> None:
    assert len(languages.AYA_101) == len(set(languages.AYA_101)) == 101
    assert set(languages.AYA_23) < set(languages.AYA_101)
    assert len({languages.get(code).iso3 for code in languages.AYA_101}) == 101


def test_clusters_cut_the_23_into_five_disjoint_parts() -> None:
    assert len(languages.CLUSTERS) == 5
    members = [code for codes in languages.CLUSTERS.values() for code in codes]
    assert sorted(members) == list(languages.AYA_23)
    for name, codes in languages.CLUSTERS.items():
        assert all(languages.get(code).cluster == name for code in codes)


def test_every_cluster_shares_english_spanish_french() -> None:
    for name in languages.CLUSTERS:
        assert {"en", "es", "fr"} <= set(languages.cluster_languages(name))
    assert languages.cluster_languages("slavic", shared=False) == ("cs", "pl", "ru", "uk")
    assert languages.restrict("slavic", ("en", "ru", "de")) == ("en", "ru")


def test_tiers_match_the_counts_of_the_papers_text() -> None:
    counts = Counter(languages.get(code).tier for code in languages.AYA_101)
    assert counts == {"high": 24, "mid": 26, "low": 51}
    assert languages.by_tier("mid")[:3] == ("af", "be", "bg")


def test_fields_are_filled_and_normalised() -> None:
    for code in languages.AYA_101:
        language = languages.get(code)
        assert language.name and language.autonym and language.family and len(language.script) == 4
        assert unicodedata.is_normalized("NFC", language.autonym)
        assert (language.direction == "rtl") == (language.script in {"Arab", "Hebr"})


def test_autonyms_are_written_in_the_languages_own_script() -> None:
    prefixes = {"Latn": "LATIN", "Cyrl": "CYRILLIC", "Arab": "ARABIC", "Hebr": "HEBREW", "Deva": "DEVANAGARI",
                "Grek": "GREEK", "Kore": "HANGUL", "Jpan": "CJK", "Hans": "CJK", "Beng": "BENGALI"}  # fmt: skip
    for code in languages.AYA_101:
        language = languages.get(code)
        if language.script in prefixes:
            assert unicodedata.name(language.autonym[0]).startswith(prefixes[language.script]), code


def test_get_accepts_three_letter_codes() -> None:
    assert languages.get("deu") is languages.get("de")
    assert languages.get("pes").code == "fa"


def test_unknown_codes_name_the_near_ones() -> None:
    with pytest.raises(ConfigError, match="'de'"):
        languages.get("German")
    with pytest.raises(ConfigError, match=r"near codes: .*en"):
        languages.get("enn")
    with pytest.raises(ConfigError, match="slavic"):
        languages.cluster_languages("slavonic")
    with pytest.raises(ConfigError, match="high, mid, low"):
        languages.by_tier("middle")


def test_import_is_light() -> None:
    heavy = "{'pandas', 'torch', 'numpy', 'babel', 'icu4py'}"
    code = f"import sys, paribus.languages; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
