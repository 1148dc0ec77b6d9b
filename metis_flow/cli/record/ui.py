"""``metis-flow ui``."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from metis_flow.cli.browsing import open_option, open_page
from metis_flow.cli.options import runs_dir_option


@click.command("ui")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Where it listens; a free one if 0."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address that it listens on.")
@click.option("--expose", is_flag=True, help="Let other machines ask too, where --host is not this machine's own.")
@open_option
@runs_dir_option
def command(port: int, host: str, expose: bool, wanted: str, runs_dir: Path) -> None:
    """Show runs in a browser, also while they go on.

    It prints an address with a secret part: whoever has it can read the records, and change nothing. Ctrl-C ends it. On
    a login node, leave --host as it is and type the `ssh -L` command that is printed on your own machine.
    """
    from metis_flow.errors import UsageError
    from metis_flow.views.ui.server import is_loopback, listen, new_token, serve

    if not is_loopback(host) and not expose:
        hint = "leave --host out and use the `ssh -L` command that is printed; or add --expose"
        raise UsageError("other machines could read your records there", where=f"--host {host}", hint=hint)
    token = new_token()
    with listen(host, port) as listener:
        port = listener.getsockname()[1]
        name = _reached_by(host)
        address = f"http://{name}:{port}/{token}/"
        click.echo(address)
        if is_loopback(host):
            click.echo(f"from another machine, first: ssh -L {port}:{name}:{port} {_login()}", err=True)
        click.echo("Ctrl-C ends it", err=True)
        open_page(address, wanted)
        with contextlib.suppress(KeyboardInterrupt):
            serve(runs_dir, token, listener, exposed_host=None if is_loopback(host) else host)


def _reached_by(host: str) -> str:
    """The name under which a browser asks for a server that listens there."""
    import socket

    if host in ("0.0.0.0", "::"):
        return socket.getfqdn()
    return f"[{host}]" if ":" in host else host


def _login() -> str:
    """How one logs in to this machine, as far as it knows."""
    import getpass
    import socket

    return f"{getpass.getuser()}@{socket.getfqdn()}"
