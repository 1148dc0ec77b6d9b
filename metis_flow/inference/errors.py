"""What can go wrong with a call, and what each thing means for sending it again.

::

    InferenceError                      (metis_flow.errors) one instance failed for want of an answer
    └── CallFailed                      one of the following
        ├── Refused                     the server will not take this request; sending it again cannot help
        │   ├── InvalidRequest          a field of the request is wrong
        │   ├── TooLarge                the request is too big for the server or the model
        │   ├── UnknownModel            the server has no such model
        │   ├── WrongAddress            nothing is served at this address
        │   ├── Unsupported             the server does not do this
        │   ├── AccessDenied            this user may not use it
        │   ├── UpstreamKeyRefused      the gateway's own key was refused; the user's login is fine
        │   ├── QuotaExhausted          the account has nothing left
        │   └── Redirected              the server points elsewhere; tokens do not follow
        ├── RateLimited                 429; the limiter slows down: its pace, its window, or its places
        │   ├── TooManyRequests         too many a second
        │   ├── TokensExhausted         the minute's tokens are used up
        │   └── UpstreamBusy            the server behind the gateway has its own limit
        ├── NotReady                    asked again slowly
        │   ├── ModelNotLive            the model is not loaded
        │   ├── UnderMaintenance        the cluster is being worked on
        │   └── LoginServiceDown        Globus cannot be asked who one is
        ├── ServerTrouble               5xx and broken connections
        │   ├── GatewayTimeout, BadGateway, StatusPageBroken, UpstreamTrouble, InternalTrouble
        │   └── Unreachable, CertificateRefused, ProxyTrouble, ConnectionCut, TimedOutWaiting
        ├── BadAnswer                   a 200 that is no answer
        │   ├── NotJson, NoChoices, NoContent, LeakedMarkup, ErrorAsAnswer, CutStream
        │   └── LengthStop, Filtered    these would come again: never repeated
        └── Withdrawn                   it was never sent, because the run is being stopped

A login that cannot be used is `metis_flow.errors.LoginRequired`, which pauses the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from metis_flow.errors import InferenceError
from metis_flow.inference.answers import Answer


@dataclass(frozen=True)
class Retry:
    """Whether and when a failed call is sent again.

    Args:
        first: seconds before the first repetition; each further wait is twice the one before.
        longest: seconds that no wait exceeds.
        times: how often it is repeated at most; None for any number.
        patience: seconds of waiting, all together, after which the call fails; None for any.
    """

    first: float
    longest: float
    times: int | None = None
    patience: float | None = None

    def wait(self, repeated: int, waited: float) -> float | None:
        """Seconds to wait, after so many repetitions and seconds waited; None when it is enough."""
        if self.times is not None and repeated >= self.times:
            return None
        if self.patience is not None and waited >= self.patience:
            return None
        return min(self.first * 2.0 ** min(repeated, 30), self.longest)


NEVER = Retry(0.0, 0.0, times=0)
SECOND = Retry(1.0, 8.0, patience=3600.0)
WINDOW = Retry(0.0, 0.0)
BACK_OFF = Retry(1.0, 60.0, patience=900.0)
SOON = Retry(1.0, 16.0, times=5)
SLOWLY = Retry(60.0, 60.0, patience=900.0)
AGAIN = Retry(0.0, 1.0, times=3)


class CallFailed(InferenceError):
    """No usable answer to one call.

    Attributes:
        retry: whether and when it is sent again.
        answer: what did come back, where it was an answer of sorts (and was paid for).
        after: seconds that the server itself asked to wait.
    """

    retry: ClassVar[Retry] = NEVER
    answer: Answer | None = None
    after: float | None = None


class Withdrawn(CallFailed):
    """The call was not sent: the run is being stopped, and a resume will send it."""

    kind = "withdrawn"

    def __init__(self) -> None:
        super().__init__("the call was not sent, because the run is being stopped")


class Refused(CallFailed):
    """The server will not take this request."""

    kind = "refused"


class InvalidRequest(Refused):
    """A field of the request is wrong."""

    kind = "invalid_request"


class TooLarge(Refused):
    """The request is too big for the server or the model."""

    kind = "too_large"


class UnknownModel(Refused):
    """The server has no such model."""

    kind = "unknown_model"


class WrongAddress(Refused):
    """Nothing is served at this address."""

    kind = "wrong_address"


class Unsupported(Refused):
    """The server does not do this."""

    kind = "unsupported"


class AccessDenied(Refused):
    """This user may not use it."""

    kind = "access_denied"


class UpstreamKeyRefused(Refused):
    """The gateway's own key was refused; the user's login is fine."""

    kind = "upstream_key_refused"


class QuotaExhausted(Refused):
    """The account has nothing left."""

    kind = "quota_exhausted"


class Redirected(Refused):
    """The server points elsewhere; a token does not follow."""

    kind = "redirected"


class RateLimited(CallFailed):
    """429."""

    kind = "rate_limited"
    retry = BACK_OFF


class TooManyRequests(RateLimited):
    """Too many requests a second."""

    kind = "too_many_requests"
    retry = SECOND


class TokensExhausted(RateLimited):
    """The minute's tokens are used up; the limiter knows when the next one begins."""

    kind = "tokens_exhausted"
    retry = WINDOW


class UpstreamBusy(RateLimited):
    """The server behind the gateway has its own limit."""

    kind = "upstream_busy"
    retry = Retry(2.0, 60.0, patience=3600.0)


class NotReady(CallFailed):
    """Nobody's call can succeed at the moment."""

    kind = "not_ready"
    retry = SLOWLY


class ModelNotLive(NotReady):
    """The model is not loaded; a call does not start it."""

    kind = "model_not_live"


class UnderMaintenance(NotReady):
    """The cluster is being worked on."""

    kind = "under_maintenance"


class LoginServiceDown(NotReady):
    """The gateway cannot ask Globus who one is; it remembers that for a minute."""

    kind = "login_service_down"


class ServerTrouble(CallFailed):
    """5xx, and broken connections."""

    kind = "server_trouble"
    retry = BACK_OFF


class GatewayTimeout(ServerTrouble):
    """The gateway gave up waiting for the model."""

    kind = "gateway_timeout"


class BadGateway(ServerTrouble):
    """The gateway is down, or the worker that had the call went away."""

    kind = "bad_gateway"


class StatusPageBroken(ServerTrouble):
    """The gateway cannot read which models are live."""

    kind = "status_page_broken"


class UpstreamTrouble(ServerTrouble):
    """The server behind the gateway failed."""

    kind = "upstream_trouble"


class InternalTrouble(ServerTrouble):
    """The gateway itself failed."""

    kind = "internal_trouble"


class Unreachable(ServerTrouble):
    """No connection could be made."""

    kind = "unreachable"
    retry = SOON


class CertificateRefused(Unreachable):
    """The server's certificate is not one that this machine trusts."""

    kind = "certificate_refused"
    retry = NEVER


class ProxyTrouble(ServerTrouble):
    """The proxy of the environment did not let the connection through."""

    kind = "proxy_trouble"
    retry = SOON


class ConnectionCut(ServerTrouble):
    """The connection ended before the answer did."""

    kind = "connection_cut"


class TimedOutWaiting(ServerTrouble):
    """No answer within the endpoint's `timeout`."""

    kind = "timed_out"
    retry = Retry(1.0, 16.0, times=3)


class BadAnswer(CallFailed):
    """A 200 that is no answer."""

    kind = "bad_answer"
    retry = AGAIN


class NotJson(BadAnswer):
    """The answer's body is not the JSON of a chat completion."""

    kind = "not_json"
    retry = Retry(1.0, 8.0, times=4)


class NoChoices(BadAnswer):
    """The answer holds no choice."""

    kind = "no_choices"


class NoContent(BadAnswer):
    """The model gave no text: null or empty content."""

    kind = "no_content"


class LeakedMarkup(BadAnswer):
    """The model's own channel markup stands in the answer, or a function call that it did not complete."""

    kind = "leaked_markup"


class ErrorAsAnswer(BadAnswer):
    """An error of the gateway that came as the answer's text."""

    kind = "error_as_answer"
    retry = BACK_OFF


class CutStream(BadAnswer):
    """A stream that ended without a finish reason."""

    kind = "cut_stream"
    retry = Retry(1.0, 8.0, times=4)


class LengthStop(BadAnswer):
    """The answer was cut at `max_tokens` or at the end of the model's context."""

    kind = "length_stop"
    retry = NEVER


class Filtered(BadAnswer):
    """The server's content filter held the answer back."""

    kind = "filtered"
    retry = NEVER
