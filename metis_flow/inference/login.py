"""Logging in to Metis and out again, and what is known of a login. The only place that ever prompts."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metis_flow.errors import LoginRequired
from metis_flow.inference.errors import LoginServiceDown
from metis_flow.inference.globus import (
    APP_NAME,
    CLIENT_ID,
    POLICY,
    RESOURCE_SERVER,
    SCOPE,
    GlobusTokens,
    auth_client,
    read_login,
    read_token_document,
    token_file,
    token_lock,
    write_token_data,
)
from metis_flow.inference.refusals import LOGIN, LOGOUT_PAGE

if TYPE_CHECKING:
    from globus_sdk.globus_app.protocols import LoginFlowManagerProvider


@dataclass(frozen=True)
class LoginStatus:
    """What is known of a login without asking anybody.

    Args:
        logged_in: whether a token is there that works by its date, or that can be renewed.
        identity_id: Globus identity; None where nobody is logged in.
        expires_at: unix seconds at which the access token ends; None where there is none.
        renewable: whether it can be renewed without a login, as far as can be told here.
        path: the token file.
    """

    logged_in: bool
    identity_id: str | None
    expires_at: float | None
    renewable: bool
    path: Path

    def seconds_left(self) -> float:
        """Until the access token ends; 0 where it has, or where there is none."""
        return max(0.0, (self.expires_at or 0.0) - time.time())

    def outlasts(self, seconds: float) -> bool:
        """Whether the access token, without being renewed, lasts so long."""
        return self.seconds_left() >= seconds


def status(path: Path | None = None) -> LoginStatus:
    """The login of this user.

    Raises:
        LoginRequired: the token file is damaged.
    """
    found = path or token_file()
    login = read_login(found)
    if login is None:
        return LoginStatus(False, None, None, False, found)
    renewable = login.refresh_token is not None
    usable = renewable or login.expires_at > time.time()
    return LoginStatus(usable, login.identity_id, login.expires_at, renewable, found)


def access_token(path: Path | None = None) -> str:
    """A token that works now, renewed where it is due; for `metis-flow auth token`.

    Raises:
        LoginRequired: log in first.
        LoginServiceDown: it has to be renewed, and Globus cannot be reached.
    """
    return GlobusTokens(path).token()


def login(
    *,
    force: bool = False,
    no_browser: bool = False,
    path: Path | None = None,
    flow: LoginFlowManagerProvider | None = None,
) -> bool:
    """Log in, where that is needed; asks the user to open a page.

    Args:
        force: even where there is a login that works, and with the password asked anew.
        no_browser: print the page's address and ask for the code, instead of opening a browser.
        path: the token file; None for the usual one.
        flow: how the user is led through it; None for globus_sdk's own.

    Returns:
        Whether a login took place; False where the present one works.

    Raises:
        LoginRequired: it did not succeed.
    """
    found = path or token_file()
    if not force and _works(found):
        return False
    entries = _run_flow(flow or _flow(no_browser=no_browser), force=force)
    with token_lock(found):
        write_token_data(found, entries)
    return True


def logout(path: Path | None = None) -> bool:
    """Revoke the tokens and forget them; ALCF's helper and alcf-ai are logged out too.

    Returns:
        Whether there was anything to revoke.

    Raises:
        LoginServiceDown: Globus cannot be reached; nothing has changed.
    """
    import globus_sdk

    found = path or token_file()
    if not found.exists():
        return False
    with token_lock(found):
        entries = read_token_document(found).get("data", {}).get("DEFAULT", {})
        client = auth_client()
        try:
            for entry in entries.values():
                for name in ("access_token", "refresh_token"):
                    if entry.get(name):
                        client.oauth2_revoke_token(entry[name])
        except globus_sdk.GlobusError as error:
            raise LoginServiceDown(
                "Globus cannot be reached to revoke your tokens; you are still logged in",
                hint="try again, or revoke them at https://app.globus.org/settings/consents",
                detail=type(error).__name__,
            ) from None
        finally:
            client.close()
        write_token_data(found, dict.fromkeys(entries))
    return bool(entries)


def _works(path: Path) -> bool:
    """Whether the present login gives a token."""
    try:
        access_token(path)
    except LoginRequired:
        return False
    return True


def _run_flow(flow: LoginFlowManagerProvider, *, force: bool) -> dict[str, dict[str, Any] | None]:
    """Lead the user through the login; the token file's new entries.

    The tokens are kept in memory until all is well, so that a login as somebody else replaces the old one whole.
    """
    import globus_sdk
    from globus_sdk.gare import GlobusAuthorizationParameters
    from globus_sdk.token_storage import MemoryTokenStorage

    storage = MemoryTokenStorage()
    config = globus_sdk.GlobusAppConfig(
        request_refresh_tokens=True,
        token_storage=storage,
        login_flow_manager=flow,
    )
    wanted = GlobusAuthorizationParameters(session_required_policies=[POLICY], prompt="login" if force else None)
    try:
        with globus_sdk.UserApp(
            APP_NAME, client_id=CLIENT_ID, scope_requirements={RESOURCE_SERVER: [SCOPE]}, config=config
        ) as app:
            app.login(auth_params=wanted)
    except (globus_sdk.GlobusError, EOFError) as error:
        raise LoginRequired(
            "the login did not succeed",
            hint=f"try again: {LOGIN} (if that does not help, log out at {LOGOUT_PAGE} first)",
            detail=f"{type(error).__name__}: {error}".splitlines()[0],
        ) from None
    return {server: data.to_dict() for server, data in storage.get_token_data_by_resource_server().items()}


def _flow(*, no_browser: bool) -> LoginFlowManagerProvider:
    """A page in a browser of this machine, or an address to copy and a code to type."""
    from globus_sdk.login_flows import CommandLineLoginFlowManager, LocalServerLoginFlowManager

    return CommandLineLoginFlowManager if no_browser or not _has_browser() else LocalServerLoginFlowManager


def _has_browser() -> bool:
    """Whether a browser that is opened here is in front of the user: not on a login node reached by ssh."""
    if os.environ.get("SSH_CONNECTION") or not sys.stdin.isatty():
        return False
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
