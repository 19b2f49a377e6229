"""The ten studies: name, question, paper, and the module that builds each (``None`` while it is not built yet).

Kept free of imports of the studies themselves, so that ``paribus list`` answers at once.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.lab.study import Study


@dataclass(frozen=True)
class Entry:
    """One line of ``paribus list``."""

    name: str
    question: str
    paper: str
    module: str | None = None

    @property
    def built(self) -> bool:
        """Whether the study can be run."""
        return self.module is not None


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        "aya-101",
        "Which sources, weights and prunings of an instruction mixture serve a hundred languages?",
        "Aya Model (arXiv 2402.07827)",
    ),
    Entry(
        "aya-23",
        "What is gained when breadth is given up: fewer languages on a stronger base?",
        "Aya 23 (arXiv 2405.15032)",
    ),
    Entry(
        "aya-expanse",
        "How much do data arbitrage, merging and preference training each give, in which language, at what cost?",
        "Aya Expanse (arXiv 2412.04261)",
        "paribus.studies.aya_expanse",
    ),
    Entry(
        "bam",
        "When dense experts become one mixture, what do their attention layers add to their feed-forward layers?",
        "BAM! Branch-Attend-Mix (arXiv 2408.08274)",
        "paribus.studies.bam",
    ),
    Entry(
        "separations",
        "Which tasks can a small Transformer represent and a small recurrent model not, and the other way round?",
        "Separations of Transformers and Recurrent Architectures (arXiv 2406.09347)",
        "paribus.studies.separations",
    ),
    Entry(
        "icl-discrete",
        "Which discrete functions are learned in context, by which architecture, and how close to the best learner?",
        "In-Context Learning of Discrete Functions (arXiv 2310.03016)",
        "paribus.studies.icl_discrete",
    ),
    Entry(
        "reward-critiques",
        "How many preference pairs is a written critique worth to a reward model?",
        "Improving Reward Models with Synthetic Critiques (arXiv 2405.20850)",
        "paribus.studies.reward_critiques",
    ),
    Entry(
        "human-feedback",
        "What does a preference score measure, and which errors does assertive text hide?",
        "Human Feedback is not Gold Standard (arXiv 2309.16349)",
        "paribus.studies.human_feedback",
    ),
    Entry(
        "structural-transfer",
        "Which structure carries over from an upstream task to natural-language-to-Bash?",
        "Structural Transfer Learning in NL-to-Bash (arXiv 2307.16795)",
    ),
    Entry(
        "scientific-debt",
        "Does BERT still win over ELMo and GPT-1 when data, size and tuning are equal?",
        'On "Scientific Debt" in NLP (arXiv 2306.02870)',
    ),
)


def entry(name: str) -> Entry:
    """The catalogue entry of a study. Raises ``ConfigError`` for an unknown name, with the nearest one."""
    for candidate in CATALOGUE:
        if candidate.name == name.replace("_", "-"):
            return candidate
    names = [candidate.name for candidate in CATALOGUE]
    near = get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"There is no study named {name!r}.{hint} `paribus list` shows the ten studies.")


def load(name: str) -> "Study":
    """Import and return a study. Raises ``ConfigError`` when it is unknown or not built yet."""
    found = entry(name)
    if found.module is None:
        raise ConfigError(
            f"The study {found.name!r} is not built yet; `paribus list` shows which ones can be run "
            f"({', '.join(e.name for e in CATALOGUE if e.built)})."
        )
    study: Study = import_module(found.module).STUDY
    return study
