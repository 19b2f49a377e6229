"""The commands for single parts, on a user's own files and models."""

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
