"""What each domain says is true: programs print it, references resolve to it, derivations add up."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import DataError
from paribus.world import cldr, spellout
from paribus.world.domains import DOMAINS, Domains, DomainsConfig
from paribus.world.domains.code import Add, Call, Copy, Define, If, Let, Machine, Print, Repeat, render
from paribus.world.domains.scene import Dice, wrong_numbers
from paribus.world.phrases import phrases

LANGUAGES = ("el", "en", "hi", "ja", "pt", "ru")
domains = Domains(DomainsConfig(languages=LANGUAGES))


def documents(domain: str, language: str = "en", count: int = 60, part: str = "train") -> list[str]:
    return [row.text for row in domains.documents(domain, language, part, count)]


# ---- Code ------------------------------------------------------------------------------------------------------------


def as_python(program: str) -> str:
    """The program in Python, so that another interpreter can say what it prints."""
    lines, depth = [], 0
    for line in program.splitlines():
        text = line.strip()
        if text.startswith("}"):
            depth -= 1
        if text == "}":
            continue
        text = text.replace("} else {", "else:").removeprefix("let ")
        text = re.sub(r"^repeat (\d+) \{$", r"for _ in range(\1):", text)
        text = re.sub(r"^if (.*) \{$", r"if \1:", text)
        text = re.sub(r"^fn (.*) \{$", r"def \1:", text)
        lines.append("    " * depth + text)
        depth += text.endswith(":")
    return "\n".join(lines)


@pytest.mark.parametrize("language", ["en", "el", "hi", "pt"])
def test_programs_print_what_python_prints(language):
    for text in documents("code", language):
        program, printed = text[: text.index("\n> ")], text[text.index("\n> ") + 1 :].split("\n")
        said: list[str] = []
        exec(as_python(program), {"print": lambda value, said=said: said.append(f"> {value}")})
        assert said == printed, text


def test_the_machine_by_hand():
    program = [
        Let("a", 3),
        Let("b", "x"),
        Define("f", 2),
        Repeat(2, (Add("a", -1), If("a", 1, (Print("b"),), (Call("f", "a"),)))),
        Copy("a", "b"),
        Print("a"),
    ]
    machine = Machine()
    machine.run(program)
    assert machine.printed == ["x", 3, "x"]
    assert render(program)[4:9] == ["}", "repeat 2 {", "  a = a - 1", "  if a > 1 {", "    print(b)"]
    with pytest.raises(DataError, match="'a' holds the text 'x'"):
        machine.run([Add("a", 1)])


def test_programs_nest_branch_loop_and_call():
    text = "\n".join(documents("code", count=100))
    for piece in ("repeat", "} else {", "fn ", "let ", "    "):
        assert piece in text


# ---- Law -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reference_resolves_to_what_it_restates(language):
    words = phrases(language).categories
    for text in documents("law", language, count=30):
        parties_line, duties_line, restated = text.split("\n")
        parties = dict(re.findall(r"“(\w)”: ([^;]+)(?:; |$)", parties_line))
        number = int(re.match(r"§ (\d+)\. ", duties_line)[1])
        assert re.match(rf"§ {number - 1}\. ", parties_line) and re.match(rf"§ {number + 1}\. ", restated)
        duties = dict(re.findall(r"\((\w)\) (.+?)(?=; \(|$)", duties_line))
        references = re.findall(rf"§ {number}\((\w)\), ([^:]+): (.+?)(?=; §|$)", restated)
        assert references
        for letter, aspect, value in references:
            party, rest = re.match(r"“(\w)”, (.+)", duties[letter]).groups()
            if aspect == words["country"]:
                assert value == parties[party]
            elif aspect == words["month"]:
                assert value in [cldr.name(f"month.{n}", language) for n in range(1, 13)]
            else:
                assert aspect in (words["number"], words["currency"]) and value in rest


def test_a_month_restated_is_the_month_of_the_date():
    for text in documents("law", "en", count=60):
        for letter, month in re.findall(r"\((\w)\), month: (\w+)", text):
            duty = re.search(rf"\({letter}\) (.+?)(?=; \(|\n)", text)[1]
            assert f"{month} " in duty


def test_wrong_choices_come_from_the_other_clauses_first():
    questions = domains.questions("law", "en", "test", 60)
    near = [sum(choice in question.prompt for choice in question.choices) for question in questions]
    assert sum(count >= 2 for count in near) > 0.7 * len(near)


# ---- Mathematics -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_equality_of_a_derivation_holds(language):
    number = phrases(language).categories["number"]
    for text in documents("math", language, count=40):
        for line in text.split("\n"):
            for derivation in line.removeprefix(f"{number}: ").split("; "):
                values = {value_of(side, language) for side in derivation.split(" = ")}
                assert len(values) == 1, line


def value_of(side: str, language: str) -> int:
    if re.fullmatch(r"[\d+*() -]+", side):
        return eval(side)
    return next(number for number in range(1000) if spellout.words(number, language) == side)


def test_columns_show_every_digit_and_carry():
    for text in documents("math", count=80):
        for first, second, columns, total in re.findall(r"number: (\d+) \+ (\d+); (.*); \1 \+ \2 = (\d+)", text):
            sums = [int(step.split(" = ")[1]) for step in columns.split("; ")]
            assert len(sums) == max(len(first), len(second))
            digits = [value % 10 for value in sums[:-1]]
            assert int("".join(map(str, [sums[-1], *reversed(digits)]))) == int(total) == int(first) + int(second)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 999), st.lists(st.integers(-20, 1200), max_size=6), st.integers(0, 10_000))
def test_three_wrong_numbers_are_distinct_wrong_and_in_range(right, known, key):
    wrong = wrong_numbers(Dice(str(key)), right, known, high=999)
    assert len(set(wrong)) == 3 and right not in wrong
    assert all(0 <= value <= 999 for value in wrong)


# ---- General ---------------------------------------------------------------------------------------------------------


def test_worked_out_facts_are_held_out_and_remembered_ones_are_trained():
    """Number words asked in the test appear in no training text of any domain beside their digits."""
    test = {row.cluster.removeprefix("general/") for row in domains.questions("general", "en", "test", 150)}
    train = {row.cluster.removeprefix("general/") for row in domains.questions("general", "en", "train", 400)}
    worked = {fact for fact in test if fact.split("/")[0] in ("ad", "nd", "nw", "so", "wn")}
    assert worked and not worked & train
    assert (test - worked) & train
    numbers = {int(fact.split("/")[1]) for fact in worked if fact[:3] in ("nw/", "wn/")}
    told = "\n".join(documents("general", count=300) + documents("math", count=300))
    pairs = {int(digits) for digits, words in re.findall(r"(\d+) = ([a-z -]+)", told)}
    assert numbers and pairs and not numbers & pairs


def test_general_text_has_questions_lists_and_dates():
    text = "\n".join(documents("general", count=80))
    assert re.search(r"^\w+day, \w+ \d+, \d{4}$", text, re.M)
    assert re.search(r"^country: .+ and .+$", text, re.M)
    assert re.search(r"^Country: .+\. Currency: .+$", text, re.M)


# ---- How the domains differ ------------------------------------------------------------------------------------------


def grams(texts: list[str], order: int = 4) -> set[str]:
    return {text[place : place + order] for text in texts for place in range(len(text) - order + 1)}


def test_each_domain_is_told_from_the_others_by_its_letters():
    """A document's runs of four letters are known from its own domain, and mostly unknown to the others."""
    known = {domain: grams(documents(domain, count=150)) for domain in DOMAINS}
    for domain in DOMAINS:
        seen = grams(documents(domain, count=30, part="test"))
        share = {other: len(seen & known[other]) / len(seen) for other in DOMAINS}
        assert share[domain] > 0.8
        assert all(share[other] < 0.6 for other in DOMAINS if other != domain), share


def test_text_is_neither_empty_of_surprise_nor_noise():
    import lzma

    for domain in DOMAINS:
        whole = "\n\n".join(documents(domain, count=300)).encode()
        bits = 8 * len(lzma.compress(whole)) / len(whole)
        assert 0.7 < bits < 2.5, (domain, bits)


# ---- Dice ------------------------------------------------------------------------------------------------------------


def test_dice_repeat_and_keep_within_bounds():
    assert [Dice("a").below(100), Dice("a").between(3, 9)] == [Dice("a").below(100), Dice("a").between(3, 9)]
    dice = Dice("b")
    drawn = [dice.between(3, 5) for _ in range(300)]
    assert set(drawn) == {3, 4, 5} and min(map(drawn.count, (3, 4, 5))) > 60
    assert sorted(dice.sample(range(6), 6)) == list(range(6))
    assert sum(dice.chance(25) for _ in range(1000)) == pytest.approx(250, abs=60)
