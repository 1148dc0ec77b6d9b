"""Instances from submission to their end: tries, losses and retries, and ends that are durable before they are used."""

from __future__ import annotations

import heapq
import itertools
import time
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from metis_flow.engine import entries
from metis_flow.engine.budget import Budget
from metis_flow.engine.outcome import Outcome, outcome_of
from metis_flow.engine.prepare import Prepared, Preparer
from metis_flow.engine.progress import Progress
from metis_flow.engine.reuse import Found
from metis_flow.engine.scope import Result, conversation_of, from_journal
from metis_flow.engine.steprun import Instance
from metis_flow.engine.stop import Stop
from metis_flow.errors import (
    Cancelled,
    InferenceError,
    LoginRequired,
    MetisFlowError,
    OutputInvalid,
    ShellFailed,
    WorkerLost,
)
from metis_flow.inference.errors import Withdrawn
from metis_flow.workflow.definition import Resources, Retry, StepDef

MAX_LOST = 3


class Apps(Protocol):
    """Where instances are sent to run."""

    def executor_for(self, step: StepDef) -> str:
        """The executor that runs a step."""

    def submit(self, executor: str, payload: Any, resources: Resources | None = None) -> Future[Outcome]:
        """Start one app call; its future gives the outcome."""

    def flush(self) -> None:
        """Start what was submitted and waits for more of its kind to share an app call."""

    def window(self, executor: str) -> int:
        """How many instances of a step may be submitted and unfinished at once."""

    def end(self, payload: Any) -> None:
        """End one app call that may be running. Its future is not asked any more."""


class Control(Protocol):
    """Who decides what starts, and is told what ended."""

    stop: Stop | None

    def post(self, function: Any, *args: Any) -> None:
        """Have the one thread that owns all state call ``function(*args)``."""

    def drain(self, stop: Stop) -> None:
        """Start nothing more."""

    def find(self, instance: Instance, content: str, own_only: str | None) -> Found | None:
        """A result, or an answer, that an instance need not have made again."""

    def go(self, instance: Instance) -> None:
        """Have an instance made, or take its result from where it was made earlier."""

    def settle(self, instance: Instance, result: Result) -> None:
        """An instance has ended, and that is durable."""

    def leave(self, instance: Instance) -> None:
        """An instance was not run to its end: a resume will run it."""


@dataclass(eq=False)
class Flight:
    """One instance that was submitted.

    Attributes:
        payload: of the try that is going on; None between two tries.
        lost: tries that ended because a worker was lost.
    """

    instance: Instance
    prepared: Prepared
    payload: Any = None
    lost: int = 0


@dataclass(order=True)
class _Later:
    when: float
    number: int
    flight: Flight = field(compare=False)


class Flights:
    """Submits instances, tries them again, and makes their ends durable. Used by one thread only.

    Attributes:
        own_only: whether something was made that is of no use to other runs.
    """

    def __init__(
        self,
        control: Control,
        apps: Apps,
        preparer: Preparer,
        journal: entries.Journal,
        progress: Progress,
        budget: Budget,
    ) -> None:
        self._control = control
        self._apps = apps
        self._preparer = preparer
        self._journal = journal
        self._progress = progress
        self._budget = budget
        self.own_only = False
        self._running: dict[int, Flight] = {}
        self._later: list[_Later] = []
        self._numbers = itertools.count()

    # -- submitting

    def launch(self, instance: Instance, prepared: Prepared) -> None:
        """Run an instance."""
        self._submit(Flight(instance, prepared))

    def _submit(self, flight: Flight) -> None:
        instance = flight.instance
        if instance.step.definition.verb == "chat":
            try:
                self._count_call()
            except Withdrawn:
                self._control.leave(instance)
                return
        instance.step.progress.running += 1
        number = next(self._numbers)
        self._running[number] = flight
        flight.payload = flight.prepared.payload(instance.entry, partial(self._consult, flight))
        future = self._apps.submit(instance.step.executor, flight.payload, instance.step.definition.resources)
        future.add_done_callback(lambda done: self._control.post(self._landed, number, done))

    def _consult(self, flight: Flight, content: str) -> Future[Found | None]:
        """Look for the answer to a question that an instance has; safe from any thread."""
        answer: Future[Found | None] = Future()
        self._control.post(self._look_up, flight, content, answer)
        return answer

    def _look_up(self, flight: Flight, content: str, answer: Future[Found | None]) -> None:
        try:
            found = self._control.find(flight.instance, content, flight.prepared.own_only)
            if found is None:
                self._count_call()
        except MetisFlowError as error:
            answer.set_exception(error)
        else:
            answer.set_result(found)

    def _count_call(self) -> None:
        """A call is about to be made.

        Raises:
            Withdrawn: it may not be, as the run is being stopped.
        """
        stop = self._budget.take_call() if self._control.stop is None else None
        if stop is not None:
            self._control.drain(stop)
        if self._control.stop is not None:
            raise Withdrawn

    # -- what became of them

    def _landed(self, number: int, future: Future[Outcome]) -> None:
        """An app call ended."""
        flight = self._running.pop(number, None)
        if flight is None:  # it was taken back meanwhile
            return
        instance = flight.instance
        instance.step.progress.running -= 1
        outcome = outcome_of(future, instance.address)
        error = outcome.error
        if isinstance(error, Withdrawn):
            self._control.leave(instance)
            if outcome.stop is not None:
                self._control.drain(outcome.stop)
        elif isinstance(error, LoginRequired):
            self._control.leave(instance)
            self._control.drain(Stop("paused", error.exit_code, error.summary, error.hint))
        else:
            self.end(instance, outcome, flight)

    def end(self, instance: Instance, outcome: Outcome, flight: Flight | None = None) -> None:
        """Make an outcome durable, and only then use it; or try again.

        Args:
            flight: what was submitted; None where it did not come to that.
        """
        if outcome.error is None and not outcome.durable:
            outcome = self._checked(instance, outcome)
        for entry in entries.useless_calls(instance, outcome):
            self._journal.append(entry)
        self._progress.calls += outcome.calls
        self._progress.usage += outcome.usage
        if not outcome.is_inside:
            self._budget.add_tokens(outcome.usage.total_tokens)
        self.own_only |= outcome.own_only
        if outcome.error is None:
            instance.step.progress.took(outcome.ended - outcome.began)
            if instance.step.definition.until is not None:
                self._end_round(instance, outcome)
                return
        elif flight is not None:
            wait = self._wait_before_retry(flight, outcome.error)
            if wait is not None:
                self._try_again(flight, outcome, wait)
                return
        self._conclude(instance, outcome)

    def refuse(self, instance: Instance, error: MetisFlowError) -> None:
        """An instance fails before it is submitted."""
        error.where = error.where or instance.address
        now = time.time()
        self._conclude(instance, Outcome(error=error, began=now, ended=now))

    def _conclude(self, instance: Instance, outcome: Outcome) -> None:
        """This is how the instance ended."""
        if outcome.error is not None:
            self._progress.failed(instance.address, outcome.error.summary)
            result = Result(instance.item, "failed", outcome.value, outcome.error.as_dict())
        else:
            result = Result(instance.item, "done", outcome.value, messages=outcome.messages)
        if outcome.durable:
            instance.written = outcome.written
            self._control.settle(instance, result)
        else:
            self._write(instance, result, entries.ended(instance, outcome))

    # -- rounds

    def _end_round(self, instance: Instance, outcome: Outcome) -> None:
        """See whether ``until`` holds; else go into the next round, or fail."""
        definition = instance.step.definition
        if self._preparer.is_last_round(definition, instance.scope, outcome.value):
            self._conclude(instance, outcome)
        elif instance.round + 1 >= definition.max_rounds:
            failure = OutputInvalid(
                f"'until' does not hold, and {definition.max_rounds} rounds are over",
                where=instance.address,
                hint="raise 'max_rounds', or look at the rounds with 'metis-flow show'",
            )
            self._conclude(instance, replace(outcome, error=failure, durable=False))
        elif outcome.durable:
            self._next_round(instance, outcome.value)
        else:
            on_durable = partial(self._control.post, self._next_round, instance, outcome.value)
            self._journal.append(entries.answered(instance, outcome), on_durable)

    def _next_round(self, instance: Instance, output: Any) -> None:
        instance.round += 1
        instance.previous = output
        if self._control.stop is not None:
            self._control.leave(instance)
        else:
            self._control.go(instance)

    def take(self, instance: Instance, found: Found) -> None:
        """Use a result that was made earlier."""
        entry, step, instance.written = found.entry, instance.step, found.written
        if entry["e"] == "failed":
            result = Result(instance.item, "failed", entry.get("output"), entry["error"])
            self._control.post(self._control.settle, instance, result)
            return
        value = from_journal(entry["output"], entry.get("kind", "json"))
        if not self._preparer.is_last_round(step.definition, instance.scope, value):
            now = time.time()
            self._end_round(instance, Outcome(value, began=now, ended=now, durable=True))
            return
        step.progress.cached += found.run is not None or "cached" in entry
        messages = conversation_of(entry) if step.keeps_messages else None
        result = Result(instance.item, "done", value, messages=messages)
        if found.run is None and entry["e"] == "done":
            self._control.post(self._control.settle, instance, result)
        else:
            self._write(instance, result, entries.taken(instance, entry, found.run, messages))

    def skip(self, instance: Instance, reason: str) -> None:
        """Do not run an instance."""
        self._write(instance, Result(instance.item, "skipped"), entries.skipped(instance, reason))

    def _write(self, one: Instance, result: Result, entry: dict[str, Any]) -> None:
        """Settle an instance as soon as the entry that says how it ended is durable."""
        one.written = self._journal.append(entry, partial(self._control.post, self._control.settle, one, result))

    def _checked(self, instance: Instance, outcome: Outcome) -> Outcome:
        """The step's own ``check``, for what did not come from a model."""
        failure: MetisFlowError
        try:
            problem = self._preparer.check_output(instance.step.definition, instance.scope, outcome.value)
            if problem is None:
                return outcome
            failure = OutputInvalid(problem, where=instance.address, hint="see 'check' of the step")
        except MetisFlowError as error:
            failure = error
        return replace(outcome, value=None, error=failure)  # what was said in a worker was paid for, and is kept

    # -- trying again

    def _wait_before_retry(self, flight: Flight, error: MetisFlowError) -> float | None:
        """Seconds to wait before the next try; None where there is none."""
        instance, retry = flight.instance, flight.instance.step.definition.retry
        if isinstance(error, WorkerLost) and flight.lost + 1 < MAX_LOST:
            flight.lost += 1
            return 0.0
        tries = instance.attempt - flight.lost
        return retry.wait if tries < retry.attempts and _is_meant(retry, error) else None

    def _try_again(self, flight: Flight, outcome: Outcome, wait: float) -> None:
        instance = flight.instance
        self._journal.append(entries.ended(instance, outcome, final=False))
        assert outcome.error is not None
        self._progress.retried(outcome.error.kind)
        instance.attempt += 1
        instance.entry["attempt"] = instance.attempt
        if self._control.stop is not None:
            self._control.leave(instance)
            return
        flight.payload = None
        instance.step.progress.retrying += 1
        heapq.heappush(self._later, _Later(time.monotonic() + wait, next(self._numbers), flight))

    def wake(self) -> None:
        """Submit what has waited long enough for its next try."""
        while self._later and self._later[0].when <= time.monotonic():
            flight = heapq.heappop(self._later).flight
            flight.instance.step.progress.retrying -= 1
            self._submit(flight)

    def next_wake(self) -> float | None:
        """Seconds until something is tried again; None where nothing waits for that."""
        return max(0.0, self._later[0].when - time.monotonic()) if self._later else None

    def drop_retries(self) -> None:
        """Leave what waits for its next try."""
        for later in self._later:
            later.flight.instance.step.progress.retrying -= 1
            self._control.leave(later.flight.instance)
        self._later.clear()

    # -- taking back

    def give_up_work(self) -> None:
        """Leave what runs on the site. Calls go on: they are paid for."""
        for number, flight in list(self._running.items()):
            if flight.instance.step.definition.verb == "workflow":
                self._apps.end(flight.payload)  # it lands once its own calls have
            elif not flight.instance.step.definition.asks_model:
                self._take_back(number)
                self._control.leave(flight.instance)

    def cancel(self, step: str, word: str | None, error: Cancelled) -> int:
        """End instances of a step that were submitted; how many.

        Args:
            word: a key, or the short form of one; None for all of the step's.
        """
        meant = [number for number, flight in self._running.items() if flight.instance.is_called(step, word)]
        for number in meant:
            self._fail(self._take_back(number), error)
        waiting = [later.flight for later in self._later if later.flight.instance.is_called(step, word)]
        self._later = [later for later in self._later if later.flight not in waiting]
        heapq.heapify(self._later)
        for flight in waiting:
            flight.instance.step.progress.retrying -= 1
            self._fail(flight, error)
        return len(meant) + len(waiting)

    def _take_back(self, number: int) -> Flight:
        flight = self._running.pop(number)
        flight.instance.step.progress.running -= 1
        self._apps.end(flight.payload)
        return flight

    def _fail(self, flight: Flight, error: Cancelled) -> None:
        self.refuse(flight.instance, error.at(flight.instance.address))


def _is_meant(retry: Retry, error: MetisFlowError) -> bool:
    """Whether a step's ``retry`` is for a failure of this kind."""
    if not retry.on or error.kind in retry.on:
        return True
    if isinstance(error, ShellFailed):
        return error.code in retry.on
    return isinstance(error, InferenceError) and InferenceError.kind in retry.on
