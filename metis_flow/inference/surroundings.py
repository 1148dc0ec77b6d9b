"""What the machine says about connections to the outside: its proxy, and whom it trusts."""

from __future__ import annotations

import base64
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from metis_flow.errors import ConfigError


@dataclass(frozen=True)
class Proxy:
    """A proxy for https.

    Attributes:
        address: without a user's name and password.
        headers: which carry these, where there are any.
    """

    address: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def proxy_for(url: str) -> Proxy | None:
    """The proxy that the environment (``https_proxy``, ``all_proxy``, ``no_proxy``) names for an https address.

    Raises:
        ConfigError: it is of a kind that cannot be used.
    """
    target = urlsplit(url)
    proxies = getproxies()
    named = proxies.get("https") or proxies.get("all")
    if not named or proxy_bypass(target.netloc.rpartition("@")[2]):
        return None
    proxy = urlsplit(named if "://" in named else f"http://{named}")
    if proxy.scheme not in ("http", "https"):
        raise ConfigError(
            f"the proxy of the environment is of the kind '{proxy.scheme}', which cannot be used here",
            hint=f"set https_proxy to an http:// address, or add {target.hostname} to no_proxy",
        )
    return Proxy(f"{proxy.scheme}://{proxy.netloc.rpartition('@')[2]}", _credentials(proxy))


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def certificates() -> ssl.SSLContext:
    """Whom to trust: ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``, else what the machine trusts, else Mozilla's list.

    The last is for a Python that was built elsewhere and looks for certificates where this machine keeps none.

    Raises:
        ConfigError: the file that is named is not there.
    """
    named = os.environ.get("SSL_CERT_FILE")
    if named and not Path(named).is_file():
        raise ConfigError(f"SSL_CERT_FILE names '{named}', and there is no such file", hint="mend or unset it")
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and not (paths.capath is not None and any(Path(paths.capath).iterdir())):
        import certifi

        context.load_verify_locations(certifi.where())
    return context
