"""Critics of known accuracy are measured as such, by a reader and claim by claim, on the graded world."""

from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from reward_cases import pair

from paribus.errors import DataError
from paribus.evaluation.benchmark_quality import rank_correlation
from paribus.evaluation.critic_quality import check_claims, claim_reader, reading_outcomes
from paribus.evaluation.items import summarise
from paribus.evaluation.reward_models import sides
from paribus.records import Completion, Critique, Message, Prompt


@dataclass(frozen=True)
class Claim:
    aspect: str
    target: str
    holds: bool


def read(text: str, language: str) -> list[Claim]:
    """``"correctness/1+ style/length-"``: two claims."""
    words = [word for word in text.split() if "/" in word]
    return [Claim(*word[:-1].split("/"), word[-1] == "+") for word in words]


def critique(text: str, prompt_id: str = "prompt0", critic: str = "c") -> Critique:
    return Critique(prompt_id=prompt_id, completion_id="x", critic=critic, text=text)


def test_the_reader_weighs_aspects_in_their_order() -> None:
    reader = claim_reader(read)
    all_style = " ".join(f"style/{n}+" for n in range(5))
    assert reader("correctness/1+ style/length-", "de") > reader(f"correctness/1- {all_style}", "de")
    assert reader("instruction/format+", "de") > reader(all_style, "de") > reader("nothing to say", "de") == 0.0
    assert reader("unknown/x+", "de") == 0.0


def test_preferences_of_a_reader() -> None:
    pairs = [pair(n, "a", "b") for n in range(3)]
    chosen = [critique("correctness/1+", "prompt0"), critique("", "prompt1"), critique("style/x-", "prompt2")]
    rejected = [critique("correctness/1-", "prompt0"), critique("fine", "prompt1"), critique("style/x+", "prompt2")]
    found = reading_outcomes(pairs, chosen, rejected, claim_reader(read))
    assert found.value.tolist() == [1.0, 0.5, 0.0] and found.tied == 1 and found.by == "reader of c"
    with pytest.raises(DataError, match="on the prompt 'prompt1', not 'prompt0'"):
        reading_outcomes(pairs, [chosen[1], chosen[0], chosen[2]], rejected, claim_reader(read))
    with pytest.raises(DataError, match="2 critics"):
        reading_outcomes(pairs, chosen, [critique("", f"prompt{n}", "d") for n in range(3)], claim_reader(read))
    with pytest.raises(DataError, match="one critique for every answer"):
        reading_outcomes(pairs, chosen[:2], rejected, claim_reader(read))


def test_claims_by_hand() -> None:
    prompt = Prompt(id="prompt0", language="de", messages=(Message(role="user", content="?"),))
    answer = Completion(id="a", prompt_id="prompt0", language="de", model="m", text="t")
    said = "correctness/1+ correctness/2+ style/length- style/length+ taste/x+"
    truth = [Claim("correctness", "1", True), Claim("correctness", "2", False), Claim("style", "length", False)]
    more = [*truth, Claim("instruction", "format", True)]
    found = check_claims([prompt], [answer], [critique(said)], read, lambda prompt, text: more)
    assert (found.unknown, found.repeated) == (1, 1)
    cells = {(row.measure, row.group): row.interval.estimate for row in summarise(found.rows, resamples=100)}
    assert cells["claim_accuracy", "correctness"] == 0.5 and cells["claim_accuracy", "style"] == 1.0
    assert cells["claim_recall", "instruction"] == 0.0 and cells["claim_recall", "all"] == 0.75
    assert ("claim_accuracy", "instruction") not in cells
    with pytest.raises(DataError, match="one to one"):
        check_claims([prompt], [answer], [], read, lambda prompt, text: more)


def test_graded_critics_of_known_accuracy() -> None:
    from paribus.world.graded import GradedConfig, GradedWorld, claims_about, draw_pair, say, to_pair
    from paribus.world.graded import read as read_graded

    world = GradedWorld(GradedConfig(languages=("de", "fr")))
    random = Random(0)
    requests = world.requests("test")[:80]
    prompts = {request.id: request.to_prompt() for request in requests}
    pairs = [to_pair(request, f"p{n}", *draw_pair(world, request, random)) for n, request in enumerate(requests)]
    _, chosen, rejected = sides(pairs)

    def critiques(rows: list[Completion], q: float) -> list[Critique]:
        found = []
        for row in rows:
            claims = claims_about(prompts[row.prompt_id], row.text)
            said = [claim if random.random() < q else claim.flipped() for claim in claims]
            text = " ".join(say(claim, row.language, random) for claim in said)
            found.append(Critique(prompt_id=row.prompt_id, completion_id=row.id, critic=f"q={q}", text=text))
        return found

    quality, accuracy = {}, {}
    for q in (1.0, 0.8, 0.5):
        left, right = critiques(chosen, q), critiques(rejected, q)
        accuracy[f"{q}"] = reading_outcomes(pairs, left, right, claim_reader(read_graded)).value.mean()
        asked = [prompts[row.prompt_id] for row in chosen]
        check = check_claims(asked, chosen, left, read_graded, claims_about)
        quality[f"{q}"] = np.mean([row.value for row in check.rows if row.measure == "claim_accuracy"])
        assert quality[f"{q}"] == pytest.approx(q, abs=0.06) and check.unknown == 0
        assert all(row.value == 1.0 for row in check.rows if row.measure == "claim_recall")
    assert accuracy["1.0"] > 0.98 and accuracy["1.0"] > accuracy["0.8"] > accuracy["0.5"]
    assert accuracy["0.5"] == pytest.approx(0.5, abs=0.15) and rank_correlation(quality, accuracy) == 1.0
