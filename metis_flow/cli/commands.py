"""All commands by subject. A command's module is imported when it is called, or when help lists it."""

from __future__ import annotations

from importlib import import_module

import click

from metis_flow._version import __version__
from metis_flow.errors import did_you_mean

SUBJECTS = {
    "Workflows": ("workflow", ("init", "validate", "plan", "graph", "schema")),
    "Running": ("running", ("run", "resume", "cancel", "submit")),
    "Runs and their records": ("record", ("runs", "status", "show", "errors", "logs", "report", "ui")),
    "Who answers": ("answers", ("auth", "models", "endpoints")),
    "Where and what runs": ("setup", ("sites", "tasks", "doctor", "gateway")),
}
_MODULES = {name: f"metis_flow.cli.{package}.{name}" for package, names in SUBJECTS.values() for name in names}


class Commands(click.Group):
    """A group whose commands are loaded when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, by subject."""
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; None where there is none."""
        if cmd_name not in _MODULES:
            return None
        command: click.Command = import_module(_MODULES[cmd_name]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names."""
        if args[0] not in _MODULES:
            hint = did_you_mean(args[0], _MODULES)
            raise click.UsageError(f"there is no command '{args[0]}'" + (f"; {hint}" if hint else ""), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A section for each subject."""
        width = max(map(len, _MODULES))
        for subject, (_, names) in SUBJECTS.items():
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                assert command is not None
                rows.append((name.ljust(width), command.get_short_help_str(formatter.width - width - 6)))
            with formatter.section(subject):
                formatter.write_dl(rows)


@click.group(cls=Commands, invoke_without_command=True)
@click.version_option(__version__, prog_name="metis-flow", message="%(prog)s %(version)s")
@click.pass_context
def commands(context: click.Context) -> None:
    """Workflows of chat completions and computations, from one YAML file.

    \b
    metis-flow init study                          make a small study to begin with
    metis-flow run study/moons.yaml                run it
    metis-flow show last                           see what happened

    Exit codes: 0 done; 1 some steps failed; 2 the file or the command is wrong; 3 log in first; 4 a limit was reached;
    5 stopped, resumable; 130 interrupted, resumable.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
