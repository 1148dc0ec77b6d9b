"""The one client of a run: every call of every step goes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from metis_flow.errors import LoginRequired, TimedOut
from metis_flow.inference.answers import Answer, ChatRequest
from metis_flow.inference.bodies import Bodies
from metis_flow.inference.clock import Clock, WallClock, sleep
from metis_flow.inference.endpoints import EndpointConfig
from metis_flow.inference.errors import (
    BadAnswer,
    CallFailed,
    ErrorAsAnswer,
    NotReady,
    RateLimited,
    ServerTrouble,
    TokensExhausted,
    TooManyRequests,
)
from metis_flow.inference.estimates import TokenEstimator, count_characters
from metis_flow.inference.limiter import Limiter, LimiterSnapshot, Place
from metis_flow.inference.reading import read_answer, read_document, read_json
from metis_flow.inference.refusals import TokenRefused
from metis_flow.inference.tokens import TokenProvider, take_secrets
from metis_flow.inference.transport import Reply, Transport
from metis_flow.inference.tries import Tries
from metis_flow.units import format_duration

T = TypeVar("T")
Note = Callable[[dict[str, Any]], None]
LOGIN_EVERY = 10.0  # seconds between two looks whether somebody has logged in


class Inference:
    """Asks an endpoint for chat completions; shared by all steps of a run, on one event loop.

    Args:
        endpoint: who answers.
        concurrency: most calls in flight; None for the endpoint's own number.
        tokens: hands out the token; None for what the endpoint's file says.
        on_note: told facts that were learnt on the way, such as what the server does with ``response_format``.
        patient: whether to wait without end for a login, a model that is not live, or a cluster under maintenance.
        clock: for tests.
    """

    def __init__(
        self,
        endpoint: EndpointConfig,
        *,
        concurrency: int | None = None,
        tokens: TokenProvider | None = None,
        on_note: Note | None = None,
        patient: bool = False,
        clock: Clock | None = None,
    ) -> None:
        limits = endpoint.limits
        self.endpoint = endpoint
        self.limiter = Limiter(
            concurrency or limits.concurrency,
            requests_per_second=limits.requests_per_second,
            tokens_per_minute=limits.tokens_per_minute.least,
            clock=clock,
        )
        self.on_note = on_note
        self.formats: dict[str, bool | asyncio.Future[None]] = {}
        self.clock = clock or WallClock()
        self._patient = patient
        self._tokens = tokens or take_secrets(endpoint)
        self._token_lock = asyncio.Lock()
        self._estimators: dict[str, TokenEstimator] = {}
        self.address = ""
        self._counts_tokens = limits.tokens_per_minute.least is not None
        self._transport: Transport | None = None
        self._model: Any = None
        self._bodies = Bodies(endpoint.requests_per_body, self._post) if endpoint.requests_per_body > 1 else None

    async def open(self) -> None:
        """Make the client; for `kind: embedded`, start the model first.

        Raises:
            ConfigError: the endpoint lacks an address, or the embedded model is not installed.
        """
        if self.endpoint.kind == "embedded":
            from metis_flow.inference.embedded import EmbeddedModel

            self._model = EmbeddedModel()
            self._tokens = await asyncio.to_thread(self._model.start)
            self.address = self._model.address
        else:
            self.address = self.endpoint.address
        self._transport = Transport(self.address, connections=self.limiter.most, timeout=self.endpoint.limits.timeout)
        self._transport.open()

    async def close(self) -> None:
        """Close the connections; end the embedded model."""
        self.limiter.close()
        if self._transport is not None:
            await self._transport.close()
            self._transport = None
        if self._model is not None:
            await asyncio.to_thread(self._model.stop)
            self._model = None

    async def call(
        self,
        request: ChatRequest,
        settle: Callable[[Answer], Awaitable[T]],
        *,
        begun: bool = False,
        timeout: float | None = None,
    ) -> T:
        """One chat completion, asked for until it comes or cannot come.

        Args:
            request: what to ask.
            settle: checks the answer and makes it durable; the call keeps its place in the limiter until that is done.
            begun: it repairs an answer that has been paid for, and so is sent also after `withdraw`.
            timeout: seconds from sending to the answer; waiting for one's turn does not count.

        Returns:
            What `settle` returns.

        Raises:
            CallFailed: no answer could be had; its kind says why.
            TimedOut: no answer came within `timeout`.
            Withdrawn: nothing new is sent any more.
            LoginRequired: the user has to log in first.
        """
        tries = Tries()
        while True:
            characters = count_characters(request.messages) if self._counts_tokens else 0
            place = await self.limiter.enter(
                request.model, partial(self._estimate, request, characters), again=tries.count > 0, begun=begun
            )
            try:
                answer = await _within(timeout, self._try(request, place, tries))
                if isinstance(answer, Answer):
                    self._learn(request.model, characters, answer)
                    return await settle(answer)
            finally:
                place.leave()
            if answer > 0:
                await sleep(self.clock, answer)

    async def _try(self, request: ChatRequest, place: Place, tries: Tries) -> Answer | float:
        """An answer, or the seconds to wait before trying again."""
        try:
            answer = await self._ask(request, alone=tries.count > 0)
        except LoginRequired as error:
            if not self._patient:
                raise
            self._wait_for_login(error, place)
            return 0.0
        except CallFailed as error:
            wait = self._after(error, place, tries)
            if wait is None:
                raise
            self.limiter.retries[error.kind] += 1
            return wait
        place.answered(answer.usage.total_tokens)
        return answer

    def set_tokens_per_minute(self, model: str, rate: int) -> None:
        """Take up a limit that the gateway told."""
        self._counts_tokens = True
        self.limiter.set_tokens_per_minute(model, rate)

    def withdraw(self) -> None:
        """Send nothing new; calls in flight go on. To be called on the event loop."""
        self.limiter.withdraw()

    def snapshot(self) -> LimiterSnapshot:
        """How the limiter stands."""
        return self.limiter.snapshot()

    async def token(self) -> str:
        """The endpoint's token; waits, off the event loop, where it has to be read or refreshed.

        Raises:
            LoginRequired: there is none.
        """
        token = self._tokens.held()
        if token is not None:
            return token
        async with self._token_lock:
            token = self._tokens.held()
            return token if token is not None else await asyncio.to_thread(self._tokens.token)

    async def fetch(self, url: str) -> Any:
        """JSON of a GET, such as a gateway's list of models; counted and repeated like a call.

        Args:
            url: the whole address; it lies on the endpoint's own host.

        Raises:
            CallFailed, LoginRequired: it could not be had.
        """
        tries = Tries()
        remedy = self._tokens.remedy()
        while True:
            place = await self.limiter.enter(None, again=tries.count > 0)
            try:
                reply = await self._with_token(lambda token: self._opened().get(url, token, remedy=remedy))
                place.answered(0)
                return read_json(reply)
            except CallFailed as error:
                wait = self._after(error, place, tries)
                if wait is None:
                    raise
            finally:
                place.leave()
            await sleep(self.clock, wait)

    def _opened(self) -> Transport:
        if self._transport is None:
            raise RuntimeError("the client is not open")
        return self._transport

    async def _ask(self, request: ChatRequest, *, alone: bool) -> Answer:
        """Send once, in a body of its own or together with others."""
        if self._bodies is not None and not alone:
            document, seconds = await self._bodies.ask(request)
        else:
            reply = await self._post(request.body(), request.model)
            document, seconds = read_document(reply.content, reply.content_type), reply.seconds
        return read_answer(document, request, seconds)

    async def _post(self, body: Any, model: str) -> Reply:
        remedy = self._tokens.remedy()
        return await self._with_token(
            lambda token: self._opened().post("/chat/completions", body, token, model=model, remedy=remedy)
        )

    async def _with_token(self, send: Callable[[str], Awaitable[Reply]]) -> Reply:
        """Send; once more where the token was refused and a new one can be had."""
        token = await self.token()
        try:
            return await send(token)
        except TokenRefused as error:
            if not await self._renewed(token):
                raise self._login_required(error) from None
            self.limiter.retries[error.kind] += 1
        try:
            return await send(await self.token())
        except TokenRefused as error:
            raise self._login_required(error) from None

    async def _renewed(self, token: str) -> bool:
        async with self._token_lock:
            return await asyncio.to_thread(self._tokens.refused, token)

    def _login_required(self, error: TokenRefused) -> LoginRequired:
        what = "your login" if self.endpoint.auth.kind == "globus" else "the token"
        return LoginRequired(
            f"the endpoint '{self.endpoint.name}' does not accept {what}",
            hint=self._tokens.remedy(),
            detail=error.detail,
        )

    def _wait_for_login(self, error: LoginRequired, place: Place) -> None:
        """Close the model's gate for a while: one call then finds out whether somebody has logged in."""
        now = self.clock.now()
        if place.gate.closed_since is None and self.on_note is not None:
            self.on_note({"kind": "login", "reason": error.summary, "hint": error.hint})
        place.gate.close(now + LOGIN_EVERY, "a login", now)

    def _after(self, error: CallFailed, place: Place, tries: Tries) -> float | None:
        """Take up what went wrong; seconds to wait before sending again, or None to give up."""
        now = self.clock.now()
        if isinstance(error, BadAnswer) and error.answer is not None:
            place.answered(error.answer.usage.total_tokens)
        if isinstance(error, TokensExhausted):
            place.gate.exhausted(now, place.since)
        elif isinstance(error, TooManyRequests) and self.limiter.pace.is_known:
            self.limiter.pace.refused(now)
        elif isinstance(error, RateLimited):
            self.limiter.halve(place)
        elif isinstance(error, ServerTrouble | ErrorAsAnswer):
            self.limiter.in_trouble()
        if isinstance(error, NotReady):
            return self._not_ready(error, place, now)
        return tries.next(error)

    def _not_ready(self, error: NotReady, place: Place, now: float) -> float | None:
        """Close the model's gate for a while: all its calls wait together, and one finds out whether it is back."""
        gate = place.gate
        patience = error.retry.patience
        since = gate.closed_since
        if since is not None and patience is not None and now - since >= patience and not self._patient:
            gate.give_up()
            return None
        gate.close(now + error.retry.first, error.summary, now)
        return 0.0

    def _estimate(self, request: ChatRequest, characters: int) -> float:
        if not self._counts_tokens:
            return 0.0
        bound = request.settings.get("max_tokens") or request.settings.get("max_completion_tokens")
        return self.estimator(request.model).estimate(characters, bound if isinstance(bound, int) else None)

    def estimator(self, model: str) -> TokenEstimator:
        """What has been learnt about the tokens of a model's calls."""
        known = self._estimators.get(model)
        if known is None:
            known = self._estimators[model] = TokenEstimator()
        return known

    def _learn(self, model: str, characters: int, answer: Answer) -> None:
        if self._counts_tokens:
            usage = answer.usage
            self.estimator(model).learn(characters, usage.prompt_tokens, usage.completion_tokens)


async def _within(timeout: float | None, sending: Coroutine[Any, Any, T]) -> T:
    """What a call gives, if it does so in time."""
    if timeout is None:
        return await sending
    try:
        return await asyncio.wait_for(sending, timeout)
    except asyncio.TimeoutError:
        limit = format_duration(timeout)
    raise TimedOut(f"no answer within its timeout of {limit}", hint="raise 'timeout'")
