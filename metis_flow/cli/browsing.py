"""Opening a page in the browser of whoever typed the command."""

from __future__ import annotations

import os
import sys

import click

open_option = click.option(
    "--open",
    "wanted",
    type=click.Choice(["auto", "yes", "no"]),
    default="auto",
    show_default=True,
    help="Open it in a browser; `auto` does so on a machine with a screen.",
)


def open_page(address: str, wanted: str) -> None:
    """Open a page, if that was asked for, or if it is of use: on a terminal of a machine with a screen."""
    if wanted == "yes" or (wanted == "auto" and sys.stdout.isatty() and _has_screen()):
        click.launch(address)


def _has_screen() -> bool:
    if os.environ.get("SSH_CONNECTION") or os.environ.get("CI"):
        return False
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
