"""Nothing that is written ever holds a key, a token or a header."""

import os
import sqlite3
import time
from pathlib import Path

import pytest
from lab_toy import STUDY
from pydantic import BaseModel, ConfigDict

from paribus.lab import Arm, Arms, Store, Study, run_plan, stage
from paribus.lab.context import current
from paribus.lab.redact import MASK, redact

SECRETS = {
    "MY_API_KEY": "correct-horse-battery-staple",
    "HF_TOKEN": "hf_" + "q1W2e3R4" * 4,
}


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefghij1234",
        "{'authorization': 'Basic dXNlcjpwYXNz'}",
        "headers={'x-api-key': 'abcdefgh12345678'}",
        "https://host/v1?api_key=abcdefgh12345678&n=1",
        "password=hunter2",
        "token sk-proj-abcd1234abcd1234abcd",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijklmnop",
        "Cookie: session=abcdef",
    ],
)
def test_shapes_of_secrets_are_masked(text: str) -> None:
    cleaned = redact(text)
    assert MASK in cleaned
    for part in ("abcdefgh", "hunter2", "dXNl", "proj-abcd", "ghp_", "eyJ", "session"):
        assert part not in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "train_base-3f9a0c21b7de done in 3.2 s, 1200 tokens/s",
        "max_tokens=64 temperature=0.0",
        "the secret of the key is in the tokenizer",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact(text) == text


class LeakConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@stage
def leaky(config: LeakConfig, *, out: Path) -> None:
    """Tells its secrets to stdout, stderr, raw file descriptors, progress, calls and its own failure."""
    secret = " ".join(os.environ[name] for name in SECRETS)
    print("Authorization: Bearer " + "z" * 20, secret)
    os.write(2, f"from native code {secret}\n".encode())
    current().record_calls("judge", calls=1)
    raise RuntimeError(f"401 for {secret}")


def leaky_study() -> Study:
    def build(settings: object) -> Arms:
        return Arms([Arm("one", "leaks", {0: {"evaluation": leaky(LeakConfig())}})])

    return Study("leaky", "t", "q", "p", type(STUDY.at("smoke")), build, contrasts=())


def test_no_file_of_the_store_holds_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    study = leaky_study()
    store = Store(tmp_path / "store")
    plan = study.plan(study.at("smoke"))
    resume = f"run --header 'Authorization: Bearer {SECRETS['MY_API_KEY']}'"
    report = run_plan(plan, store, workers=1, resume=resume)
    assert list(report.failed) == [plan.arms["one"].labelled[0]["leaky"].address]
    _wait_for(store.log(next(iter(report.failed))), "401")
    shown = "".join(capfd.readouterr()) + report.resume + str(report.failed)
    _no_secret(shown.encode(), "the terminal")
    with sqlite3.connect(store.ledger_path) as database:
        database.execute("pragma wal_checkpoint(truncate)")
    for path in (p for p in store.root.rglob("*") if p.is_file()):
        _no_secret(path.read_bytes(), str(path))
    assert MASK in store.log(next(iter(report.failed))).read_text()


def _wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 10
    while text not in (path.read_text() if path.exists() else "") and time.monotonic() < deadline:
        time.sleep(0.05)


def _no_secret(data: bytes, where: str) -> None:
    for secret in (*SECRETS.values(), "z" * 20):
        assert secret.encode() not in data, f"{secret} is in {where}"
