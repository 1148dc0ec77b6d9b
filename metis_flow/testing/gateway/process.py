"""A gateway in a process of its own, for benchmarks and for tests that kill processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from metis_flow.testing.gateway.handle import Handle

if TYPE_CHECKING:
    from types import TracebackType


class GatewayProcess(Handle):
    """A gateway for the length of a ``with`` block, started as ``python -m metis_flow.testing.gateway``.

    Args:
        arguments: its command line, as ``"--latency", "0.5", "--no-limits"``.

    >>> with GatewayProcess("--no-limits", "--answer", "4") as gateway:
    ...     use(gateway.openai_url, gateway.token)
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._control_url = ""
        self._control_key = ""

    def __enter__(self) -> GatewayProcess:
        command = [sys.executable, "-m", "metis_flow.testing.gateway", *self._arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._stop()
            raise RuntimeError(f"the gateway did not start: exit code {code}; its reason is on stderr")
        addresses = json.loads(line)
        self.base_url, self.token = addresses["base_url"], addresses["token"]
        self._control_url, self._control_key = addresses["control_url"], addresses["control_key"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def _stop(self) -> int:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        code = self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code

    def _ask(self, verb: str, **arguments: Any) -> Any:
        request = urllib.request.Request(
            self._control_url + verb, json.dumps(arguments).encode(), {"X-Control-Key": self._control_key}
        )
        # Straight there: a proxy named in the environment is for other machines.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error)["error"]) from None
