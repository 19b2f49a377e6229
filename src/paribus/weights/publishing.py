"""A model directory that is there whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from paribus.errors import ConfigError


class published:
    """A fresh directory beside ``out`` that takes its name when all is written, and vanishes on an error.

    Safe against a killed process: ``out`` holds a whole model or is as it was. Not fsynced: against power loss it is
    as safe as the file system.
    """

    def __init__(self, out: Path) -> None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"{out} is not an empty directory; name a new one, or remove what is there.")
        self.out, self.partial = out, out.with_name(f".{out.name}.{os.getpid()}.partial")

    def __enter__(self) -> Path:
        self.partial.mkdir(parents=True)
        return self.partial

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.partial.replace(self.out)
        else:
            shutil.rmtree(self.partial, ignore_errors=True)
