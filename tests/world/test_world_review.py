"""The sample for proofreaders: complete, reproducible, and made without heavy imports."""

import subprocess
import sys

from paribus.world import CORRUPTIONS
from paribus.world.review import sample


def test_the_sample_shows_every_task_and_corruption() -> None:
    text = sample(("en", "he", "ko"), per_task=2)
    assert text == sample(("en", "he", "ko"), per_task=2)
    assert "## Hebrew (he, עברית, rtl)" in text
    for line in ("- so (sort and join): ", "- wn (words to number): "):
        assert text.count(line) == 6
    assert all(f"  - {kind}: " in text for kind in CORRUPTIONS)


def test_importing_the_world_is_light() -> None:
    heavy = "{'torch', 'transformers', 'pandas', 'scipy', 'sklearn', 'pyarrow', 'datasets'}"
    code = f"import sys, paribus.world, paribus.world.world; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
