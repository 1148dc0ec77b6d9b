"""Tokens: where one comes from, and who hands it out. No token is ever printed, logged or pickled from here."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any, NoReturn, Protocol

from metis_flow.errors import ConfigError, LoginRequired
from metis_flow.inference.endpoints import EndpointConfig, missing_variable
from metis_flow.inference.sourced import read_assignments

COMMAND_SECONDS = 60.0
MASK = "•••"

_taken: dict[str, str] = {}  # by variable, for the second run of the same process


class TokenProvider(Protocol):
    """Hands out the token of one endpoint."""

    def held(self) -> str | None:
        """The token, if it can be had without waiting for a file, a program or the network."""

    def token(self) -> str:
        """The token; "" where the endpoint asks for none. It may take seconds: call it off the event loop.

        Raises:
            LoginRequired: there is none, and the user has to do something about it.
            ConfigError: what the endpoint's file says about it does not work.
        """

    def refused(self, token: str) -> bool:
        """Take up that the server refused a token; True where a new one may now be had."""

    def remedy(self) -> str:
        """What the user does when the token is refused for good."""


class Private:
    """Holds a secret: its repr tells nothing, and it cannot be pickled."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a token provider is never pickled: it would take the token along")


class NoToken(Private):
    """An endpoint that asks for no token."""

    def held(self) -> str | None:
        return ""

    def token(self) -> str:
        return ""

    def refused(self, token: str) -> bool:
        return False

    def remedy(self) -> str:
        return "the server asks for a token: say under 'auth' in the endpoint's file where it comes from"


class FixedToken(Private):
    """A token that was read once, such as that of an environment variable.

    Args:
        token: the secret.
        remedy: what the user does when it is refused.
    """

    def __init__(self, token: str, remedy: str) -> None:
        self._token = token
        self._remedy = remedy

    def held(self) -> str | None:
        return self._token

    def token(self) -> str:
        return self._token

    def refused(self, token: str) -> bool:
        return False

    def remedy(self) -> str:
        return self._remedy


class FileToken(Private):
    """A token that stands in a file; the file is read again when it changes.

    Args:
        path: the file.
        variable: the variable that the file assigns; None where the whole file is the token.
    """

    def __init__(self, path: Path, variable: str | None = None) -> None:
        self._path = path
        self._variable = variable
        self._token: str | None = None

    def held(self) -> str | None:
        return self._token

    def token(self) -> str:
        if self._token is None:
            self._token = self._read()
        return self._token

    def refused(self, token: str) -> bool:
        self._token = self._read()
        return self._token != token

    def remedy(self) -> str:
        return f"put a valid token into {self._path}"

    def _read(self) -> str:
        if self._variable is not None:
            found = read_assignments(self._path).get(self._variable, "")
        else:
            try:
                found = self._path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                raise ConfigError(f"the token file cannot be read: {reason}", where=str(self._path)) from None
        if not found:
            raise ConfigError("the token file holds no token", where=str(self._path), hint=self.remedy())
        return check_token(found, str(self._path))


class CommandToken(Private):
    """A token that a program prints; it is run again when the token is refused.

    Args:
        command: the program and its arguments; no shell is involved.
    """

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._token: str | None = None

    def held(self) -> str | None:
        return self._token

    def token(self) -> str:
        if self._token is None:
            self._token = self._run()
        return self._token

    def refused(self, token: str) -> bool:
        self._token = self._run()
        return self._token != token

    def remedy(self) -> str:
        return f"see why '{self._command[0]}' prints a token that is not accepted"

    def _run(self) -> str:
        name = self._command[0]
        try:
            done = subprocess.run(
                self._command, capture_output=True, text=True, timeout=COMMAND_SECONDS, stdin=subprocess.DEVNULL
            )
        except FileNotFoundError:
            raise ConfigError(f"the token command '{name}' was not found", hint="check 'auth: {command: …}'") from None
        except subprocess.TimeoutExpired:
            raise ConfigError(f"the token command '{name}' took longer than {COMMAND_SECONDS:.0f} s") from None
        found = done.stdout.strip()
        if done.returncode or not found:
            ending = f"ended with exit code {done.returncode}" if done.returncode else "printed nothing"
            tail = "\n".join(done.stderr.strip().splitlines()[-5:])
            raise LoginRequired(f"the token command '{name}' {ending}", detail=tail or None, hint="run it by hand")
        return check_token(found, f"the command '{name}'")


def check_token(token: str, source: str) -> str:
    """Refuse what cannot be a token, without repeating it.

    Raises:
        ConfigError: it has blanks, line ends or characters that no header takes.
    """
    if not token.isascii() or any(char.isspace() or not char.isprintable() for char in token):
        raise ConfigError("what stands there is no token: it holds blanks, line ends or other signs", where=source)
    return token


def take_secrets(endpoint: EndpointConfig, *, may_refresh: bool = True) -> TokenProvider:
    """The endpoint's token provider; a secret in the environment is read once and removed from there.

    So no process that is started afterwards inherits it.

    Args:
        endpoint: whose token it is.
        may_refresh: False in a worker: it takes up new Globus tokens, which the driver gets.

    Raises:
        ConfigError: a variable that the endpoint needs is not set.
    """
    auth = endpoint.auth
    if endpoint.kind == "embedded" or auth.kind == "none":
        return NoToken()
    if auth.kind == "env":
        variable = auth.variable or ""
        token = os.environ.pop(variable, "").strip() or _taken.get(variable, "")
        if not token:
            raise missing_variable(endpoint, variable, "…")
        _taken[variable] = check_token(token, variable)
        return FixedToken(token, f"type: export {variable}=… with a valid key")
    if auth.kind == "file":
        return FileToken(endpoint.source.parent / Path(auth.path or "").expanduser(), auth.variable)
    if auth.kind == "command":
        command = shlex.split(auth.command) if isinstance(auth.command, str) else list(auth.command or [])
        return CommandToken(command)
    from metis_flow.inference.globus import GlobusTokens

    return GlobusTokens(may_refresh=may_refresh)


def mask(text: str, *secrets: str | None) -> str:
    """A text without the secrets that it may repeat."""
    for secret in secrets:
        if secret and len(secret) >= 4:
            text = text.replace(secret, MASK)
    return text
