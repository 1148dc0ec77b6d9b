"""Decides when each instance is submitted. Parsl decides where, and runs it.

One thread owns all state. Everything that happens elsewhere (a future done, an entry durable, a signal) reaches it as
a call on its queue. Submission is windowed, so that memory does not grow with the number of items, and steps further
down go first, so that items finish instead of piling up.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

from metis_flow.engine import entries, opening
from metis_flow.engine.budget import Budget
from metis_flow.engine.outcome import Outcome, outcome_of
from metis_flow.engine.prepare import Prepared, Preparer
from metis_flow.engine.progress import Progress
from metis_flow.engine.scope import Result, from_journal, instance_scope
from metis_flow.engine.steprun import Instance, StepRun
from metis_flow.engine.stop import Stop
from metis_flow.errors import (
    LoginRequired,
    MetisFlowError,
    OutputInvalid,
    WorkerLost,
)
from metis_flow.inference.errors import Withdrawn
from metis_flow.plan.items import Item, Keys
from metis_flow.plan.plan import Plan, with_key
from metis_flow.record.journal import JournalWriter

MAX_LOST = 3
BACKLOG = 4
TICK_SECONDS = 5.0
MANY_INSTANCES = 1000


class Apps(Protocol):
    """Where instances are sent to run."""

    def submit(self, executor: str, payload: Any) -> Future[Outcome]:
        """Start one app call; its future gives the outcome."""

    def window(self, executor: str) -> int:
        """How many instances of a step may be submitted and unfinished at once."""


Reuse = Callable[[str, str | None, str], Mapping[str, Any] | None]
"""Finds how an instance (step, key, content key) has ended earlier: its ``done`` or ``failed`` entry, or None."""


class Scheduler:
    """Runs the steps of a plan.

    Args:
        run_id: the run's id.
        reuse: finds results that need not be made again.
        budget: what the run may spend on calls.
        limiter: how the limiter of calls stands, for those who follow the run from elsewhere.
        withdraw: takes calls back that were submitted and have not been sent.
    """

    def __init__(
        self,
        plan: Plan,
        run_id: str,
        apps: Apps,
        preparer: Preparer,
        journal: JournalWriter,
        reuse: Reuse,
        progress: Progress,
        budget: Budget,
        limiter: Callable[[], Mapping[str, Any]] = dict,
        withdraw: Callable[[], None] = lambda: None,
    ) -> None:
        self.plan = plan
        self.progress = progress
        self.stop: Stop | None = None
        self._apps = apps
        self._preparer = preparer
        self._journal = journal
        self._reuse = reuse
        self._budget = budget
        self._limiter = limiter
        self._withdraw = withdraw
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._scope = {"params": plan.params, "run": {"id": run_id}}
        self.abandoned = False
        self._last_tick = time.monotonic()
        self.steps: dict[str, StepRun] = {}
        for name, step in plan.steps.items():
            self.steps[name] = StepRun(step, progress.steps[name], keep=name in plan.gathered)
        # deepest first: what is nearest to its end goes on
        self._by_depth = sorted(self.steps.values(), key=lambda step: -plan.graph.depth[step.name])
        self._followers: dict[str, list[StepRun]] = {name: [] for name in self.steps}
        for edge in plan.graph.edges:
            if edge.kind == "item":
                self._followers[edge.source].append(self.steps[edge.target])

    def post(self, function: Callable[..., None], *args: Any) -> None:
        """Have the scheduler's thread call ``function(*args)``. Safe from any thread and from a signal handler."""
        self._queue.put(partial(function, *args))

    def drain(self, stop: Stop) -> None:
        """Start nothing more; what runs finishes and is kept."""
        if self.stop is None:
            self.stop = stop
            self.progress.stopping = stop.reason
            if stop.withdraws:
                self._withdraw()

    def abandon(self) -> None:
        """End at once; what runs is lost."""
        self.abandoned = True

    def run(self) -> None:
        """Run until every step has ended, or the run is stopped and what was running has finished."""
        self._advance()
        while not self._is_over():
            try:
                call = self._queue.get(timeout=TICK_SECONDS)
            except queue.Empty:
                self._tick()
                continue
            call()
            while not self.abandoned:
                try:
                    self._queue.get_nowait()()
                except queue.Empty:
                    break
            self._advance()
            self._tick()

    def _is_over(self) -> bool:
        if self.abandoned:
            return True
        if self.stop is not None:
            return not any(step.in_flight for step in self.steps.values())
        return all(step.is_closed for step in self.steps.values())

    def _tick(self) -> None:
        if time.monotonic() - self._last_tick < TICK_SECONDS:
            return
        self._last_tick = time.monotonic()
        running = {name: step.in_flight for name, step in self.steps.items() if step.in_flight}
        self._journal.append({"e": "tick", "running": running, "waiting": {}, "limiter": dict(self._limiter())})

    def _advance(self) -> None:
        """Open what is ready, submit what the windows allow, close what is through; until nothing changes."""
        if self.stop is not None:
            return
        changed = True
        while changed:
            changed = False
            for step in self._by_depth:
                if step.status == "waiting" and opening.is_ready(step, self.plan.graph, self.steps):
                    self._open(step)
                    changed = True
                if step.status == "open":
                    changed |= self._pump(step)
                    if self._is_through(step):
                        self._close(step)
                        changed = True

    # -- opening a step

    def _open(self, step: StepRun) -> None:
        """Decide whether the step runs at all, and get its items."""
        step.base = opening.shared_scope(step, self.plan.graph, self.steps, self._scope)
        try:
            reason = opening.reason_to_skip_all(step, self.plan.graph, self.steps)
            if reason is not None:
                self._skip_whole(step, reason)
                return
            follows = self.plan.graph.follows(step.name)
            step.items, total = opening.items_for(step, self.steps, follows=follows, limit=self.plan.limit)
        except MetisFlowError as error:
            self._fail_whole(step, error)
            return
        step.keys = Keys(step.name) if step.definition.is_fan_out else None
        step.progress.total = total
        step.status = step.progress.status = "open"
        self._journal.append(entries.opened(step))

    # -- submitting instances

    def _pump(self, step: StepRun) -> bool:
        """Submit instances while the window has room; whether any was."""
        executor = "chat" if step.definition.verb == "chat" else "work"
        window = self._apps.window(executor)
        started = False
        while self.stop is None and step.status == "open" and step.in_flight < window:
            if any(follower.is_behind(BACKLOG * window) for follower in self._followers[step.name]):
                break
            taken = self._next(step)
            if taken is None:
                break
            started = True
            item, upstream = taken
            self._start(step, item, upstream)
        return started

    def _next(self, step: StepRun) -> tuple[Item, Result | None] | None:
        if step.items is not None:
            item = next(step.items, None)
            if item is None:
                step.exhausted = True
                return None
            return item, None
        if not step.backlog:
            return None
        result = step.backlog.popleft()
        assert step.definition.upstream is not None
        value = result.output if step.definition.upstream.field == "outputs" else result.as_row()
        return Item(result.item.index, result.item.key, value), result

    def _start(self, step: StepRun, item: Item, upstream: Result | None) -> None:
        instance = Instance(step, item, step.base, upstream)
        try:
            if step.keys is not None:
                instance.item = item = with_key(step.definition, item, step.base)
                step.keys.add(item)
            instance.scope = instance_scope(step.base, step.definition, item)
            reason = opening.reason_to_skip(instance)
            if reason is not None:
                step.in_flight += 1
                self._skip(instance, reason)
                return
            many = (step.progress.total or MANY_INSTANCES) >= MANY_INSTANCES and step.definition.is_fan_out
            prepared = self._preparer.prepare(step.plan, item, instance.address, instance.scope, many=many)
        except MetisFlowError as error:
            error.where = error.where or instance.address
            step.in_flight += 1
            self._finish(instance, Outcome(error=error, began=time.time(), ended=time.time()))
            return
        step.in_flight += 1
        step.progress.running += 1
        instance.entry = {
            **entries.identity(instance),
            "attempt": instance.attempt,
            "ck": prepared.content.digest,
            "parts": dict(prepared.content.parts),
        }
        earlier = self._reuse(step.name, item.key, prepared.content.digest)
        if earlier is not None:
            self._take(instance, earlier)
        else:
            self._submit(instance, prepared)

    def _submit(self, instance: Instance, prepared: Prepared) -> None:
        if prepared.executor == "chat":
            stop = self._budget.reached()
            if stop is not None:
                self._leave(instance)
                self.drain(stop)
                return
            self._budget.calls += 1
        future = self._apps.submit(prepared.executor, prepared.payload(instance.entry))
        future.add_done_callback(lambda done: self.post(self._finished, instance, prepared, done))

    def _leave(self, instance: Instance) -> None:
        """Take an instance back that was not run: a resume will run it."""
        instance.step.in_flight -= 1
        instance.step.progress.running -= 1

    # -- what became of them

    def _finished(self, instance: Instance, prepared: Prepared, future: Future[Outcome]) -> None:
        """An app call ended."""
        outcome = outcome_of(future, instance.address)
        if isinstance(outcome.error, Withdrawn):
            self._leave(instance)
            return
        if isinstance(outcome.error, LoginRequired):
            self._leave(instance)
            error = outcome.error
            self.drain(Stop("paused", error.exit_code, error.summary, error.hint))
            return
        if isinstance(outcome.error, WorkerLost) and instance.attempt < MAX_LOST and self.stop is None:
            instance.attempt += 1
            instance.entry["attempt"] = instance.attempt
            self._submit(instance, prepared)
            return
        instance.step.progress.running -= 1
        self._finish(instance, outcome)

    def _finish(self, instance: Instance, outcome: Outcome) -> None:
        """Make an outcome durable, and only then use it."""
        if outcome.error is None and not outcome.durable:
            outcome = self._checked(instance, outcome)
        self.progress.calls += outcome.calls
        self.progress.usage += outcome.usage
        self._budget.tokens += outcome.usage.total_tokens
        if outcome.error is not None:
            result = Result(instance.item, "failed", error=outcome.error.as_dict())
        else:
            result = Result(instance.item, "done", outcome.value)
        if outcome.durable:
            self._settle(instance, result)
        else:
            entry = entries.ended(instance, outcome)
            self._journal.append(entry, partial(self.post, self._settle, instance, result))

    def _checked(self, instance: Instance, outcome: Outcome) -> Outcome:
        """The step's own ``check``, for what did not come from a model."""
        try:
            problem = self._preparer.check_output(instance.step.definition, instance.scope, outcome.value)
        except MetisFlowError as error:
            return Outcome(error=error, began=outcome.began, ended=outcome.ended, folder=outcome.folder)
        if problem is None:
            return outcome
        failure = OutputInvalid(problem, where=instance.address, hint="see 'check' of the step")
        return Outcome(error=failure, began=outcome.began, ended=outcome.ended, folder=outcome.folder)

    def _take(self, instance: Instance, earlier: Mapping[str, Any]) -> None:
        """Use a result that an earlier run, or an earlier part of this one, has made."""
        instance.step.progress.running -= 1
        if earlier["e"] == "failed":
            result = Result(instance.item, "failed", error=earlier["error"])
        else:
            result = Result(instance.item, "done", from_journal(earlier["output"], earlier.get("kind", "json")))
        if "cached" in earlier:
            instance.step.progress.cached += 1
            entry = entries.taken(instance, earlier)
            self._journal.append(entry, partial(self.post, self._settle, instance, result))
        else:
            self.post(self._settle, instance, result)

    def _skip(self, instance: Instance, reason: str) -> None:
        result = Result(instance.item, "skipped")
        self._journal.append(entries.skipped(instance, reason), partial(self.post, self._settle, instance, result))

    def _settle(self, instance: Instance, result: Result) -> None:
        """An instance's end is durable: count it and hand it on."""
        step = instance.step
        step.in_flight -= 1
        counts = step.progress
        if result.status == "done":
            counts.done += 1
        elif result.status == "failed":
            counts.failed += 1
            if step.definition.foreach is None:
                step.error = result.error
        else:
            counts.skipped += 1
        if step.keep:
            step.kept.append(result)
        for follower in self._followers[step.name]:
            if not follower.is_closed:
                follower.backlog.append(result)

    # -- closing a step

    def _is_through(self, step: StepRun) -> bool:
        if step.in_flight or step.status != "open":
            return False
        if step.items is None:
            assert step.definition.upstream is not None
            return not step.backlog and self.steps[step.definition.upstream.step].is_closed
        return step.exhausted

    def _close(self, step: StepRun) -> None:
        if step.items is None and step.definition.upstream is not None and step.skipped_by_failure:
            step.upstream_failed = self.steps[step.definition.upstream.step].status == "failed"
        status, reason = step.verdict()
        self._end(step, status, reason)

    def _end(self, step: StepRun, status: Any, reason: str | None) -> None:
        step.status = step.progress.status = status
        step.progress.reason = reason
        if step.progress.total is None:
            step.progress.total = step.progress.done + step.progress.failed + step.progress.skipped
        if status == "failed" and step.error is None:
            step.error = {"kind": "step_failed", "summary": reason}
        self._journal.append(entries.closed(step))

    def _skip_whole(self, step: StepRun, reason: str) -> None:
        step.progress.skipped = 1
        self._journal.append(entries.whole_step_skipped(step, reason))
        self._end(step, "skipped", reason)

    def _fail_whole(self, step: StepRun, error: MetisFlowError) -> None:
        error.where = error.where or step.name
        step.error = error.as_dict()
        step.progress.failed = 1
        self._journal.append(entries.whole_step_failed(step))
        self._end(step, "failed", error.summary)
