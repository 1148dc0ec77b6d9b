"""Decides when each instance is submitted. Parsl decides where, and runs it.

One thread owns all state. Everything that happens elsewhere (a future done, an entry durable, a signal) reaches it as
a call on its queue. Submission is windowed, so that memory does not grow with the number of items, and steps further
down go first, so that items finish instead of piling up.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from metis_flow.engine import ending, entries, opening
from metis_flow.engine.budget import Budget
from metis_flow.engine.deadline import Deadline
from metis_flow.engine.flights import Apps, Flights
from metis_flow.engine.kept import Kept
from metis_flow.engine.prepare import Prepared, Preparer
from metis_flow.engine.progress import Progress
from metis_flow.engine.reuse import Found, Reuse
from metis_flow.engine.scope import Result, instance_scope, round_scope
from metis_flow.engine.steprun import Instance, StepRun
from metis_flow.engine.stop import Stop
from metis_flow.engine.waiting import why_it_waits
from metis_flow.engine.wishes import Wish, fulfil
from metis_flow.errors import Cancelled, MetisFlowError, NotTaken
from metis_flow.plan.items import Item, Keys
from metis_flow.plan.plan import Plan, with_key
from metis_flow.plan.selection import Role, Selection

BACKLOG = 4
TICK_SECONDS = 5.0
LOOK_SECONDS = 1.0
"""How often the clock and the wishes of other shells are looked at."""
MANY_INSTANCES = 1000


@dataclass(frozen=True)
class Outside:
    """What the scheduler asks of the rest of the run.

    Attributes:
        stopping: told once nothing more is started, and why.
        wishes: what other shells want of the run, oldest first.
    """

    stopping: Callable[[Stop], None] = lambda stop: None
    wishes: Callable[[], list[Wish]] = list


class Scheduler:
    """Runs the steps of a plan.

    Args:
        run_id: the run's id.
        reuse: finds results that need not be made again.
        budget: what the run may spend on calls.
        deadline: when it must have ended, if ever.
        selection: which steps it is for.
    """

    def __init__(
        self,
        plan: Plan,
        run_id: str,
        apps: Apps,
        preparer: Preparer,
        journal: entries.Journal,
        reuse: Reuse,
        progress: Progress,
        budget: Budget,
        *,
        deadline: Deadline | None = None,
        selection: Selection | None = None,
        outside: Outside | None = None,
    ) -> None:
        self.plan = plan
        self.progress = progress
        self.stop: Stop | None = None
        self.abandoned = False
        self.hasty = False
        self._apps = apps
        self._preparer = preparer
        self._journal = journal
        self._reuse = reuse
        self._deadline = deadline
        self._selection = selection
        self._outside = outside or Outside()
        self._flights = self._make_flights(budget)
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._scope = {"params": plan.params, "run": {"id": run_id}}
        self._last_tick = self._last_look = time.monotonic()
        roles: Mapping[str, Role] = selection.roles(plan.graph) if selection is not None else {}
        self.steps: dict[str, StepRun] = {}
        for name, step in plan.steps.items():
            executor = apps.executor_for(step.step)
            counts, keep = progress.steps[name], name in plan.gathered
            kept = Kept(journal.folder, messages=name in plan.conversations)
            self.steps[name] = StepRun(step, counts, keep, kept, executor, roles.get(name, "run"))
        # deepest first: what is nearest to its end goes on
        self._by_depth = sorted(self.steps.values(), key=lambda step: -plan.graph.depth[step.name])
        self._followers: dict[str, list[StepRun]] = {name: [] for name in self.steps}
        for edge in plan.graph.edges:
            if edge.kind == "item":
                self._followers[edge.source].append(self.steps[edge.target])

    def _make_flights(self, budget: Budget) -> Flights:
        return Flights(self, self._apps, self._preparer, self._journal, self.progress, budget)

    def post(self, function: Callable[..., None], *args: Any) -> None:
        """Have the scheduler's thread call ``function(*args)``. Safe from any thread and from a signal handler."""
        self._queue.put(partial(function, *args))

    def drain(self, stop: Stop) -> None:
        """Start nothing more; what runs finishes and is kept."""
        if self.stop is None:
            self.stop = stop
            self.progress.stopping = stop.reason
            self._flights.drop_retries()
            self._outside.stopping(stop)

    def give_up(self, stop: Stop) -> None:
        """Start nothing more; calls finish and are kept, and what runs on the site is ended."""
        self.drain(stop)
        self.hasty = True
        self._flights.give_up_work()

    @property
    def own_only(self) -> bool:
        """Whether something was made that is of no use to other runs."""
        return self._flights.own_only

    def abandon(self) -> None:
        """End at once; what runs is lost."""
        self.abandoned = True

    def cancel(self, name: str, word: str | None, error: Cancelled) -> None:
        """End a step, or one instance of it; it fails.

        Args:
            word: a key, or the short form of one.
        """
        step = self.steps.get(name)
        if step is not None and not step.is_closed:
            step.cancelled.add(word)
            step.cancel_error = error
            self._flights.cancel(name, word, error)

    def run(self) -> None:
        """Run until every step has ended, or the run is stopped and what was running has finished."""
        self._advance()
        self._tick(now=True)
        while not self._is_over():
            try:
                call = self._queue.get(timeout=self._patience())
            except queue.Empty:
                pass
            else:
                call()
                self._call_posted()
            self._flights.wake()
            self._look_around()
            self._advance()
            self._tick()

    def _call_posted(self) -> None:
        while not self.abandoned:
            try:
                self._queue.get_nowait()()
            except queue.Empty:
                return

    def _patience(self) -> float:
        """Seconds after which there is something to do even if nothing happens."""
        wake = self._flights.next_wake()
        return LOOK_SECONDS if wake is None else min(wake, LOOK_SECONDS)

    def _is_over(self) -> bool:
        if self.abandoned:
            return True
        if self.stop is not None:
            return not any(step.in_flight for step in self.steps.values())
        return all(step.is_closed for step in self.steps.values())

    def _look_around(self) -> None:
        """See what the clock says, and what other shells want."""
        if time.monotonic() - self._last_look < LOOK_SECONDS:
            return
        self._last_look = time.monotonic()
        for wish in self._outside.wishes():
            fulfil(wish, self)
        if self._deadline is None:
            return
        steps = self.steps.values()
        if self._deadline.left() <= 0:
            self.drain(self._deadline.stop())
            self.abandon()
        elif any(step.held for step in steps) and not any(step.in_flight for step in steps):
            self.drain(self._deadline.stop())

    def _tick(self, *, now: bool = False) -> None:
        """Tell those who watch from elsewhere how the run stands, every few seconds and whenever a step begins."""
        if not now and time.monotonic() - self._last_tick < TICK_SECONDS:
            return
        self._last_tick = time.monotonic()
        self._reuse.refresh()
        for step in self.steps.values():
            step.progress.waiting = why_it_waits(step, self.plan.graph, self.steps, self.progress.limiter())
        self._journal.append(self.progress.tick())

    def _advance(self) -> None:
        """Open what is ready, submit what the windows allow, close what is through; until nothing changes."""
        changed = self.stop is None
        while changed and self.stop is None:
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
        self._apps.flush()

    # -- opening a step

    def _open(self, step: StepRun) -> None:
        """Decide whether the step runs at all, and get its items."""
        if step.role == "leave":
            ending.skip_whole(step, f"left out by {self._selection}", self._journal)
            return
        try:
            step.base = opening.shared_scope(step, self.plan.graph, self.steps, self._scope)
            reason = opening.reason_to_skip_all(step, self.plan.graph, self.steps)
            if reason is not None:
                ending.skip_whole(step, reason, self._journal)
                return
            follows = self.plan.graph.follows(step.name)
            step.items, total = opening.items_for(step, self.steps, follows=follows, limit=self.plan.limit)
        except MetisFlowError as error:
            ending.fail_whole(step, error, self._journal)
            return
        step.keys = Keys(step.name, opening.items_again(step, self.steps)) if step.definition.is_fan_out else None
        step.progress.total = total
        step.status = step.progress.status = "open"
        self._last_tick = 0.0
        self._journal.append(entries.opened(step))

    # -- starting instances

    def _pump(self, step: StepRun) -> bool:
        """Start instances while the window has room; whether any was."""
        window = self._apps.window(step.executor)
        most = min(window, step.definition.max_parallel or window)
        started = False
        while self.stop is None and step.status == "open" and step.in_flight < most:
            if any(follower.is_behind(BACKLOG * window) for follower in self._followers[step.name]):
                break
            step.held = self._deadline is not None and not self._deadline.allows(step.expected_seconds)
            if step.held:
                break
            taken = self._next(step)
            if taken is None:
                break
            started = True
            self._start(step, *taken)
        return started

    def _next(self, step: StepRun) -> tuple[Item, Result | None] | None:
        if step.items is not None:
            item = next(step.items, None)
            if item is None:
                step.exhausted = True
                return None
            return item, None
        while True:
            if step.arriving is not None:
                result, items = step.arriving
                item = next(items, None)
                if item is not None:
                    return item, result
                step.arriving = None
            if not step.backlog:
                return None
            result = step.backlog.popleft()
            step.arriving = result, opening.arriving(step, result)

    def _start(self, step: StepRun, item: Item, upstream: Result | None) -> None:
        instance = Instance(step, item, step.base, upstream)
        step.in_flight += 1
        try:
            if step.keys is not None:
                instance.item = item = with_key(step.definition, item, step.base)
                step.keys.add(item)
            instance.scope = instance_scope(step.base, step.definition, item)
            reason = opening.reason_to_skip(instance)
            if reason is not None:
                self._flights.skip(instance, reason)
                return
        except MetisFlowError as error:
            self._flights.refuse(instance, error)
        else:
            self.go(instance)

    def go(self, instance: Instance) -> None:
        """Take an instance's result from where it was made earlier, or have it made."""
        step = instance.step
        try:
            if step.is_cancelled(instance):
                assert step.cancel_error is not None
                raise step.cancel_error.at(instance.address)
            prepared = self._prepare(instance)
            found = self.find(instance, prepared.content.digest, prepared.own_only)
            if found is not None:
                self._flights.take(instance, found)
                return
            if step.role == "take":
                raise NotTaken(
                    f"no earlier run has this result, and {self._selection} does not make it",
                    hint="run the whole workflow first, or select more of it",
                )
        except MetisFlowError as error:
            self._flights.refuse(instance, error)
        else:
            self._flights.launch(instance, prepared)

    def find(self, instance: Instance, content: str, own_only: str | None) -> Found | None:
        """A result, or an answer, that an instance need not have made again."""
        return self._reuse.find(instance.step.name, instance.item.key, content, own_only)

    def _prepare(self, instance: Instance) -> Prepared:
        step = instance.step
        many = (step.progress.total or MANY_INSTANCES) >= MANY_INSTANCES and step.definition.is_fan_out
        if step.definition.until is not None:
            instance.scope = round_scope(instance.scope, instance.round, instance.previous)
        prepared = self._preparer.prepare(step.plan, instance.item, instance.address, instance.scope, many=many)
        instance.entry = {
            **entries.identity(instance),
            "attempt": instance.attempt,
            "ck": prepared.content.digest,
            "parts": dict(prepared.content.parts),
        }
        return prepared

    # -- what became of them

    def leave(self, instance: Instance) -> None:
        """An instance was not run to its end: a resume will run it."""
        instance.step.in_flight -= 1

    def settle(self, instance: Instance, result: Result) -> None:
        """An instance's end is durable: count it and hand it on."""
        step = instance.step
        step.in_flight -= 1
        counts = step.progress
        if result.status == "done":
            counts.done += 1
        elif result.status == "failed":
            counts.failed += 1
            if not step.definition.is_fan_out:
                step.error = result.error
        else:
            counts.skipped += 1
        step.keep_result(instance, result)
        for follower in self._followers[step.name]:
            if not follower.is_closed:
                follower.backlog.append(result, step.kept)

    # -- closing a step

    def _is_through(self, step: StepRun) -> bool:
        if step.in_flight or step.status != "open":
            return False
        if step.items is None:
            assert step.definition.upstream is not None
            source = self.steps[step.definition.upstream.step]
            return not step.backlog and step.arriving is None and source.is_closed
        return step.exhausted

    def _close(self, step: StepRun) -> None:
        if step.items is None and step.definition.upstream is not None and step.skipped_by_failure:
            step.upstream_failed = self.steps[step.definition.upstream.step].status == "failed"
        ending.end(step, *step.verdict(), self._journal)
