"""The console entry point."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Sequence

import click

from metis_flow.cli.commands import commands
from metis_flow.cli.documents import close_to_all, kept_for_documents, reader_may_leave
from metis_flow.cli.failing import fail, fail_unexpectedly, fail_usage
from metis_flow.errors import EXIT_DONE, EXIT_INTERRUPTED, MetisFlowError

NAME = "metis-flow"
RARELY = (50_000, 20, 20)
"""When Python looks for garbage in cycles. What a command imports stays: with Python's own 700 for the first of these,
looking through it takes an eighth of the start-up."""


def main() -> int:
    """Run the command line of this process; its exit code."""
    gc.set_threshold(*RARELY)
    arguments = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    code = run_command(arguments)
    if _wants_document(arguments):
        close_to_all()
    if code == EXIT_INTERRUPTED:
        _end_with_threads(code)
    gc.freeze()  # Python would look through all modules once more before it ends: a quarter of a second after a run
    return code


def _end_with_threads(code: int) -> None:
    """End the process though a user's function still runs in a thread: a second Ctrl-C does not wait for it.

    Whatever has to be kept is on the disk by now.
    """
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    if any(not thread.daemon for thread in others):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command, as ``metis-flow ARGUMENTS``; its exit code."""
    as_json = _wants_document(arguments)
    with kept_for_documents(as_json), reader_may_leave():
        return _invoke(arguments, as_json=as_json)
    return EXIT_DONE


def _wants_document(arguments: Sequence[str]) -> bool:
    """Whether ``--json`` is asked for; known before the rest is read, so that mistakes there are told as JSON too."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in own


def _invoke(arguments: Sequence[str], *, as_json: bool) -> int:
    try:
        with commands.make_context(NAME, list(arguments)) as context:
            commands.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        return fail_usage(error, as_json=as_json)
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        raise
    except MetisFlowError as error:
        return fail(error, as_json=as_json)
    except Exception as error:
        return fail_unexpectedly(error, as_json=as_json)
    return EXIT_DONE
