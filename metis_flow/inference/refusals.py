"""From a status and a body that is no answer to the error that says what to do."""

from __future__ import annotations

import re

from metis_flow.errors import LoginRequired
from metis_flow.inference import errors
from metis_flow.inference.errors import CallFailed
from metis_flow.inference.refusal_bodies import SHOWN, Refusal

BIG_BODY = 2_621_440  # bytes; the gateway answers 500 to more
LOGIN = "metis-flow auth login --force"
LOGOUT_PAGE = "https://app.globus.org/logout"
SUPPORT = "support@alcf.anl.gov"

_UPSTREAM = re.compile(r"Upstream endpoint returned (\d{3})")
_INCOMPLETE_CALL = "started a function call but did not complete it"


class TokenRefused(CallFailed):
    """The server does not take the token: a new one may help, once."""

    kind = "token_refused"


def error_of(refusal: Refusal) -> CallFailed | LoginRequired:
    """The error of a refusal, with the words that a user reads."""
    upstream = _UPSTREAM.search(refusal.message) if refusal.code == "internal_endpoint_error" else None
    if _INCOMPLETE_CALL in refusal.message:
        error: CallFailed | LoginRequired = _make(
            errors.LeakedMarkup,
            refusal,
            "the model began a function call and did not complete it",
            "reword the prompt, or try another temperature",
        )
    elif upstream is not None:
        error = _upstream(int(upstream[1]), refusal)
    else:
        by_status = {401: _unauthorized, 404: _not_found, 429: _too_many, 503: _unavailable}
        error = by_status.get(refusal.status, _other)(refusal)
    if isinstance(error, CallFailed):
        error.after = refusal.after
    return error


def _unauthorized(refusal: Refusal) -> CallFailed | LoginRequired:
    said = refusal.message
    if "Could not introspect token with Globus" in said or "Could not recover dependent access token" in said:
        return _make(
            errors.LoginServiceDown,
            refusal,
            "the gateway cannot reach Globus to check who you are; your login may be fine",
            "wait: the gateway asks again after a minute",
        )
    if "high-assurance timeout" in said or "internal policies" in said:
        return LoginRequired(
            "your Globus login is too old for the gateway's policy",
            hint=f"log out at {LOGOUT_PAGE}, then type: {LOGIN}",
            detail=_said(refusal),
        )
    if "Must authenticate with" in said:
        return LoginRequired(
            "you are logged in with an identity that the gateway does not accept",
            hint=f"log out at {LOGOUT_PAGE}, then type: {LOGIN} and choose your ALCF or Argonne identity",
            detail=_said(refusal),
        )
    if "Globus Group" in said:
        return LoginRequired(
            "your account is not in the Globus group that may use this gateway",
            hint=f"ask {SUPPORT} for access, then type: {LOGIN}",
            detail=_said(refusal),
        )
    if "Permission denied" in said:
        return _make(
            errors.AccessDenied,
            refusal,
            f"you may not use the model '{refusal.model}'" if refusal.model else "you may not use this",
            f"choose another (metis-flow models), or ask {SUPPORT} for access",
        )
    if refusal.code == "" and "Missing" in said and "Authorization" in said:
        return LoginRequired("the request carried no token", hint=refusal.remedy, detail=_said(refusal))
    return TokenRefused("the server does not accept the token", hint=refusal.remedy, detail=_said(refusal))


def _not_found(refusal: Refusal) -> CallFailed:
    said = refusal.message.lower()
    if refusal.code == "endpoint_not_found" or (not refusal.html and "model" in said):
        return _make(
            errors.UnknownModel,
            refusal,
            f"the endpoint has no model '{refusal.model}'",
            "see which there are: metis-flow models (names are exact, with no '/')",
        )
    if refusal.code == "cluster_not_found":
        return _make(
            errors.WrongAddress,
            refusal,
            "the gateway has no such cluster",
            "check 'base_url' in the endpoint's file",
        )
    return _make(
        errors.WrongAddress,
        refusal,
        "nothing is served at the endpoint's address",
        "check 'base_url' in the endpoint's file; it ends before /chat/completions",
    )


def _too_many(refusal: Refusal) -> CallFailed:
    if refusal.code == "too_many_requests":
        return _make(
            errors.TokensExhausted,
            refusal,
            "the tokens of this minute are used up",
            "wait: the next minute begins within 60 s; other runs of yours count too",
        )
    if refusal.code in ("insufficient_quota", "billing_hard_limit_reached"):
        return _make(
            errors.QuotaExhausted, refusal, "the account has no quota left", "see the account's page of the provider"
        )
    if refusal.code == "internal_endpoint_error":
        return _make(
            errors.UpstreamBusy,
            refusal,
            "the model's server has more requests than it takes",
            "wait; a lower limits.concurrency helps",
        )
    return _make(
        errors.TooManyRequests,
        refusal,
        "too many requests a second",
        "wait; other runs and status queries of yours count too",
    )


def _unavailable(refusal: Refusal) -> CallFailed:
    if "is not currently live" in refusal.message:
        return _make(
            errors.ModelNotLive,
            refusal,
            f"the model '{refusal.model}' is not live, and a call does not start it",
            "see which are: metis-flow models; or run with --wait",
        )
    if refusal.code == "cluster_under_maintenance":
        return _make(
            errors.UnderMaintenance,
            refusal,
            "the cluster is under maintenance",
            "try again later, or run with --wait; see https://metis.alcf.anl.gov/status",
        )
    return _server_trouble(refusal)


def _other(refusal: Refusal) -> CallFailed:
    status = refusal.status
    if 300 <= status < 400:
        return _make(
            errors.Redirected,
            refusal,
            f"the server answered {status}, a redirection; a token is not taken to another address",
            "write the final address as 'base_url' in the endpoint's file",
        )
    if status == 403:
        return _make(
            errors.AccessDenied, refusal, "the server does not let you use this", "check which models your key may use"
        )
    if refusal.code in ("unsupported_framework", "unsupported_endpoint", "batch_unavailable") or status in (405, 501):
        return _make(
            errors.Unsupported,
            refusal,
            "the endpoint does not offer this",
            "chat completions are all that is asked for: check 'base_url' in the endpoint's file",
        )
    if status == 413 or (status == 500 and refusal.sent > BIG_BODY) or "exceed_context_size" in refusal.code:
        return _too_large(refusal)
    if status == 400 and re.search(r"context (length|size|window)", refusal.message):
        return _too_large(refusal)
    if status == 408 or status >= 500:
        return _server_trouble(refusal)
    return _invalid(refusal)


def _too_large(refusal: Refusal) -> CallFailed:
    size = f" ({refusal.sent:,} bytes)" if refusal.sent else ""
    return _make(
        errors.TooLarge,
        refusal,
        f"the request{size} is too big for the server or for the model's context",
        "send less text in one call: split it over the items of a foreach",
    )


def _invalid(refusal: Refusal) -> CallFailed:
    fields = refusal.info.get("fields") or [
        f"{item.get('field')}: {item.get('message')}"
        for item in refusal.info.get("errors") or ()
        if isinstance(item, dict)
    ]
    named = f": {', '.join(map(str, fields))}" if fields else ""
    return _make(
        errors.InvalidRequest,
        refusal,
        f"the server will not take the request (status {refusal.status}){named}",
        "check the model settings and messages of the step",
    )


def _server_trouble(refusal: Refusal) -> CallFailed:
    rows: list[tuple[bool, type[CallFailed], str]] = [
        (
            refusal.code == "failed_to_get_cluster_jobs",
            errors.StatusPageBroken,
            "the gateway cannot read which models are live",
        ),
        (
            refusal.message.startswith("HTTP error calling API"),
            errors.UpstreamTrouble,
            "the gateway could not reach the model's server",
        ),
        (refusal.status == 504, errors.GatewayTimeout, "the gateway gave up waiting for the model"),
        (refusal.status == 502, errors.BadGateway, "the gateway is down, or restarted during the call"),
        (
            refusal.code == "internal_error",
            errors.InternalTrouble,
            "the gateway failed, or could not read what the model's server answered",
        ),
    ]
    for applies, kind, summary in rows:
        if applies:
            return _make(kind, refusal, summary, "try again later: metis-flow resume last")
    return _make(
        errors.ServerTrouble,
        refusal,
        f"the server failed (status {refusal.status})",
        "try again later: metis-flow resume last",
    )


def _upstream(status: int, refusal: Refusal) -> CallFailed:
    """What the server behind the gateway refused, judged by the status that it gave."""
    if status in (401, 403):
        return _make(
            errors.UpstreamKeyRefused,
            refusal,
            "the model's server refused the gateway's own key; your login is fine",
            f"tell {SUPPORT}; nothing on your side helps",
        )
    if status == 429:
        return _too_many(refusal)
    if status == 413:
        return _too_large(refusal)
    if status == 404:
        return _make(
            errors.UnknownModel,
            refusal,
            f"the gateway lists the model '{refusal.model}', but its server does not have it",
            f"choose another (metis-flow models), or tell {SUPPORT}",
        )
    if status == 408 or status >= 500:
        return _make(
            errors.UpstreamTrouble,
            refusal,
            f"the model's server failed (status {status})",
            "try again later: metis-flow resume last",
        )
    return _make(
        errors.InvalidRequest,
        refusal,
        f"the model's server will not take the request (status {status})",
        "check the model settings and messages of the step",
    )


def _make(kind: type[CallFailed], refusal: Refusal, summary: str, hint: str) -> CallFailed:
    return kind(summary, hint=hint, detail=_said(refusal))


def _said(refusal: Refusal) -> str | None:
    """What the server itself said, for who wants to know."""
    if not refusal.message:
        return None
    code = f" {refusal.code}" if refusal.code else ""
    return f"HTTP {refusal.status}{code}: {refusal.message[:SHOWN]}"
