"""The commands that start Parsl's helper programs, by full path: an environment need not be activated."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD

from metis_flow.errors import ConfigError

# A terminal's Ctrl-C goes to all of the driver's process group, and what runs could not finish without the interchange.
# A driver that was killed cannot end it; without it the managers, and with them the workers, end by themselves.
_IN_A_SESSION = """
import os, runpy, sys, threading, time

def follow(driver):
    while os.getppid() == driver:
        time.sleep(1)
    os._exit(1)

os.setsid()
threading.Thread(target=follow, args=(os.getppid(),), daemon=True).start()
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def interchange_command() -> list[str]:
    """The words that start the interchange, in a session of its own, which ends with the driver."""
    return [sys.executable, "-c", _IN_A_SESSION, helper("interchange.py")]


def worker_command(folder: Path | None = None) -> str:
    """Parsl's own command for the manager of a node, as a template that Parsl fills in.

    Args:
        folder: where functions shall run; None for where the command is started.
    """
    program, _, rest = DEFAULT_LAUNCH_CMD.partition(" ")
    start = f"cd {_literal(str(folder))} && " if folder is not None else ""
    return f"{start}{_literal(sys.executable)} {_literal(helper(program))} {rest}"


def _literal(text: str) -> str:
    """A word of the shell, with braces that are left alone when Parsl fills in the template, twice."""
    return shlex.quote(text).replace("{", "{{{{").replace("}", "}}}}")


def helper(name: str) -> str:
    """The full path of one of Parsl's helper programs.

    Raises:
        ConfigError: the environment lacks it.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise ConfigError(
            f"Parsl's {name} is not beside {sys.executable}", hint="install parsl into the same environment"
        )
    return found
