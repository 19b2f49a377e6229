"""Prompts with answers in cells model x preamble, for tests of annotation."""

from paribus.feedback.annotation.design import deal_cells
from paribus.feedback.annotation.schema import PREAMBLES
from paribus.records import Completion, Message, Prompt

MODELS = ("m1", "m2", "m3", "m4", "m5")


def inputs(count: int, dataset: str = "toy", language: str = "en") -> list[Prompt]:
    turns = [(Message(role="user", content=f"Tell me about thing {n}."),) for n in range(count)]
    return [
        Prompt(id=f"p{n}", language=language, messages=turn, meta={"dataset": dataset}) for n, turn in enumerate(turns)
    ]


def outputs(prompts: list[Prompt], per_input: int = 5, seed: int = 0) -> list[Completion]:
    cells = deal_cells([prompt.id for prompt in prompts], MODELS, PREAMBLES, per_input=per_input, seed=seed)
    return [
        Completion(
            id=f"{model}/{prompt.id}@{preamble}",
            prompt_id=prompt.id,
            language=prompt.language,
            model=model,
            text=f"{model} says of {prompt.id} under {preamble} what there is to say.",
            meta={"preamble": preamble},
        )
        for prompt in prompts
        for model, preamble in cells[prompt.id]
    ]
