"""What every test gets: an environment without the settings of whoever runs it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

ENDPOINT_VARIABLES = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "MODEL_NAME")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

# A shell's job in the background ignores Ctrl-C, and what the tests start, and then interrupt, would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No endpoint, proxy or configuration folder but those that the test sets itself."""
    for name in (*ENDPOINT_VARIABLES, *PROXY_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parent.parent
