"""Warnings as data: what a reader of an audit must know before believing a number."""

from typing import NamedTuple


class Notice(NamedTuple):
    """One warning. ``code`` names its kind for programs, ``part`` the analysis it concerns, ``text`` says it."""

    code: str
    part: str
    text: str
