"""What every engine takes and gives: requests in, replies in the order of the requests out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from paribus.errors import EngineError
from paribus.records import Message

Failure = Literal["timeout", "connection", "rate_limit", "server_error", "bad_body", "rejected", "refused", "empty"]
"""Why a request failed: no answer in time; no connection, or a broken one; 429; 5xx; an answer that is not what was
asked for (no JSON, fields missing); another 4xx; withheld by the server's content filter; a finished answer without a
text. Only engines that ask servers fail so."""


class GenerationRequest(BaseModel):
    """One completion wanted. ``temperature`` 0 is greedy; ``seed`` and ``id`` together fix the random numbers, so the
    same request gets the same answer in any batch; samples of one prompt differ by ``id`` (or by ``seed``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    messages: tuple[Message, ...] = Field(min_length=1)
    max_tokens: int = Field(default=64, ge=1)
    temperature: float = Field(default=0.0, ge=0.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    seed: int = 0


class Reply(BaseModel):
    """What came back. ``tokens`` counts generated tokens, the stop token included; ``logprob`` is their summed natural
    log-probability under the model at temperature 1 (None where the engine cannot know it). A request that failed has
    ``finish="error"`` and says why in ``error``, for a program in ``failure``; the others of the call are not lost with
    it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: str
    text: str
    tokens: int
    finish: Literal["stop", "length", "error"]
    logprob: float | None = None
    error: str | None = None
    failure: Failure | None = None


class ScoreRequest(BaseModel):
    """Ask how likely ``completion`` is as the assistant's answer to ``messages``, end of turn included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    messages: tuple[Message, ...] = Field(min_length=1)
    completion: str


class Score(BaseModel):
    """Summed natural log-probability of the completion's ``tokens`` tokens; the prompt's tokens never count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: str
    logprob: float
    tokens: int


@runtime_checkable
class Engine(Protocol):
    """Anything that answers. Both methods return one answer for each request, in the order of the requests."""

    @property
    def name(self) -> str: ...

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Reply]: ...

    def logprobs(self, requests: Sequence[ScoreRequest]) -> list[Score]: ...


def check_distinct(ids: Iterable[str]) -> None:
    """Raise ``EngineError`` if an id occurs twice: two requests of one id would draw the same random numbers."""
    seen: set[str] = set()
    for request_id in ids:
        if request_id in seen:
            raise EngineError(
                f"Request id {request_id!r} occurs twice in one call; give each request (and each sample) its own id."
            )
        seen.add(request_id)
