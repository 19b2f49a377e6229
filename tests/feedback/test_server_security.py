"""Who may come in: which addresses need a token, which host names are answered, what tokens are worth."""

import pytest

from paribus.errors import ConfigError
from paribus.feedback.server.security import Door, allowed_hosts, digest, host_name, is_loopback

TOKEN = "a-token-of-some-length"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.0.1"])
def test_the_loopback_needs_no_token_and_answers_to_its_own_names_only(host: str) -> None:
    assert is_loopback(host)
    names = allowed_hosts(host, (), None)
    assert names is not None and {"localhost", "127.0.0.1", "::1"} <= names
    assert "evil.example" not in names


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "raters.example", "localhost.example", ""]
)
def test_any_other_address_is_refused_without_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="PARIBUS_UI_TOKEN"):
        allowed_hosts(host, (), None)
    assert allowed_hosts(host, (), TOKEN) is None


def test_a_proxy_before_the_loopback_needs_a_token_as_well() -> None:
    with pytest.raises(ConfigError, match=r"raters\.example lets other machines in"):
        allowed_hosts("127.0.0.1", ("raters.example",), None)
    names = allowed_hosts("127.0.0.1", ("raters.example",), TOKEN)
    assert names is not None and "raters.example" in names


def test_named_hosts_are_the_only_ones() -> None:
    assert allowed_hosts("0.0.0.0", ("raters.example",), TOKEN) == {"0.0.0.0", "raters.example"}


def test_a_short_token_is_refused_without_being_told() -> None:
    with pytest.raises(ConfigError, match="5 characters") as error:
        allowed_hosts("0.0.0.0", (), "s3cr3"[:5])
    assert "s3cr3" not in str(error.value)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("127.0.0.1:8020", "127.0.0.1"),
        ("LOCALHOST", "localhost"),
        ("[::1]:8020", "::1"),
        ("evil.example", "evil.example"),
        ("localhost.evil.example:80", "localhost.evil.example"),
        ("", ""),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str) -> None:
    assert host_name(header) == name


def test_the_door_admits_its_token_alone() -> None:
    door = Door(b"k" * 32, TOKEN)
    assert door.admits(TOKEN)
    assert not any(door.admits(given) for given in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\ud800", "ü"))
    assert Door(b"k" * 32).admits("")


def test_csrf_tokens_belong_to_one_session_and_one_file() -> None:
    door, other = Door(b"k" * 32), Door(b"j" * 32)
    assert door.csrf_fits("session", door.csrf("session"))
    assert not door.csrf_fits("session", door.csrf("another session"))
    assert not door.csrf_fits("session", other.csrf("session"))
    assert not door.csrf_fits("session", "")
    assert not door.csrf_fits("", door.csrf(""))


def test_what_is_stored_of_a_session_does_not_open_it() -> None:
    assert "session" not in digest("session") and digest("session") != digest("sessiom")
