"""Commands that start nothing load nothing heavy, and help is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import Cli, Here

from metis_flow import __version__
from metis_flow.cli.commands import SUBJECTS
from metis_flow.cli.options import runs_dir_option
from metis_flow.engine.options import RUNS_DIR

NEVER = {"openai", "parsl", "globus_sdk", "aiohttp", "xllamacpp", "asyncio", "starlette", "uvicorn", "markdown_it"}
SMALL = """\
version: 1
name: small
params: {names: {type: array, default: [a, b]}}
steps:
  each:
    foreach: ${{ params.names }}
    run: echo "$1"
    args: ["${{ item }}"]
"""


def loaded_by(cli: Cli, *arguments: str) -> set[str]:
    """The modules that a process has after a command."""
    code = (
        "import json, sys\n"
        "from metis_flow.cli import run_command\n"
        f"code = run_command({list(arguments)!r})\n"
        "assert code == 0, code\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cli.folder, env=cli.environment(), capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    ("command", "also"),
    [
        (("validate", "small.yaml"), {"jsonschema", "rich"}),
        (("graph", "small.yaml"), {"jsonschema", "rich"}),
        (("plan", "small.yaml"), {"jsonschema"}),
        (("plan", "small.yaml", "--json"), {"jsonschema", "rich"}),
        (("schema",), {"jsonschema", "rich", "jinja2"}),
        (("--help",), {"jsonschema", "rich", "jinja2", "pydantic", "yaml"}),
        (("--version",), {"jsonschema", "rich", "jinja2", "pydantic", "yaml"}),
        (("runs",), {"jsonschema", "jinja2", "pydantic"}),
    ],
    ids=" ".join,
)
def test_a_command_loads_nothing_that_it_does_not_need(cli: Cli, command: tuple[str, ...], also: set[str]) -> None:
    cli.write("small.yaml", SMALL)
    assert loaded_by(cli, *command) & (NEVER | also) == set()


def test_the_version(here: Here) -> None:
    assert here("--version").out == f"metis-flow {__version__}\n"


def test_without_a_command_there_is_help(here: Here) -> None:
    ended = here()
    assert ended.code == 0
    for subject, (_, names) in SUBJECTS.items():
        assert f"{subject}:" in ended.out
        assert all(f"\n  {name} " in ended.out for name in names)
    assert "..." not in ended.out.partition("Workflows:")[2]


@pytest.mark.parametrize("name", [name for _, names in SUBJECTS.values() for name in names])
def test_every_command_has_help(here: Here, name: str) -> None:
    ended = here(name, "--help")
    assert ended.code == 0
    assert ended.out.lower().startswith(f"usage: metis-flow {name}")


def test_a_command_that_is_not_there(here: Here) -> None:
    ended = here("pan", "x.yaml")
    assert ended.code == 2
    assert "there is no command 'pan'; did you mean 'plan'?" in ended.err


def test_an_option_that_is_not_there(here: Here) -> None:
    ended = here("plan", "x.yaml", "--frobnicate")
    assert ended.code == 2
    assert ended.err.startswith("Usage: metis-flow plan [OPTIONS] FILE\n")
    assert ended.err.endswith("\n  hint: metis-flow plan --help\n")


def test_a_wrong_command_line_as_json(here: Here) -> None:
    assert here("run", "--json").document == {
        "error": {
            "summary": "Missing argument 'FILE'.",
            "where": "metis-flow run",
            "hint": "metis-flow run --help",
            "code": 2,
        }
    }


def test_the_folder_of_runs_is_the_engines() -> None:
    def command(runs_dir: Path) -> None: ...

    option = runs_dir_option(command).__click_params__[0]
    assert Path(option.default) == RUNS_DIR


def test_the_module_runs_as_the_command_does(cli: Cli) -> None:
    ended = cli("--version")
    assert (ended.code, ended.out, ended.err) == (0, f"metis-flow {__version__}\n", "")


def test_python_does_not_look_for_garbage_among_modules(cli: Cli) -> None:
    code = (
        "import gc, sys\n"
        "from metis_flow.cli.entry import RARELY, main\n"
        "sys.argv = ['metis-flow', '--version']\n"
        "before = gc.get_freeze_count()\n"
        "assert main() == 0\n"
        "assert gc.get_threshold() == RARELY, gc.get_threshold()\n"
        "assert gc.get_freeze_count() > before + 1000, gc.get_freeze_count()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=cli.folder, env=cli.environment(), check=True)
