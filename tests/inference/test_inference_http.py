"""What the endpoint's HTTP client reads from addresses, headers and error bodies."""

import socket
import time
from email.message import Message as Headers
from email.utils import formatdate

import pytest

from paribus.inference.endpoint_http import checked_url, read_until, retry_after, server_message


def headers(value):
    found = Headers()
    if value is not None:
        found["Retry-After"] = value
    return found


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0.5", 0.5), (" 7 ", 7.0), ("-4", 0.0), (None, None), ("soon", None), ("", None)],
)
def test_seconds_to_wait(value, seconds):
    assert retry_after(headers(value)) == seconds


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_seconds_that_are_no_number_of_seconds_are_not_waited(value):
    assert retry_after(headers(value)) is None


def test_a_date_to_wait_for():
    assert retry_after(headers(formatdate(time.time() + 90, usegmt=True))) == pytest.approx(90, abs=2)
    assert retry_after(headers(formatdate(time.time() - 90, usegmt=True))) == 0.0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "no", "code": "bad_key"}}', ("no", "bad_key")),
        (b'{"error": "no"}', ("no", "")),
        (b'{"message": "no", "code": 40001}', ("no", "40001")),
        (b'{"detail": [{"loc": ["body"], "msg": "missing"}]}', ("[{'loc': ['body'], 'msg': 'missing'}]", "")),
        (b'["no"]', ("['no']", "")),
        (b"{}", ("", "")),
        (b"<html>", ("", "")),
        (b"\xff\xfe", ("", "")),
    ],
)
def test_error_bodies_in_the_usual_shapes(body, said):
    assert server_message(body) == said


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "https://host/openai/v1/", "http://[::1]:80/v1///"])
def test_addresses_lose_their_last_slash(url):
    assert checked_url(url) == url.rstrip("/")


def test_a_body_that_drips_ends_at_the_deadline():
    class Dripping:
        length = None

        def read1(self, size):
            return b"x"

    with socket.socket() as sock, pytest.raises(TimeoutError):
        read_until(Dripping(), sock, time.monotonic() + 0.01)
