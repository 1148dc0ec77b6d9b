"""``metis-flow auth``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from metis_flow.cli.documents import print_document
from metis_flow.cli.options import json_option
from metis_flow.errors import LoginRequired

if TYPE_CHECKING:
    from metis_flow.inference.login import LoginStatus

UNITS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}


@click.group("auth")
def command() -> None:
    """Log in to Metis, with Globus. ALCF's own helper and alcf-ai share the login."""


@command.command("login")
@click.option("--force", is_flag=True, help="Log in again, even where a login works.")
@click.option("--no-browser", is_flag=True, help="Print the page's address and ask for its code.")
def login(force: bool, no_browser: bool) -> None:
    """Log in, where that is needed."""
    from metis_flow.inference import login as logins

    if logins.login(force=force, no_browser=no_browser):
        click.echo("logged in")
    else:
        click.echo("you are logged in already; --force logs in again")


@command.command("status")
@click.option(
    "--units", type=click.Choice(sorted(UNITS)), help="Print only how long the token lasts, as a number in these units."
)
@click.option("--walltime", metavar="T", help="Tell whether the login outlasts a job of this length, such as 2h.")
@json_option
def status(units: str | None, walltime: str | None, as_json: bool) -> None:
    """Show who is logged in and for how long. Nobody is asked, and nothing is renewed.

    Ends with exit code 3 where a login is needed.
    """
    from metis_flow.inference import login as logins

    found = logins.status()
    seconds = _walltime(walltime)
    if not found.logged_in:
        raise LoginRequired("nobody is logged in", hint="type: metis-flow auth login")
    if as_json:
        print_document(_as_json(found, seconds))
    elif units is not None:
        click.echo(f"{found.seconds_left() / UNITS[units]:.2f}")
    else:
        _print(found, seconds)


@command.command("token")
def token() -> None:
    """Print an access token that works now, for curl and other programs. It is a secret."""
    from metis_flow.inference import login as logins

    click.echo(logins.access_token())


@command.command("logout")
def logout() -> None:
    """Revoke the tokens and forget them."""
    from metis_flow.inference import login as logins

    click.echo("logged out" if logins.logout() else "nobody was logged in")


def _walltime(text: str | None) -> float | None:
    from metis_flow.units import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _as_json(found: LoginStatus, walltime: float | None) -> dict[str, Any]:
    document = {
        "identity": found.identity_id,
        "expires_at": found.expires_at,
        "seconds_left": round(found.seconds_left(), 1),
        "renewable": found.renewable,
        "file": str(found.path),
    }
    return document if walltime is None else document | {"outlasts": found.outlasts(walltime)}


def _print(found: LoginStatus, walltime: float | None) -> None:
    from metis_flow.units import format_duration
    from metis_flow.views.values import when

    click.echo(f"identity: {found.identity_id}")
    left = found.seconds_left()
    if left:
        click.echo(f"token:    ends in {format_duration(left)}, at {when(time.time() + left)}")
    else:
        click.echo("token:    has ended")
    click.echo(f"renewal:  {'by itself, when it is needed' if found.renewable else 'not possible: log in again'}")
    if walltime is not None:
        click.echo(f"a job of {format_duration(walltime)}: {_prospect(found, walltime)}")
    click.echo(f"file:     {found.path}")


def _prospect(found: LoginStatus, walltime: float) -> str:
    if found.outlasts(walltime):
        return "the token lasts longer"
    if found.renewable:
        return "the token ends before, and is renewed where the job can reach Globus"
    return "the token ends before: type metis-flow auth login --force"
