"""Toy prompts, answers and claims about them: an answer such as ``"1 0 1"`` is right in its parts 1 and 3."""

import random
from collections.abc import Sequence

from paribus.feedback.critiques import Stated, Voice
from paribus.records import Completion, Message, PreferencePair, Prompt


def asked(number: int, language: str = "en", **meta: object) -> Prompt:
    turn = Message(role="user", content=f"question {number} in {language}")
    return Prompt(id=f"q{number}/{language}", language=language, messages=(turn,), meta=dict(meta))


def said(prompt: Prompt, text: str, name: str = "a", **fields: object) -> Completion:
    row = {"id": f"{prompt.id}#{name}", "prompt_id": prompt.id, "language": prompt.language, "model": "m"}
    return Completion(**{**row, "text": text, **fields})


def claims(prompt: Prompt, text: str) -> list[Stated]:
    """A part is right where it says 1; short answers are concise."""
    parts = [Stated("correctness", str(place), word == "1") for place, word in enumerate(text.split(), start=1)]
    return [*parts, Stated("style", "length", len(parts) < 5)] if parts else []


def sentence(claim: Stated, language: str, dice: random.Random) -> str:
    return dice.choice(["{} is {}", "see {}: {}", "I find {} {}"]).format(
        claim.target, "fine" if claim.holds else "bad"
    )


VOICE = Voice(sentence, lambda language: "; ")


def pair(number: int, chosen: str, rejected: str, language: str = "en", **meta: object) -> PreferencePair:
    prompt = asked(number, language)
    return PreferencePair(
        id=f"p{number}/{language}",
        prompt_id=prompt.id,
        language=language,
        prompt=prompt.messages,
        chosen=chosen,
        rejected=rejected,
        meta=meta,
    )


def many_answers(count: int, parts: int = 6, seed: int = 0) -> tuple[list[Prompt], list[Completion]]:
    """One random answer to each of ``count`` prompts."""
    dice = random.Random(seed)
    prompts = [asked(number) for number in range(count)]
    texts = [" ".join(dice.choice("01") for _ in range(parts)) for _ in range(count)]
    return prompts, [said(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]


def two_each(count: int, languages: Sequence[str] = ("en", "de")) -> list[PreferencePair]:
    """Pairs in several languages, each on a prompt of its own."""
    return [pair(number, f"1 1 {number}", f"0 1 {number}", code) for number in range(count) for code in languages]
