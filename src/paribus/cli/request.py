"""What the study commands have in common: which study, at which scale and settings, in which store."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.lab import Plan, Settings, Study, StudyResult

StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study of `paribus list`, or your own as module:NAME.")
]
Scale = Annotated[str, typer.Option(help="smoke, pocket, desk or full: the same study at another size.")]
StoreFolder = Annotated[
    Path, typer.Option("--store", envvar="PARIBUS_STORE", help="The folder that keeps what is built.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Stages at work at once.", show_default="one for each core")]
SeedCount = Annotated[
    int | None, typer.Option(min=1, help="Run seeds 0 to K-1.", metavar="K", show_default="as the scale says")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change one setting; may be given again.")
]

DEFAULT_SCALE = "pocket"
DEFAULT_STORE = Path("paribus-store")


@dataclass(frozen=True)
class Request:
    """A study with settings, as the command line names them."""

    name: str
    scale: str
    store: Path
    seed_count: int | None = None
    changes: Sequence[str] = ()

    @cached_property
    def study(self) -> "Study":
        """The study itself. Raises ``ConfigError`` if it is unknown or not built yet."""
        from paribus.lab.loading import load_study
        from paribus.studies.catalogue import load

        return load_study(self.name) if ":" in self.name else load(self.name)

    @property
    def overrides(self) -> list[str]:
        """Everything that ``--set`` and ``--seed-count`` change, as ``a.b=c`` texts."""
        if self.seed_count is None:
            return list(self.changes)
        if any(text.partition("=")[0].strip() == "seeds" for text in self.changes):
            raise ConfigError("--seed-count and --set seeds=... both choose the seeds; give only one of them.")
        return [*self.changes, f"seeds={list(range(self.seed_count))}"]

    @property
    def settings(self) -> "Settings":
        """The study's settings. Raises ``ConfigError`` naming the nearest scale or field."""
        return self.study.at(self.scale, self.overrides)

    def plan(self) -> "Plan":
        """The checked graph; nothing runs."""
        return self.study.plan(self.settings)

    def rerun(self, result: "StudyResult") -> str:
        """The command line that gives this result again in any store, however its settings were asked for."""
        from pydantic import ValidationError

        command = ["paribus", "run", self.name, "--scale", result.scale]
        try:
            texts = self.study.settings.model_validate(result.settings).overrides()
        except ValidationError:
            return f"{shlex.join(command)}  # with the version of the study that was run: this one has other settings"
        return shlex.join([*command, *(word for text in texts for word in ("--set", text))])
