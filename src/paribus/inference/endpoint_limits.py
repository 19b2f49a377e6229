"""What a served model may cost: the pace of requests and tokens, and the money, with a cap that is never crossed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Prices:
    """Price of a million tokens, in any one currency."""

    input_per_million: float
    output_per_million: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Price of one call."""
        return (prompt_tokens * self.input_per_million + completion_tokens * self.output_per_million) / 1e6


@dataclass(frozen=True)
class Usage:
    """What an engine used so far. ``calls`` are HTTP requests (retries included), ``cache_hits`` requests answered
    without one (kept answers, and equal requests of one call). Tokens are as the server reports them; ``price`` counts
    a call whose outcome is unknown (a timeout, say) at the most it can have cost. ``faults`` counts the calls that
    failed, whether another attempt mended them or not, by their kind of ``Failure``."""

    calls: int = 0
    retries: int = 0
    cache_hits: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    price: float = 0.0
    faults: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Estimate:
    """What ``requests`` would take: ``calls`` to the server, the rest being ``cached`` or equal to another one.

    Tokens and price are bounds for the calls, each made once (a retry may be charged again, and a price cap counts it).
    ``price`` is None where none is known.
    """

    requests: int
    calls: int
    cached: int
    prompt_tokens: int
    completion_tokens: int
    price: float | None


class Meter:
    """Counts usage from many threads, and lets a call start only if it cannot lead over the cap."""

    def __init__(self, prices: Prices, cap: float | None) -> None:
        self.prices, self.cap = prices, cap
        self._usage = Usage()
        self._held: list[float] = []  # the most that each call under way can cost
        self._changed = threading.Condition()

    @property
    def usage(self) -> Usage:
        """What was used up to now."""
        with self._changed:
            return self._usage

    def add(self, *, retries: int = 0, cache_hits: int = 0, fault: str | None = None) -> None:
        """Count what costs nothing."""
        with self._changed:
            faults = self._usage.faults
            self._usage = replace(
                self._usage,
                faults=faults if fault is None else {**faults, fault: faults.get(fault, 0) + 1},
                retries=self._usage.retries + retries,
                cache_hits=self._usage.cache_hits + cache_hits,
            )

    def start(self, most: float) -> bool:
        """Hold ``most`` for a call about to be sent; False if that could cross the cap.

        Waits while calls under way may still turn out cheaper than what is held for them.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._fits(most) or not self._held)
            if not self._fits(most):
                return False
            self._held.append(most)
            return True

    def settle(self, most: float, *, prompt_tokens: int = 0, completion_tokens: int = 0, price: float | None) -> None:
        """Replace what was held for a call by what it cost; ``price`` None: as its tokens say."""
        cost = self.prices.of(prompt_tokens, completion_tokens) if price is None else price
        with self._changed:
            self._held.remove(most)
            self._usage = replace(
                self._usage,
                calls=self._usage.calls + 1,
                prompt_tokens=self._usage.prompt_tokens + prompt_tokens,
                completion_tokens=self._usage.completion_tokens + completion_tokens,
                price=self._usage.price + cost,
            )
            self._changed.notify_all()

    def _fits(self, most: float) -> bool:
        return self.cap is None or self._usage.price + sum(self._held) + most <= self.cap


class Pace:
    """At most ``per_minute`` units a minute, evenly spaced; None is no limit."""

    def __init__(self, per_minute: float | None, clock: Callable[[], float]) -> None:
        self._seconds = 0.0 if per_minute is None else 60.0 / per_minute
        self._clock = clock
        self._free_at = 0.0
        self._lock = threading.Lock()

    def take(self, units: float) -> float:
        """Book ``units`` at the next free moment; the seconds to wait until then."""
        with self._lock:
            now = self._clock()
            start = max(now, self._free_at)
            self._free_at = start + units * self._seconds
            return start - now

    def give_back(self, units: float) -> None:
        """Free what was booked and not used (negative: more was used)."""
        with self._lock:
            self._free_at -= units * self._seconds
