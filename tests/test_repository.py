"""The rules that hold for the repository as a whole."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pathspec
import pytest

import metis_flow

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "metis_flow"

# Each imports only from those before it. `metis_flow/__init__.py` re-exports, and is no layer.
LAYERS = (
    "_version",
    "errors",
    "units",
    "workflow",
    "tasks",
    "plan",
    "record",
    "inference",
    "sites",
    "engine",
    "views",
    "api",
    "cli",
    "testing",
)
LINES_AT_MOST = 400
HEAVY = (
    "aiohttp",
    "globus_sdk",
    "jsonschema",
    "markdown_it",
    "parsl",
    "rich",
    "starlette",
    "uvicorn",
    "xllamacpp",
)

# Written so that they do not match themselves.
INDEX_HOSTS = re.compile(r"py[p]i\.(python\.)?org|pythonhosted[.]org|registry\.npm[j]s|deb\.debian[.]org|/simpl[e]/")
MACHINE_PATHS = re.compile(r"/work/(main|shared|\.library)|/roo[t]/|/tmp/[w]/|/opt/(pyp[i]|wheel[s])|/\.pyen[v]/")


def repository_files() -> Iterator[Path]:
    """Every file that is, or would be, in the repository: what .gitignore does not name."""
    ignored = pathspec.PathSpec.from_lines("gitignore", (ROOT / ".gitignore").read_text().splitlines())

    def walk(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            name = path.relative_to(ROOT).as_posix()
            if path.name == ".git" or ignored.match_file(f"{name}/" if path.is_dir() else name):
                continue
            if path.is_dir() and not path.is_symlink():
                yield from walk(path)
            else:
                yield path

    yield from walk(ROOT)


def lines_matching(pattern: re.Pattern[str], paths: Iterator[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def module_of(path: Path) -> list[str]:
    """``metis_flow/plan/graph.py`` as ``["metis_flow", "plan", "graph"]``; a package's own file as the package."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def imported(path: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The line and full name of each thing that a module imports, at its top or anywhere within."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path)[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, *(node.module or "").split(".")] if node.module else above
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)


def layer_of(module: list[str]) -> str | None:
    """The layer that a module of the package is in; None for the package itself."""
    return "cli" if module[1:] == ["__main__"] else next(iter(module[1:]), None)


def breaches(path: Path, source: str) -> list[str]:
    """Imports of one module that the order of the layers forbids."""
    own = layer_of(module_of(path))
    if own is None:
        return []
    found = []
    for line, name in imported(path, ast.parse(source)):
        parts = name.split(".")
        layer = layer_of(parts)
        if parts[0] != "metis_flow" or layer == "__version__":
            continue
        if layer not in LAYERS:
            found.append(f"{path.relative_to(ROOT)}:{line} imports {name}, which is in no layer")
        elif LAYERS.index(layer) > LAYERS.index(own):
            found.append(f"{path.relative_to(ROOT)}:{line} ({own}) imports {name} ({layer})")
    return found


def test_no_file_names_a_package_index() -> None:
    assert lines_matching(INDEX_HOSTS, repository_files()) == []


def test_no_file_holds_a_path_of_one_machine() -> None:
    assert lines_matching(MACHINE_PATHS, repository_files()) == []


@pytest.mark.parametrize("text", ["https://py" + "pi.org/x", "files.python" + "hosted.org", "index/sim" + "ple/x"])
def test_a_package_index_would_be_seen(text: str) -> None:
    assert INDEX_HOSTS.search(text)


def test_requirements_are_pinned_and_hashed_and_hold_no_option_but_hashes() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        entries = path.read_text().replace("\\\n", " ").splitlines()
        for entry in entries:
            assert entry == "-r run.txt" or re.match(r"[a-z0-9-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", entry), entry
            options = set(re.findall(r"\s--([a-z-]+)", entry))
            assert options <= {"hash"}, f"{path.name}: {options}"


def test_requirements_hold_every_declared_dependency() -> None:
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE))
    declared = {
        re.split(r"[^a-zA-Z0-9-]", requirement)[0].lower()
        for requirement in importlib.metadata.requires("metis-flow") or []
        if "extra ==" not in requirement or "embedded" in requirement
    }
    assert declared - pinned == set()


def test_no_module_is_too_long() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path: length for path, length in lengths.items() if length > LINES_AT_MOST} == {}


def test_every_module_is_in_a_layer() -> None:
    layers = {layer_of(module_of(path)) for path in PACKAGE.rglob("*.py")}
    assert layers - {None} - set(LAYERS) == set()


def test_modules_import_only_from_layers_before_their_own() -> None:
    assert [breach for path in PACKAGE.rglob("*.py") for breach in breaches(path, path.read_text())] == []


@pytest.mark.parametrize(
    "source",
    [
        "import metis_flow.engine.run",
        "from metis_flow import engine",
        "from metis_flow.engine import run",
        "from ..engine import run",
        "from .. import engine",
        "def late():\n    from metis_flow import Workflow",
    ],
)
def test_an_import_from_a_later_layer_would_be_seen(source: str) -> None:
    assert len(breaches(PACKAGE / "plan" / "graph.py", source)) == 1


def test_an_import_from_the_same_or_an_earlier_layer_is_fine() -> None:
    source = (
        "from . import graph\nfrom ..workflow import load\nfrom metis_flow.errors import MetisFlowError\nimport ast"
    )
    assert breaches(PACKAGE / "plan" / "plan.py", source) == []


def test_the_public_names_are_there() -> None:
    assert sorted(metis_flow.__all__) == ["Run", "Workflow", "__version__", "task"]
    assert all(getattr(metis_flow, name) is not None for name in metis_flow.__all__)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        metis_flow.nothing_of_the_kind  # noqa: B018


def loaded_by(statement: str) -> set[str]:
    """The modules that a new interpreter has after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("layer", LAYERS)
def test_importing_a_layer_loads_nothing_heavy(layer: str) -> None:
    assert loaded_by(f"import metis_flow.{layer}") & set(HEAVY) == set()


def test_importing_the_package_loads_no_layer() -> None:
    loaded = {name for name in loaded_by("import metis_flow") if name.startswith("metis_flow.")}
    assert loaded <= {"metis_flow._version"}


def test_the_version_stands_in_one_place() -> None:
    assert importlib.metadata.version("metis-flow") == metis_flow.__version__


def test_the_changelog_tells_of_this_version() -> None:
    newest = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    expected = "Unreleased" if ".dev" in metis_flow.__version__ else metis_flow.__version__
    assert expected in newest[:2]


def test_the_checks_run_the_command_that_the_readme_gives() -> None:
    command = next(line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines() if "-m venv" in line)
    assert command in (ROOT / "README.md").read_text()


def test_a_wheel_holds_the_package_its_configurations_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"metis_flow/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "configs").rglob("*.yaml")}
    assert configs
    assert configs | {"metis_flow/py.typed", "metis_flow/errors.py"} <= names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"metis_flow"}


def test_the_readme_shows_the_workflow_as_it_is() -> None:
    assert (ROOT / "workflows" / "materials.yaml").read_text() in (ROOT / "README.md").read_text()
