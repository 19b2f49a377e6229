"""The ledger: what ran, what it cost, what was measured, and what became of each claim. One SQLite file per store.

The artifacts' manifests are the truth about artifacts; the ledger remembers what they cannot: runs, failures, which
address each label had last, and results. Only runners write it, in batches; any number of them may do so at once
(WAL).
"""

import contextlib
import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from paribus.lab.budget import CURRENCIES, Cost
from paribus.lab.manifest import Manifest
from paribus.lab.redact import redact, secret_values
from paribus.lab.results import StudyResult
from paribus.lab.space import ledger_error

FLUSH_SECONDS = 1.0
FLUSH_ROWS = 200
BUSY_SECONDS = 30.0

_SCHEMA = f"""
create table if not exists runs (id text primary key, study text, scale text, settings text, command text, host text,
  started real, ended real, state text);
create table if not exists labels (study text, scale text, arm text, seed integer, label text, address text, run text,
  time real, primary key (study, scale, arm, seed, label));
create table if not exists stages (address text primary key, stage text, version text, function text, seed integer,
  config text, state text, error text, seconds real, run text, time real, attempts integer default 0);
create table if not exists costs (address text, kind text, {", ".join(f"{name} real" for name in CURRENCIES)},
  primary key (address, kind));
create table if not exists calls (address text, engine text, calls real, counts text, primary key (address, engine));
create table if not exists measures (study text, scale text, arm text, measure text, language text, value real,
  low real, high real, level real, n integer, run text, primary key (study, scale, arm, measure, language));
create table if not exists claims (study text, scale text, claim text, sentence text, source text, verdict text,
  contrasts text, note text, run text, time real, primary key (study, scale, claim));
create table if not exists results (study text, scale text, result text, run text, time real,
  primary key (study, scale));
"""

Row = tuple[Any, ...]


class Ledger:
    """An open ledger; as a context manager it flushes and closes. Every SQLite failure is a ``StoreError``."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._pending: list[tuple[str, Row]] = []
        self._flushed = time.monotonic()
        with self._guarded():
            self._db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._db.execute("pragma synchronous = normal")
            if not read_only:
                self._prepare()

    def _prepare(self) -> None:
        # The change to WAL ignores the busy timeout, so two runners that open a new ledger at once must ask again.
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._db.execute("pragma journal_mode = wal")
                self._db.executescript(_SCHEMA)
                self._add_new_currencies()
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _add_new_currencies(self) -> None:
        """A ledger written before a currency was known gets its column; what it holds stays."""
        known = {row["name"] for row in self._db.execute("pragma table_info(costs)")}
        for name in (name for name in CURRENCIES if name not in known):
            try:
                self._db.execute(f"alter table costs add column {name} real default 0")
            except sqlite3.OperationalError as error:
                if "duplicate column" not in str(error):  # another runner has just added it
                    raise

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ledger_error(self.path, error) from error

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            self._db.close()

    # ---- writing ----------------------------------------------------------------------------------------------------

    def _write(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        secrets = secret_values()
        self._pending.extend((statement, tuple(_clean(value, secrets) for value in row)) for row in rows)
        if len(self._pending) >= FLUSH_ROWS or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered, in one transaction."""
        self._flushed = time.monotonic()
        if not self._pending:
            return
        with self._guarded():
            self._db.execute("begin immediate")
            try:
                for statement, row in self._pending:
                    self._db.execute(statement, row)
                self._db.execute("commit")
            except BaseException:  # also Ctrl-C: an open transaction would lock every other run out
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("rollback")
                raise
        self._pending.clear()

    def start_run(self, study: str, scale: str, settings: Mapping[str, Any], command: str, host: str) -> str:
        """A new run; returns its id."""
        run = uuid.uuid4().hex[:12]
        row = (run, study, scale, json.dumps(settings, default=str), command, host, time.time(), None, "running")
        self._write("insert into runs values (?,?,?,?,?,?,?,?,?)", [row])
        return run

    def end_run(self, run: str, state: str) -> None:
        """How a run ended: done, failed or stopped."""
        self._write("update runs set ended = ?, state = ? where id = ?", [(time.time(), state, run)])

    def record_labels(self, run: str, study: str, scale: str, rows: Iterable[tuple[str, int, str, str]]) -> None:
        """Which address each (arm, seed, label) has in this run; rows are (arm, seed, label, address)."""
        now = time.time()
        full = [(study, scale, arm, seed, label, address, run, now) for arm, seed, label, address in rows]
        self._write("insert or replace into labels values (?,?,?,?,?,?,?,?)", full)

    def record_state(self, address: str, stage: str, seed: int | None, state: str, run: str, error: str = "") -> None:
        """A stage was started, failed or blocked; ``attempts`` counts the starts."""
        row = (address, stage, seed, state, error, run, time.time(), int(state == "running"))
        self._write(
            "insert into stages (address, stage, seed, state, error, run, time, attempts) values (?,?,?,?,?,?,?,?) "
            "on conflict (address) do update set state = excluded.state, error = excluded.error, run = excluded.run, "
            "time = excluded.time, attempts = attempts + excluded.attempts",
            [row],
        )

    def record_artifact(self, manifest: Manifest, run: str) -> None:
        """A finished artifact with its costs and calls, as its manifest says."""
        m = manifest
        self._write(
            "insert into stages (address, stage, version, function, seed, config, state, error, seconds, run, time) "
            "values (?,?,?,?,?,?,'done','',?,?,?) on conflict (address) do update set version = excluded.version, "
            "function = excluded.function, config = excluded.config, state = 'done', error = '', "
            "seconds = excluded.seconds, run = excluded.run, time = excluded.time",
            [
                (
                    m.address,
                    m.stage,
                    m.version,
                    m.function,
                    m.seed,
                    json.dumps(m.config),
                    m.cost.seconds,
                    run,
                    time.time(),
                )
            ],
        )
        costs = [(m.address, kind, *_amounts(cost)) for kind, cost in (("planned", m.planned), ("measured", m.cost))]
        columns = ("address", "kind", *CURRENCIES)
        marks = ",".join("?" * len(columns))
        self._write(f"insert or replace into costs ({','.join(columns)}) values ({marks})", costs)
        calls = [(m.address, c["engine"], c["calls"], json.dumps(c)) for c in m.run.get("calls", ())]
        self._write("insert or replace into calls values (?,?,?,?)", calls)

    def record_result(self, result: StudyResult, run: str) -> None:
        """The measures and claims of a finished study, and the whole result without its panels."""
        key, now = (result.study, result.scale), time.time()
        for table in ("measures", "claims"):
            self._write(f"delete from {table} where study = ? and scale = ?", [key])
        self._write(
            "insert into measures values (?,?,?,?,?,?,?,?,?,?,?)", [(*key, *row, run) for row in _measures(result)]
        )
        claims = [
            (*key, c.id, c.sentence, c.source, c.verdict, json.dumps(c.contrasts), c.note, run, now)
            for c in result.claims
        ]
        self._write("insert into claims values (?,?,?,?,?,?,?,?,?,?)", claims)
        text = result.model_copy(update={"panels": ()}).model_dump_json()
        self._write("insert or replace into results values (?,?,?,?,?)", [(*key, text, run, now)])

    # ---- reading ----------------------------------------------------------------------------------------------------

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Rows of any query, as dictionaries."""
        self.flush()
        with self._guarded():
            return [dict(row) for row in self._db.execute(query, tuple(values))]

    def last_labels(self, study: str, scale: str) -> dict[tuple[str, int, str], str]:
        """(arm, seed, label) to the address it had when this study last ran at this scale."""
        found = self.rows("select * from labels where study = ? and scale = ?", (study, scale))
        return {(row["arm"], row["seed"], row["label"]): row["address"] for row in found}

    def states(self) -> dict[str, dict[str, Any]]:
        """The last known row of every address."""
        return {row["address"]: row for row in self.rows("select * from stages")}

    def results(self) -> list[StudyResult]:
        """The last result of every study and scale, without panels: all that a scoreboard needs."""
        found = self.rows("select result from results order by study, scale")
        return [StudyResult.model_validate_json(row["result"]) for row in found]

    def flops_per_second(self) -> float | None:
        """The rate that finished stages reached on their machines, or None before any has counted FLOPs."""
        row = self.rows(
            "select sum(flops) as flops, sum(seconds) as seconds from costs "
            "where kind = 'measured' and flops > 0 and seconds > 0"
        )[0]
        return row["flops"] / row["seconds"] if row["seconds"] else None


def _amounts(cost: Cost) -> tuple[float, ...]:
    return tuple(getattr(cost, name) for name in CURRENCIES)


def _measures(result: StudyResult) -> Iterator[Row]:
    for arm in result.arms:
        for measure, by_language in arm.measures.items():
            for language, e in by_language.items():
                yield (arm.name, measure, language, e.value, e.low, e.high, e.level, e.n)


def _clean(value: Any, secrets: tuple[str, ...]) -> Any:
    return redact(value, secrets) if isinstance(value, str) else value
