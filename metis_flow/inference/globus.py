"""The Globus login of Metis: one token file, shared with ALCF's own helper and with alcf-ai.

Whoever logged in with one of them is logged in with all. Any process may read the file; a token that is due is
refreshed by one process, which holds the lock beside the file, and the others take the new one up.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metis_flow.errors import LoginRequired, MetisFlowError
from metis_flow.inference.errors import LoginServiceDown
from metis_flow.inference.refusals import LOGIN, LOGOUT_PAGE
from metis_flow.inference.tokens import Private

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from globus_sdk import NativeAppAuthClient

APP_NAME = "inference_app"
CLIENT_ID = "58fdd3bc-e1c3-4ce5-80ea-8d6b87cfb944"
RESOURCE_SERVER = "681c10cc-f684-4540-bcd7-0b4df3bc26ef"
SCOPE = f"https://auth.globus.org/scopes/{RESOURCE_SERVER}/action_all"
POLICY = "83732ff2-9c42-4548-b5ce-17e498c84f6a"

MARGIN = 600.0  # seconds before its end at which a token is refreshed
LOOK_EVERY = 5.0  # seconds between looks at the file
LOCK_SECONDS = 120.0
_NAMESPACE = "DEFAULT"
_TORN_READS = 5  # the file may be read while another program writes it


@dataclass(frozen=True, repr=False)
class Login:
    """What the token file holds for Metis.

    Args:
        access_token: the secret that requests carry.
        refresh_token: the secret that gets new ones; None where none was asked for.
        expires_at: unix seconds at which the access token ends.
        identity_id: whose it is.
        written_at: unix seconds at which the file was written.
    """

    access_token: str
    refresh_token: str | None
    expires_at: float
    identity_id: str | None
    written_at: float

    @property
    def due_at(self) -> float:
        """When to refresh: a margin before its end, but not in the first half of a short life."""
        return max(self.expires_at - MARGIN, (self.written_at + self.expires_at) / 2)


def token_file() -> Path:
    """Where globus_sdk keeps the tokens of this app."""
    return Path.home() / ".globus" / "app" / CLIENT_ID / APP_NAME / "tokens.json"


def read_login(path: Path) -> Login | None:
    """The login of a token file; None where there is none.

    Raises:
        LoginRequired: the file is there, but damaged.
    """
    document = read_token_document(path)
    data = document.get("data", {}).get(_NAMESPACE, {}).get(RESOURCE_SERVER)
    if not isinstance(data, dict) or not data.get("access_token"):
        return None
    return Login(
        access_token=str(data["access_token"]),
        refresh_token=data.get("refresh_token") or None,
        expires_at=float(data.get("expires_at_seconds") or 0),
        identity_id=data.get("identity_id"),
        written_at=path.stat().st_mtime,
    )


def read_token_document(path: Path) -> dict[str, Any]:
    """The whole token file; {} where there is none.

    Raises:
        LoginRequired: it is damaged, or cannot be read.
    """
    for again in range(_TORN_READS):
        if again:
            time.sleep(0.05)
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            continue
        except OSError as error:
            raise LoginRequired(f"the token file cannot be read: {error.strerror}", where=str(path)) from None
        if isinstance(document, dict) and isinstance(document.get("data", {}), dict):
            return document
    raise LoginRequired("the token file is damaged", where=str(path), hint=f"type: {LOGIN}")


def write_token_data(path: Path, entries: dict[str, dict[str, Any] | None]) -> None:
    """Put entries by resource server into the token file, or take them out (None); all others stay.

    The file is replaced in one step: who reads it sees the old one or the new one. The caller holds the lock.
    """
    from globus_sdk import __version__

    document = read_token_document(path)
    data = document.setdefault("data", {}).setdefault(_NAMESPACE, {})
    for server, entry in entries.items():
        if entry is None:
            data.pop(server, None)
        else:
            data[server] = entry
    document |= {"format_version": "2.0", "globus-sdk.version": __version__}
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def token_lock(path: Path) -> BaseFileLock:
    """The lock of who may refresh, beside the token file.

    Raises:
        LoginRequired: no file can be written there.
    """
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LoginRequired(f"the token's folder cannot be made: {error.strerror}", where=str(path.parent)) from None
    return FileLock(path.with_suffix(".lock"), timeout=LOCK_SECONDS, mode=0o600)


def auth_client() -> NativeAppAuthClient:
    """Globus Auth, as the app of this login."""
    import globus_sdk

    client = globus_sdk.NativeAppAuthClient(CLIENT_ID, app_name=APP_NAME)
    client.retry_config.max_retries = 2
    return client


class GlobusTokens(Private):
    """Hands out the access token of the shared login, and has it refreshed when it is due.

    Args:
        path: the token file; None for the usual one.
        may_refresh: False where another process does that, as in a worker of a run.
    """

    def __init__(self, path: Path | None = None, *, may_refresh: bool = True) -> None:
        self.path = path or token_file()
        self._may_refresh = may_refresh
        self._login: Login | None = None
        self._stamp: tuple[int, int] | None = None
        self._looked_at = 0.0
        self._not_before = 0.0
        self._lock = threading.Lock()

    def held(self) -> str | None:
        """The token, while it is not due and the file is unchanged."""
        login = self._login
        if login is None or self._is_due(login):
            return None
        now = time.monotonic()
        if now - self._looked_at > LOOK_EVERY:
            if self._file_stamp() != self._stamp:
                return None
            self._looked_at = now
        return login.access_token

    def token(self) -> str:
        """The token, read again or refreshed where that is due.

        Raises:
            LoginRequired: nobody is logged in, or the login no longer works.
            LoginServiceDown: it has to be refreshed, and Globus cannot be reached.
        """
        with self._lock:
            login = self._read()
            if self._is_due(login):
                login = self._refresh(login.access_token, forced=False)
            return login.access_token

    def refused(self, token: str) -> bool:
        """Take up that the gateway refused a token; True where another one could be had."""
        with self._lock:
            login = self._read()
            if login.access_token != token:
                return True
            return self._refresh(token, forced=True).access_token != token

    def remedy(self) -> str:
        return f"type: {LOGIN} (if that does not help, log out at {LOGOUT_PAGE} first)"

    def _is_due(self, login: Login) -> bool:
        now = time.time()
        if now >= login.expires_at:
            return True
        return self._may_refresh and login.refresh_token is not None and now >= max(login.due_at, self._not_before)

    def _read(self) -> Login:
        self._stamp = self._file_stamp()
        self._looked_at = time.monotonic()
        self._login = read_login(self.path)
        if self._login is None:
            raise LoginRequired("you are not logged in to Metis", hint="type: metis-flow auth login")
        return self._login

    def _refresh(self, old: str, *, forced: bool) -> Login:
        """A new token, got by this process or by another one in the meantime."""
        login = self._read()
        if not self._may_refresh or login.refresh_token is None:
            if forced:
                return login
            raise LoginRequired("your Metis login has expired", hint=f"type: {LOGIN}")
        with token_lock(self.path):
            login = self._read()
            if login.access_token != old and not self._is_due(login):
                return login
            try:
                write_token_data(self.path, {RESOURCE_SERVER: self._fetch(login)})
            except LoginServiceDown:
                if forced or time.time() >= login.expires_at:
                    raise
                self._not_before = time.time() + 60.0  # the present one still serves: try again in a minute
                return login
            return self._read()

    def _fetch(self, login: Login) -> dict[str, Any]:
        """The token file's entry with a new access token."""
        import globus_sdk

        client = auth_client()
        try:
            found = client.oauth2_refresh_token(str(login.refresh_token)).by_resource_server[RESOURCE_SERVER]
        except globus_sdk.AuthAPIError as error:
            if error.http_status < 500 and error.http_status != 429:
                raise self.ended() from None
            raise _service_down(f"Globus Auth answered {error.http_status}") from None
        except globus_sdk.GlobusError as error:
            raise _service_down(type(error).__name__) from None
        finally:
            client.close()
        document = read_token_document(self.path)
        entry: dict[str, Any] = dict(document["data"][_NAMESPACE][RESOURCE_SERVER])
        entry["access_token"] = found["access_token"]
        entry["expires_at_seconds"] = int(found["expires_at_seconds"])
        entry["refresh_token"] = found.get("refresh_token") or login.refresh_token
        return entry

    def ended(self) -> LoginRequired:
        """The error of a login that can no longer be refreshed."""
        return LoginRequired("your Metis login has ended and cannot be renewed by itself", hint=self.remedy())

    def _file_stamp(self) -> tuple[int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns


def _service_down(detail: str) -> MetisFlowError:
    return LoginServiceDown(
        "Globus cannot be reached to renew your login", hint="wait: it is tried again every minute", detail=detail
    )
