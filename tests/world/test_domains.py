"""Domains as a pure function of their config: ids, bytes, parts, sizes, languages; questions are open documents."""

import json
import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from paribus.errors import ConfigError
from paribus.languages import AYA_23
from paribus.world.domains import DOMAINS, PARTS, Domains, DomainsConfig

LANGUAGES = ("ar", "en", "hi", "zh")
domains = Domains(DomainsConfig(languages=LANGUAGES))


def texts(found: Domains, part: str, count: int, language: str = "en") -> list[str]:
    return [row.text for domain in DOMAINS for row in found.documents(domain, language, part, count)]


@pytest.mark.parametrize("hash_seed", ["4711"])
def test_same_config_same_bytes_in_another_process_whatever_ran_before(hash_seed):
    """Locale data is loaded in another order there, and the languages are named in another order."""
    code = (
        "import json\n"
        "from paribus.world.domains import DOMAINS, Domains, DomainsConfig\n"
        "found = Domains(DomainsConfig(languages=('zh', 'hi', 'en', 'ar')))\n"
        "cells = [(d, l) for d in reversed(DOMAINS) for l in ('zh', 'ar', 'hi', 'en')]\n"
        "print(json.dumps({f'{d}/{l}': [r.text for r in found.documents(d, l, 'dev', 8)] for d, l in cells}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    there = json.loads(done.stdout)
    here = {f"{d}/{l}": [row.text for row in domains.documents(d, l, "dev", 8)] for d in DOMAINS for l in LANGUAGES}
    assert there == here


def test_another_seed_is_other_text():
    other = Domains(DomainsConfig(languages=LANGUAGES, seed=1))
    assert not set(texts(domains, "train", 20)) & set(texts(other, "train", 20))


def test_more_documents_or_languages_change_none_of_the_others():
    more = Domains(DomainsConfig(languages=(*LANGUAGES, "es")))
    for domain in DOMAINS:
        few = domains.documents(domain, "hi", "train", 5)
        assert more.documents(domain, "hi", "train", 12)[:5] == few
        assert more.questions(domain, "hi", "test", 9)[:4] == domains.questions(domain, "hi", "test", 4)


def test_parts_share_no_text_and_every_text_says_its_part():
    found = {part: texts(domains, part, 120) for part in PARTS}
    for part, rows in found.items():
        assert len(set(rows)) == len(rows)
        assert all(domains.part_of(row) == part for row in rows)
    assert not set(found["train"]) & set(found["test"]) and not set(found["dev"]) & set(found["test"])


def test_ids_are_unique_over_everything():
    ids = [
        row.id
        for domain in DOMAINS
        for language in LANGUAGES
        for part in PARTS
        for row in (*domains.documents(domain, language, part, 3), *domains.questions(domain, language, part, 3))
    ]
    assert len(set(ids)) == len(ids) == 4 * 4 * 3 * 6


@pytest.mark.parametrize("language", AYA_23)
def test_every_language_has_every_domain_in_the_size_asked_for(language):
    found = Domains(DomainsConfig(languages=(language,)))
    for domain in DOMAINS:
        sizes = [len(row.text.encode()) for row in found.documents(domain, language, "train", 15)]
        assert min(sizes) >= 150 and max(sizes) <= 400
        for question in found.questions(domain, language, "test", 6):
            assert len(question.choices) == 4
            assert 150 <= len((question.prompt + question.choices[question.answer]).encode()) <= 400


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_question_is_a_document_of_its_part_left_open(domain):
    for question in domains.questions(domain, "en", "test", 40):
        whole = question.prompt + question.choices[question.answer]
        assert domains.part_of(whole) == "test"
        # What follows the prompt in the document is the answer, and nothing tells it before.
        assert question.prompt.endswith(" ")
        assert len(set(question.choices)) == 4


def test_right_answers_stand_at_every_place():
    places = [row.answer for domain in DOMAINS for row in domains.questions(domain, "en", "test", 60)]
    counts = [places.count(place) for place in range(4)]
    assert min(counts) > 0.15 * len(places)


def test_general_questions_about_one_fact_are_one_cluster_in_all_languages():
    clusters = {
        language: {row.cluster for row in domains.questions("general", language, "test", 80)} for language in LANGUAGES
    }
    assert clusters["en"] & clusters["hi"]
    alone = [row for domain in ("code", "law", "math") for row in domains.questions(domain, "en", "test", 5)]
    assert all(row.cluster == row.id for row in alone)


@pytest.mark.parametrize(
    "fields",
    [{"languages": ()}, {"languages": ("en", "en")}, {"languages": ("sw",)}, {"languages": ("en",), "shortest": 350},
     {"languages": ("en",), "longest": 100}, {"languages": ("en",), "pages": 3}],
)  # fmt: skip
def test_configs_that_make_no_text_are_refused(fields):
    with pytest.raises(ValidationError):
        DomainsConfig(**fields)


@pytest.mark.parametrize(
    ("cell", "message"),
    [(("poems", "en", "train"), "no domain 'poems'"), (("law", "fr", "train"), "no language 'fr'"),
     (("law", "en", "valid"), "no part 'valid'; use one of train, dev, test")],
)  # fmt: skip
def test_cells_that_are_not_there_are_refused(cell, message):
    for ask in (domains.documents, domains.questions):
        with pytest.raises(ConfigError, match=message):
            ask(*cell, 1)


def test_no_text_is_asked_for_and_none_is_given():
    assert domains.documents("law", "en", "train", 0) == []
