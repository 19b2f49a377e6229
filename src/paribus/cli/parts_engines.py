"""Who answers: a model in this process or one behind an address, opened from the same options."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.inference.endpoint_limits import Estimate
    from paribus.inference.engine import GenerationRequest

Endpoint = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Ask this OpenAI-compatible server, for the model of that name.", show_default="none"
    ),
]
ApiKeyVariable = Annotated[
    str, typer.Option(metavar="NAME", help="Environment variable with the server's key (never the key itself).")
]
Concurrency = Annotated[int, typer.Option(min=1, help="Requests to the server at once.")]
Prices = Annotated[
    str,
    typer.Option(metavar="IN,OUT", help="The server's prices for a million tokens read and written, such as 0.5,1.5."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be asked and at most cost; ask nothing, make no file.")
]
PriceCap = Annotated[float | None, typer.Option(help="Stop before the price exceeds this (needs --prices).")]


@dataclass(frozen=True)
class EngineChoice:
    """What the options say about the engine. ``model`` is a folder, a hub id, or the served model's name.

    ``no_chat``: a tokenizer in this process that has no chat template gives its model the bare text.
    """

    model: str
    name: str
    endpoint: str | None = None
    api_key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 8
    prices: str = ""
    price_cap: float | None = None
    device: str = "cpu"
    dtype: str = "auto"
    no_chat: bool = False

    @property
    def identity(self) -> dict[str, str]:
        """What decides the answers: the model's weights, or the server and its model."""
        from paribus.cli.parts_record import model_identity

        return {"name": self.model, "endpoint": self.endpoint} if self.endpoint else model_identity(self.model)

    def open(self, cache: Path, progress: Callable[[int, int], None] | None = None) -> Any:
        """The engine; answers of a server are kept in the SQLite file ``cache`` until the command is through."""
        if self.endpoint is None:
            return self._local(progress)
        from paribus.inference.endpoint import EndpointEngine

        return EndpointEngine(
            self.endpoint,
            self.model,
            name=self.name,
            api_key_variable=self.api_key_variable,
            cache=cache,
            concurrency=self.concurrency,
            prices=price_table(self.prices),
            price_cap=self.price_cap,
            progress=progress,
        )

    def estimate(self, requests: Sequence["GenerationRequest"], cache: Path) -> "Estimate":
        """What ``requests`` would take beyond the answers in ``cache``; a model in this process is not even loaded."""
        from paribus.inference.endpoint import most_read
        from paribus.inference.endpoint_limits import Estimate

        if self.endpoint is not None:
            found: Estimate = self.open(cache).estimate(requests)
            return found
        read, written = sum(most_read(row.messages) for row in requests), sum(row.max_tokens for row in requests)
        return Estimate(len(requests), len(requests), 0, read, written, None)

    def _local(self, progress: Callable[[int, int], None] | None) -> Any:
        from paribus.inference.local import LocalEngine
        from paribus.models.load import load_causal, load_tokenizer

        network = load_causal(self.model, dtype=self.dtype, device=self.device)
        vocabulary = load_tokenizer(self.model, model=network)
        if self.no_chat:
            from paribus.testbeds.incontext.textual import chat_without_marks

            chat_without_marks(vocabulary)
        return LocalEngine(network, vocabulary, name=self.name, progress=progress)


def name_of(model: str, name: str | None) -> str:
    """How a model is called in records: as asked, else the folder's own name or the hub id."""
    if name is not None and name.strip():
        return name.strip()
    return Path(model).resolve().name if Path(model).is_dir() else model


def price_table(text: str) -> Any:
    """``"0.5,1.5"`` as prices of a million tokens read and written; None for an empty text. Raises ``ConfigError``."""
    from paribus.inference.endpoint_limits import Prices as Table

    if not text:
        return None
    try:
        read, written = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--prices is {text!r}; give two numbers, such as 0.5,1.5 (a million tokens).") from None
    return Table(read, written)


def cache_beside(out: Path) -> Path:
    """Where a command keeps a server's answers until its output is whole."""
    return out.with_name(f"{out.name}.requests.sqlite")


def foresee(choice: EngineChoice, requests: Sequence["GenerationRequest"], out: Path) -> None:
    """Print what a command that writes ``out`` would ask and at most cost, going on where an earlier run stopped."""
    from paribus.cli.parts_progress import print_table

    found = choice.estimate(requests, cache_beside(out))
    price = "–" if found.price is None else f"{found.price:.2f}"
    bounds = [found.prompt_tokens, found.completion_tokens]
    columns = ["", "requests", "kept", "to ask", "tokens read (at most)", "tokens written (at most)", "price (at most)"]
    row = [choice.name, found.requests, found.cached, found.calls, *bounds, price]
    print_table("What would be asked", columns, [row])


def cost_of(engine: Any, rows: list[Any]) -> dict[str, Any]:
    """What answering took: calls, generated tokens, and for a server what it counted and charged."""
    from dataclasses import asdict

    usage = getattr(engine, "usage", None)
    spent = {"usage": asdict(usage)} if usage is not None else {}
    return {"calls": len(rows), "generated_tokens": sum(getattr(row, "tokens", None) or 0 for row in rows), **spent}
