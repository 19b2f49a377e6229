"""Files from outside as stage inputs: identified by what they hold, wherever they lie."""

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from paribus.errors import DataError
from paribus.lab.context import current
from paribus.lab.manifest import hash_file
from paribus.lab.stages import Handle, stage


class FileConfig(BaseModel):
    """A file by name and content; the folder it lies in is not part of what it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str


@stage(version="1", name="file")
def copy_file(config: FileConfig, *, out: Path) -> None:
    """Copy the file into the store, if it still holds what it held when the study was planned."""
    source = Path(current().hints["path"])
    shutil.copyfile(source, out / config.name)
    if hash_file(out / config.name) != config.sha256:
        raise DataError(f"{source} changed after the study was planned; plan and run it again.")


def file_input(path: Path | str, *, label: str = "file") -> Handle:
    """A handle for a file; its artifact holds the file under its own name. Raises ``DataError`` if unreadable."""
    source = Path(path).absolute()
    if not source.is_file():
        raise DataError(f"{source} is not a readable file; give the path of one.")
    return copy_file(FileConfig(name=source.name, sha256=hash_file(source)), label=label, hints={"path": str(source)})
