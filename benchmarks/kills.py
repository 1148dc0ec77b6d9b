"""What the drivers of one run asked, those that were killed and the last one, and whether the kills explain it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Killed:
    """One round.

    Args:
        moment: when.
        asked: what the driver had asked.
        again: what of that an earlier driver had asked too.
        kept: all that the journal holds an answer to.
    """

    moment: str
    asked: tuple[str, ...]
    again: frozenset[str]
    kept: frozenset[str]

    @property
    def in_flight(self) -> frozenset[str]:
        """Questions whose answer was not durable."""
        return frozenset(self.asked) - self.kept


@dataclass(frozen=True)
class Ended:
    """The driver that reached the end of a run.

    Args:
        asked, again: as of one that was killed.
        code: of its exit.
        outputs: ``outputs.json``.
        doubled: instances with more than one result in the journal.
        paid_again: answers that the gateway gave beyond the first to each question, through all drivers; less than what
            was asked again, since it throws away an answer that nobody waits for.
        err: its standard error.
    """

    asked: tuple[str, ...]
    again: frozenset[str]
    code: int
    outputs: bytes
    doubled: int
    paid_again: int
    err: str


@dataclass(frozen=True)
class History:
    """One run, through all its drivers."""

    kills: tuple[Killed, ...]
    end: Ended

    @property
    def drivers(self) -> list[Killed | Ended]:
        """All of them, in order."""
        return [*self.kills, self.end]

    @property
    def asked_again(self) -> int:
        """Questions beyond the first time that each was asked."""
        asked = [text for driver in self.drivers for text in driver.asked]
        return len(asked) - len(set(asked))

    @property
    def in_flight(self) -> int:
        """At the kills, summed."""
        return sum(len(kill.in_flight) for kill in self.kills)

    def amiss(self, at_once: int) -> list[str]:
        """What no kill explains, round by round; nothing if all is well.

        Args:
            at_once: calls in flight, at most.
        """
        kept: frozenset[str] = frozenset()
        lost: frozenset[str] = frozenset()
        found = []
        for number, driver in enumerate(self.drivers, 1):
            found += [f"driver {number} {misdeed}" for misdeed in _misdeeds(driver, kept, lost, at_once)]
            if isinstance(driver, Killed):
                kept, lost = driver.kept, lost | driver.in_flight
        if max(self.asked_again, self.end.paid_again) > self.in_flight:
            found.append(f"{self.asked_again} asked again, {self.in_flight} in flight at the kills")
        if self.end.code != 0:
            found.append(f"the last driver ended with {self.end.code}: {self.end.err}")
        if self.end.doubled:
            found.append(f"{self.end.doubled} instances have two results")
        return found


def _misdeeds(driver: Killed | Ended, kept: frozenset[str], lost: frozenset[str], at_once: int) -> Iterator[str]:
    """What one driver did that it should not have.

    Args:
        kept: what the journal held when it began.
        lost: what was in flight when those before it were killed.
    """
    if twice := sorted(text for text, times in Counter(driver.asked).items() if times > 1):
        yield f"asked twice: {twice}"
    if paid := kept & set(driver.asked):
        yield f"asked what the journal held: {sorted(paid)}"
    if unlike := driver.again - lost:
        yield f"asked again what was not in flight at a kill: {sorted(unlike)}"
    if isinstance(driver, Killed):
        if len(driver.in_flight) > at_once:
            yield f"had {len(driver.in_flight)} calls in flight"
        if forgotten := kept - driver.kept:
            yield f"lost answers: {sorted(forgotten)}"
