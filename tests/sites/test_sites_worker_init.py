"""The lines that give a worker the driver's environment, run by a real shell that has nothing of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from metis_flow.sites.worker_init import default_worker_init, environment_lines


def after(lines: str, command: str, **environ: str) -> str:
    """What a command prints in a bare shell after these lines."""
    done = subprocess.run(
        ["/bin/bash", "-c", f"{lines}\n{command}"],
        env={"PATH": "/usr/bin:/bin", "HOME": "/", **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def make_venv(folder: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()
    (folder / "bin" / "activate").write_text('export VIRTUAL_ENV="entered it"\n')
    return folder


def test_this_python_is_found_again() -> None:
    lines = default_worker_init({})
    assert after(lines, "command -v python3") == f"{sys.prefix}/bin/python3"
    assert after(lines, "echo $TMPDIR", TMPDIR="/some/very/long/folder") == "/tmp"


def test_a_virtual_environment_is_activated(tmp_path: Path) -> None:
    lines = default_worker_init({}, str(make_venv(tmp_path / "my venv")))
    assert after(lines, "echo $VIRTUAL_ENV") == "entered it"


def test_any_other_environment_comes_first_on_the_path(tmp_path: Path) -> None:
    assert after(default_worker_init({}, str(tmp_path)), "echo $PATH") == f"{tmp_path}/bin:/usr/bin:/bin"


def test_modules_are_loaded_again(tmp_path: Path) -> None:
    lines = default_worker_init({"LOADEDMODULES": "conda/2026:mpi x", "MODULEPATH": "/soft/modulefiles"}, str(tmp_path))
    modules = 'module() { echo "$MODULEPATH: $#: $*"; }'
    assert after(f"{modules}\n{lines}", "true") == "/soft/modulefiles: 3: load conda/2026 mpi x"
    assert "module load" not in default_worker_init({"LOADEDMODULES": ""}, str(tmp_path))


def test_proxies_go_along_unless_they_hold_a_password(tmp_path: Path) -> None:
    environ = {"http_proxy": "http://proxy:3128", "HTTPS_PROXY": "http://me:secret-word@proxy:3128"}
    lines = default_worker_init(environ, str(tmp_path))
    assert after(lines, "echo $http_proxy $https_proxy") == "http://proxy:3128"
    assert "secret-word" not in lines


def test_a_sites_variables_are_set_where_they_are_not() -> None:
    lines = "\n".join(environment_lines({"A": "from the site", "B": "it's"}))
    assert after(lines, 'echo "$A,$B"') == "from the site,it's"
    assert after(lines, 'echo "$A,$B"', A="own", B="") == "own,"
