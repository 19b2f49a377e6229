"""A readable sample of the world, for people who proofread its languages: ``python -m paribus.world.review``.

Each language gets, for every task, a few questions with their answers, then one of each planted bad answer.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence

from paribus.errors import DataError
from paribus.languages import AYA_23, get
from paribus.world.corruptions import CORRUPTIONS, corrupt
from paribus.world.families import FAMILIES
from paribus.world.world import Item, World, WorldConfig


def sample(languages: Sequence[str] = AYA_23, *, per_task: int = 2, seed: int = 0) -> str:
    """Return a Markdown sample: ``per_task`` items per language and task, each through another template."""
    world = World(WorldConfig(languages=tuple(languages), seed=seed, held_out_templates=0, max_items_per_cell=120))
    lines = ["# A sample of the world", "", f"Seed {seed}. Question => answer; bad answers below each language.", ""]
    for code in world.languages:
        lines += [*_language(world, code, per_task, random.Random(f"{seed}|{code}")), ""]
    return "\n".join(lines)


def _language(world: World, code: str, per_task: int, rng: random.Random) -> Iterator[str]:
    language = get(code)
    yield f"## {language.name} ({code}, {language.autonym}, {language.direction})"
    for task in world.config.tasks:
        items = world.items("train", languages=(code,), tasks=(task,))
        for template in range(per_task):
            item = rng.choice([item for item in items if item.template == template % 3])
            yield f"- {task} ({FAMILIES[task].title}): {item.prompt} => **{item.answer}**"
    yield from _bad_answers(world, rng.choice(world.items("train", languages=(code,), tasks=("nw",))), rng)
    yield from _bad_answers(world, rng.choice(world.items("train", languages=(code,), tasks=("so",))), rng)


def _bad_answers(world: World, item: Item, rng: random.Random) -> Iterator[str]:
    yield f"- bad answers to: {item.prompt} => **{item.answer}**"
    for kind in CORRUPTIONS:
        try:
            yield f"  - {kind}: {corrupt(world, item, kind, rng)}"
        except DataError:
            yield f"  - {kind}: (none in this world)"


if __name__ == "__main__":
    sys.stdout.write(sample() + "\n")
