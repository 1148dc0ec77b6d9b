"""Environments for libraries that are not to be installed beside metis-flow: made once, and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

_SECONDS = 900


class NotInstalled(Exception):
    """An environment could not be made; the text says why, in the installer's words."""


@dataclass(frozen=True)
class Environment:
    """A place for a library.

    Args:
        name: told in its folder's name.
        requirements: a file of pins.
        cache: the folder of all environments; None for the user's own.
    """

    name: str
    requirements: Path
    cache: Path | None = None

    @property
    def folder(self) -> Path:
        """Another for other pins, and for another Python."""
        kind = f"{sys.version_info} {self.requirements.read_text(encoding='utf-8')}"
        digest = hashlib.sha256(kind.encode()).hexdigest()[:12]
        return (self.cache or default_cache()) / f"{self.name}-{digest}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def is_made(self) -> bool:
        """Whether it is whole."""
        return self._whole.exists()

    @property
    def _whole(self) -> Path:
        return self.folder / "whole"

    def make(self) -> None:
        """Make it, unless it is there.

        Raises:
            NotInstalled: it cannot be had here.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.folder}.lock"):
                if not self.is_made:
                    self._make()
        except OSError as error:
            raise NotInstalled(str(error)) from None

    def _make(self) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        _run(sys.executable, "-m", "venv", str(self.folder))
        # Wheels only: a compiler is not asked for.
        install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:")
        _run(str(self.python), *install, "-r", str(self.requirements))
        self._whole.touch()


def default_cache() -> Path:
    """Where environments are kept between runs."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "metis-flow-benchmarks"


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.CalledProcessError as error:
        # `venv` says on standard output what it lacks, `pip` on the other; warnings are not the reason.
        said = (error.stderr or error.stdout).strip().splitlines()
        lines = [line for line in said if line.startswith("ERROR")] or said
        raise NotInstalled(" ".join(lines[-2:]) or f"the installer ended with {error.returncode}") from None
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"it took more than {_SECONDS} s") from None
