"""``metis-flow gateway``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click


def _server() -> Any:
    """The gateway's own command line. It is a helper for tests, and no part of the package imports it."""
    return import_module("metis_flow.testing.gateway.__main__")


class _OwnHelp(click.Command):
    """A command whose options and help are those of the gateway's own command line."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        parser = _server().parser()
        parser.prog = ctx.command_path
        formatter.write(parser.format_help())


@click.command("gateway", cls=_OwnHelp, context_settings={"ignore_unknown_options": True}, options_metavar="[OPTIONS]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="")
@click.pass_context
def command(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Run a local Metis gateway for tests, until Ctrl-C."""
    server = _server()
    parser = server.parser()
    parser.prog = context.command_path
    chosen = parser.parse_args(arguments)
    try:
        options = server.options_from(chosen)
    except (OSError, ValueError, TypeError, ImportError, AttributeError) as error:
        raise click.UsageError(str(error), context) from None
    server.serve(options)
