"""From a template and plain values to the bytes of one self-contained page.

The page holds no script and asks for nothing: a content security policy forbids both, so text written by a model could
not run even if it slipped past the escaping.
"""

import os
import re
import tempfile
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.errors import StoreError
from paribus.report.formatting import show_plain

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

# What HTML forbids or a file cannot encode: C0 controls (but tab and line ends), DEL and C1, surrogates, noncharacters.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_UNWRITABLE = re.compile("[\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def render_page(template: str, **values: Any) -> str:
    """The whole page as text. The same values give the same text, byte for byte."""
    from markupsafe import Markup

    import paribus

    style = Markup(files("paribus.report").joinpath("templates/style.css").read_text(encoding="utf-8"))
    version = getattr(paribus, "__version__", "")
    return clean(_environment().get_template(template).render(style=style, version=version, **values))


def clean(text: str) -> str:
    """Control characters become their visible pictures (U+2400 ...); what cannot be written becomes U+FFFD."""
    return _UNWRITABLE.sub("\ufffd", _CONTROLS.sub(lambda match: chr(0x2400 + ord(match[0])), text))


def breakable(text: str) -> "Markup":
    """Escaped text in which a name like ``merge_linear.weight`` may be broken after its joints rather than anywhere."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([_./])(?=[^\W\d_]{2})", r"\1<wbr>", str(escape(text))))


def write_page(text: str, path: Path) -> Path:
    """Write the page whole or not at all (temporary file beside it, fsync, rename); makes missing folders.

    Raises ``StoreError`` where that is not possible.
    """
    try:
        return _write_page(text, path)
    except OSError as error:
        raise StoreError(
            f"The page {path} cannot be written ({error}); free its place, or use another store."
        ) from error


def _write_page(text: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def anchor(prefix: str, text: str) -> str:
    """A fragment name from free text: ``panel-win-rate``. Text that is not its own slug gets a digest as well."""
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if slug == text:
        return f"{prefix}-{slug}"
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return "-".join(part for part in (prefix, slug, digest) if part)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("paribus.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["plain"] = show_plain
    made.filters["breakable"] = breakable
    return made
