"""Facts: names in all languages, number words, one-to-one maps, independence of what was loaded before."""

import subprocess
import sys
import unicodedata

import pytest

from paribus.errors import ConfigError
from paribus.languages import AYA_23, get
from paribus.world import cldr, spellout
from paribus.world.families import FAMILIES, FactRange, clear_name
from paribus.world.normalise import normalise, share_in_script


@pytest.mark.parametrize("language", AYA_23)
def test_every_entity_is_named_in_clean_text(language: str) -> None:
    for group in cldr.entities().values():
        for entity in group:
            name = cldr.name(entity, language)
            assert name.strip() == name != ""
            assert unicodedata.is_normalized("NFC", name)
            assert not set(name) & {"\u00a0", "\u200f", "\u200e", "\u00ad"}


@pytest.mark.parametrize("language", AYA_23)
def test_names_of_one_category_are_one_to_one(language: str) -> None:
    for category, group in cldr.entities().items():
        names = {normalise(cldr.name(entity, language), language) for entity in group}
        assert len(names) == len(group), category


@pytest.mark.parametrize("language", AYA_23)
def test_number_words_are_one_to_one_and_in_the_language_s_script(language: str) -> None:
    words = [spellout.words(number, language) for number in range(spellout.LIMIT)]
    assert len({normalise(text, language) for text in words}) == spellout.LIMIT
    assert all(share_in_script(text, get(language).script) == 1.0 for text in words if text != "〇")
    assert not any("\u00ad" in text for text in words)


@pytest.mark.parametrize("language", AYA_23)
def test_accepted_spellings_never_name_another_number(language: str) -> None:
    right = {normalise(spellout.words(number, language), language): number for number in range(spellout.LIMIT)}
    for number in range(spellout.LIMIT):
        for form in spellout.also_accepted(number, language):
            assert right.get(normalise(form, language), number) == number


@pytest.mark.parametrize(
    ("number", "language", "expected"),
    [
        (342, "en", "three hundred forty-two"),
        (21, "de", "einundzwanzig"),
        (95, "el", "ενενήντα πέντε"),
        (12, "ar", "اثنا عشر"),
        (11, "ar", "أحد عشر"),
        (302, "ar", "ثلاثمائة واثنان"),
        (812, "ar", "ثمانمائة واثنا عشر"),
        (135, "ro", "o sută treizeci și cinci"),
        (35, "hi", "पैंतीस"),
        (101, "zh", "一百〇一"),
        (300, "ja", "三百"),
        (16, "ko", "십육"),
        (95, "uk", "девʼяносто пʼять"),
        (21, "vi", "hai mươi mốt"),
    ],
)
def test_number_words_against_hand_written_ones(number: int, language: str, expected: str) -> None:
    assert spellout.words(number, language) == expected


def test_english_and_after_hundred_is_accepted() -> None:
    assert "one hundred and thirty five" in spellout.also_accepted(135, "en")
    assert "零" in spellout.also_accepted(0, "zh")


def test_numbers_outside_the_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"0\.\.999"):
        spellout.words(1000, "cs")


MONTHS = {"cs": "leden", "el": "Ιανουάριος", "fa": "ژانویه", "pl": "styczeń", "ru": "январь", "uk": "січень",
          "de": "Januar", "it": "gennaio", "ko": "1월", "nl": "januari", "pt": "janeiro", "vi": "tháng 1",
          "hi": "जनवरी", "ja": "1月", "id": "Januari", "he": "ינואר", "zh": "一月"}  # fmt: skip


@pytest.mark.parametrize("order", ["zh,ja,ru", "ru,cs,zh", "vi,zh,el"])
def test_month_names_do_not_depend_on_the_locale_loaded_first(order: str) -> None:
    code = (
        "import sys; from paribus.world import cldr\n"
        "for code in sys.argv[1].split(','): cldr.name('month.3', code)\n"
        "for code in sys.argv[2].split(','): print(cldr.name('month.1', code))"
    )
    command = [sys.executable, "-X", "utf8", "-c", code, order, ",".join(MONTHS)]
    done = subprocess.run(command, capture_output=True, check=True, encoding="utf-8")
    assert done.stdout.splitlines() == list(MONTHS.values())


def test_facts_about_countries() -> None:
    assert cldr.currencies()["JP"] == "JPY"
    assert cldr.currencies()["HR"] == "EUR"
    assert cldr.official_languages()["BE"] == "nl"
    assert cldr.official_languages()["NO"] == "no"
    assert cldr.name("currency.JPY", "de") == "Japanischer Yen"
    with pytest.raises(KeyError, match="planet"):
        cldr.name("planet.mars", "en")


def test_countries_with_two_currencies_in_use_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cldr, "COUNTRIES", ("JP", "ZW"))
    assert cldr.currencies.__wrapped__() == {"JP": "JPY"}


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", "1, 2, and 3"), ("de", "1, 2 und 3"), ("zh", "1、2和3"), ("ja", "1、2、3"), ("ar", "1 و2 و3"),
     ("fa", "1، 2، و 3"), ("he", "1, 2 ו3"), ("cs", "1, 2 a 3")],
)  # fmt: skip
def test_lists_are_joined_the_native_way(language: str, expected: str) -> None:
    assert cldr.join(("1", "2", "3"), cldr.list_pattern(language)) == expected


def test_lists_of_other_lengths() -> None:
    assert cldr.join(("1", "2"), cldr.list_pattern("en")) == "1 and 2"
    assert cldr.join(("1", "2", "3", "4"), cldr.list_pattern("en")) == "1, 2, 3, and 4"


def test_names_that_mean_two_things_are_not_asked_about() -> None:
    assert cldr.name("country.DE", "id") == cldr.name("language.de", "id")
    assert clear_name("country.DE", "id") is None
    assert clear_name("country.DE", "de") == "Deutschland"
    assert FAMILIES["ca"].slots("country.DE", "id") is None


def test_loan_names_are_not_translated() -> None:
    assert FAMILIES["tr"].slots("country.JP>nl", "de") is None  # Japan
    assert FAMILIES["tr"].slots("country.JP>fr", "de") == {"word": "Japan", "language": "Französisch"}
    assert FAMILIES["tr"].slots("country.JP>fr", "fr") is None


@pytest.mark.parametrize("task", sorted(FAMILIES))
def test_answers_do_not_depend_on_the_template_slots_only(task: str) -> None:
    """Every fact has an answer in every language, and facts are unique."""
    facts = FAMILIES[task].facts(FactRange(("de", "en", "hi"), 100))
    assert len(facts) == len(set(facts)) > 30
    for fact in facts[::17]:
        assert all(FAMILIES[task].answer(fact, language) for language in ("de", "en", "hi"))


def test_closed_form_answers() -> None:
    assert FAMILIES["nd"].answer("0+9", "en") == "Wednesday"
    assert FAMILIES["nd"].answer("6+1", "fr") == "lundi"
    assert FAMILIES["ad"].answer("12+30", "en") == "forty-two"
    assert FAMILIES["so"].answer("3.17.80", "en") == "3, 17, and 80"
    assert FAMILIES["ds"].answer("JP", "en") == "Japan | Japanese Yen | Japanese"
    assert FAMILIES["ca"].answer("month.2", "de") == "Monat"
    assert FAMILIES["wn"].slots("21", "de") == {"words": "einundzwanzig"}
    assert FAMILIES["tr"].answer_language("country.JP>fr", "de") == "fr"


def test_numbers_to_sort_are_never_shown_sorted() -> None:
    for fact in FAMILIES["so"].facts(FactRange(("en",), 300)):
        slots = FAMILIES["so"].slots(fact, "en")
        assert slots is not None
        shown = [int(number) for number in slots["numbers"].split("; ")]
        assert shown != sorted(shown)
        assert sorted(shown) == [int(number) for number in fact.split(".")]
