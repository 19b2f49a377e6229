"""Preambles, who answered under which, and which of several answers is kept."""

import pytest
from annotation_toy import inputs

from paribus.errors import ConfigError, DataError
from paribus.evaluation.readability import dale_chall, lix
from paribus.feedback.annotation.design import Design, deal_cells, make_forms
from paribus.feedback.annotation.preambles import (
    APOLOGIES,
    PREAMBLE_TEXTS,
    apologises,
    is_preambled,
    manipulation_check,
    preambled,
    prompts_by_model,
    restored,
    select,
)
from paribus.feedback.annotation.schema import PREAMBLES
from paribus.feedback.sampling import sample_completions
from paribus.inference.scripted import ScriptedEngine
from paribus.languages import AYA_23
from paribus.records import Completion, Message, Prompt
from paribus.world.graded import PREAMBLES as SHIFTS

EASY = "The cat sat on the mat and it was a very happy cat all day."
HARD = (
    "Photosynthetic organisms metabolise electromagnetic radiation through intricate biochemical intermediaries, "
    "notwithstanding thermodynamic constraints."
)


def answer(number: int, text: str, preamble: str, language: str = "en", model: str = "m") -> Completion:
    return Completion(
        id=f"{model}{number}", prompt_id="p", language=language, model=model, text=text, meta={"preamble": preamble}
    )


def test_one_text_for_each_preamble_of_the_house() -> None:
    assert tuple(PREAMBLE_TEXTS) == PREAMBLES and set(PREAMBLES) == set(SHIFTS)
    assert PREAMBLE_TEXTS["normal"] == "" and all(PREAMBLE_TEXTS[name] for name in PREAMBLES[1:])
    assert set(APOLOGIES) == set(AYA_23)


def test_a_preamble_leads_and_everything_else_stays() -> None:
    prompt = inputs(1)[0]
    firm = preambled(prompt, "assertive_high")
    assert firm.id == "p0@assertive_high" and firm.meta == {
        "dataset": "toy",
        "preamble": "assertive_high",
        "input": "p0",
    }
    assert [turn.role for turn in firm.messages] == ["system", "user"] and firm.messages[1:] == prompt.messages
    plain = preambled(prompt, "normal")
    assert plain.id == "p0@normal" and plain.messages == prompt.messages
    in_turn = preambled(prompt, "complex_low", system=False)
    assert [turn.role for turn in in_turn.messages] == ["user"]
    assert in_turn.messages[0].content == f"{PREAMBLE_TEXTS['complex_low']}\n\n{prompt.text}"
    system = prompt.model_copy(update={"messages": (Message(role="system", content="Be kind."), *prompt.messages)})
    both = preambled(system, "complex_high")
    assert len(both.messages) == 2 and both.messages[0].content.endswith("\n\nBe kind.")
    with pytest.raises(ConfigError, match="'loud'"):
        preambled(prompt, "loud")


def test_who_answered_under_which_preamble_comes_back_exactly() -> None:
    prompts = inputs(10)
    cells = deal_cells([prompt.id for prompt in prompts], ["a", "b"], per_input=3)
    asked = prompts_by_model(prompts, cells)
    given: list[Completion] = []
    for model, rows in asked.items():
        engine = ScriptedEngine(lambda request: f"{request.id} {request.messages[0].content}", name=model)
        given += sample_completions(engine, rows, samples=2, max_tokens=200)
    back = restored(given)
    assert len(back) == 60 and all(is_preambled(row.prompt_id) for row in given)
    for row in back:
        assert (row.model, row.meta["preamble"]) in cells[row.prompt_id]
        assert PREAMBLE_TEXTS[row.meta["preamble"]] in row.text and not is_preambled(row.prompt_id)
    kept = select(back).kept
    assert {(row.prompt_id, row.model, row.meta["preamble"]) for row in kept} == {
        (name, *cell) for name, dealt in cells.items() for cell in dealt
    }
    assert len(make_forms(prompts, kept, Design(passes=("quality",), repeats=0, distractors=0))) == 30
    with pytest.raises(DataError, match="ends in none of"):
        restored(back)
    with pytest.raises(DataError, match="'p0' has no cells"):
        prompts_by_model(prompts, {})


def test_the_hardest_and_the_easiest_answer_are_kept() -> None:
    middle = f"{EASY} {HARD}"
    for preamble, best in (("complex_high", HARD), ("complex_low", EASY)):
        rows = [answer(n, text, preamble) for n, text in enumerate((middle, HARD, EASY, "Photosynthesis."))]
        found = select(rows)
        assert found.kept[0].text == best
        assert (found.candidates, found.disqualified, found.apologies, found.unfit) == (4, 1, 0, ())
    assert dale_chall(EASY) < dale_chall(middle) < dale_chall(HARD)


def test_other_languages_are_ranked_by_lix() -> None:
    easy = "Der Hund ist da und die Katze ist auch da und alle sind froh."
    hard = (
        "Naturwissenschaftliche Erkenntnisse erfordern außerordentliche Beobachtungsgabe, Sorgfalt, Geduld, Ausdauer, "
        "Vorstellungskraft und Bescheidenheit."
    )
    rows = [answer(n, text, "complex_high", "de") for n, text in enumerate((easy, hard))]
    assert select(rows).kept[0].text == hard and lix(hard, "de") > lix(easy, "de")


def test_the_first_answer_without_an_apology_is_kept() -> None:
    rows = [answer(n, text, "assertive_low") for n, text in enumerate(("I’m sorry, no.", "Perhaps so.", "Maybe not."))]
    found = select(rows)
    assert found.kept == (rows[1],) and found.apologies == 1
    assert select([answer(0, "I'm sorry.", "normal"), answer(1, "Yes.", "normal")]).kept[0].text == "I'm sorry."


def test_cells_in_which_nothing_is_fit_keep_the_first_and_are_named() -> None:
    rows = [answer(0, "I'm sorry.", "assertive_high"), answer(1, "I am sorry too.", "assertive_high")]
    rows += [answer(2, "", "complex_low"), answer(3, "Short.", "complex_low")]
    found = select(rows)
    assert found.kept == (rows[0], rows[2])
    assert found.unfit == (("p", "m", "assertive_high"), ("p", "m", "complex_low"))
    assert (found.apologies, found.disqualified) == (2, 2)


def test_apologies_in_any_normal_form_and_no_unknown_language() -> None:
    import unicodedata

    for language, texts in APOLOGIES.items():
        for text in texts:
            assert apologises(unicodedata.normalize("NFD", f"... {text} ..."), language)
    assert not apologises("Paris is the capital of France.", "en")
    with pytest.raises(ConfigError, match="'sw'"):
        apologises("Samahani.", "sw")


def test_the_manipulation_check_shows_what_the_preambles_did() -> None:
    prompts = [Prompt(id=f"p{n}", language="en", messages=(Message(role="user", content="?"),)) for n in range(8)]
    rows = [
        answer(n, text, preamble, model=preamble).model_copy(update={"prompt_id": f"p{n}", "id": f"{preamble}{n}"})
        for n in range(8)
        for preamble, text in (("complex_low", EASY), ("complex_high", HARD if n else ""))
    ]
    found = {(row.measure, row.language, row.group): row.interval for row in manipulation_check(prompts, rows)}
    low, high = (found["flesch_kincaid", "en", name] for name in ("complex_low", "complex_high"))
    assert low.estimate < high.estimate and (low.n, high.n) == (8, 7)
    assert found["wordless", "en", "complex_high"].estimate == pytest.approx(1 / 8)
