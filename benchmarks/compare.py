"""How metis-flow compares with its peers: calls a second, CPU a call, memory, start-up.

``python -m benchmarks.compare`` has each of them ask the same cheap server on this machine the same kind of questions,
one after the other, five times in another order: some ten minutes. Each is a process of its own. Libraries that are
not metis-flow's get environments of their own, which are made once and kept. ``--small`` takes half a minute at most,
needs no environment, and saves nothing.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.environments import NotInstalled
from benchmarks.peer_list import Peer, Task, all_peers
from benchmarks.process_tree import Used, run_watched
from benchmarks.results import Section, save, table_lines
from benchmarks.server import Latency, LoopbackServer, Served, answer_to

OURS = "metis-flow"
PLAIN = "create"
CALLS = 8000
_FEWEST = 20


class NotRun(Exception):
    """A peer did not do its task; the text says why, in its own words."""


@dataclass(frozen=True)
class Load:
    """What is asked in a comparison.

    Args:
        rounds: in each of which all have their turn.
        calls: of metis-flow, a round; the others' share stays the same. None for ``--small``.
        in_flight: questions at a time.
        latency: of an answer; see `benchmarks.server.Latency`.
    """

    rounds: int = 5
    calls: int | None = CALLS
    in_flight: int = 256
    latency: str = "0.05"

    def calls_of(self, peer: Peer) -> int:
        """A round."""
        return peer.small if self.calls is None else max(_FEWEST, peer.calls * self.calls // CALLS)


@dataclass(frozen=True)
class Turn:
    """One peer's part in one round.

    Attributes:
        calls: questions that it was given.
        lost: questions without an answer.
        wrong: answers that are not those of their question.
    """

    calls: int
    used: Used
    served: Served
    lost: int
    wrong: int

    @property
    def right(self) -> int:
        return self.calls - self.lost - self.wrong

    @property
    def rate(self) -> float:
        """Right answers a second, from the first question at the server to its last answer."""
        return self.right / self.served.seconds if self.served.seconds else 0.0

    @property
    def whole_rate(self) -> float:
        """The same from the process's start to its end."""
        return self.right / self.used.seconds

    @property
    def cpu(self) -> float:
        """Milliseconds a call, of everything from start to end."""
        return self.used.cpu / self.calls * 1000

    @property
    def cpu_going(self) -> float:
        """Milliseconds a call, without what came before the first question."""
        before = self.used.cpu_until(self.served.first) if self.served.first is not None else 0.0
        return (self.used.cpu - before) / self.calls * 1000

    @property
    def startup(self) -> float:
        """Seconds from the process's start to the first question at the server."""
        return self.served.first - self.used.began if self.served.first is not None else self.used.seconds

    @property
    def server_cpu(self) -> float:
        """Milliseconds that the server took for an answer."""
        return self.served.cpu / max(self.served.answered, 1) * 1000


@dataclass
class Comparison:
    """What was found.

    Attributes:
        load: what was asked.
        turns: of each peer that ran, one a round.
        not_run: of the others, why.
    """

    load: Load
    peers: Sequence[Peer]
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)

    @property
    def ours_is_whole(self) -> bool:
        """Whether metis-flow, where it took part, answered every question rightly."""
        missing = (turn.lost + turn.wrong for turn in self.turns.get(OURS, []))
        return OURS not in self.not_run and not any(missing)


def compare(peers: Sequence[Peer], load: Load, say: Callable[[str], None] = lambda line: None) -> Comparison:
    """Give each peer its turn in each round, in another order each time.

    Args:
        peers: a peer that cannot be had, or fails, is told to be so, and the others go on.
        load: what is asked.
        say: told how it goes.
    """
    found = Comparison(load, peers)
    for peer in peers:
        try:
            peer.prepare()
        except NotInstalled as error:
            found.not_run[peer.name] = f"not installed: {error}"
    with LoopbackServer(load.latency) as server:
        for number in range(load.rounds):
            first = number % len(peers)
            for peer in [*peers[first:], *peers[:first]]:
                if peer.name in found.not_run:
                    continue
                try:
                    turn = take_turn(peer, load, server)
                except NotRun as error:
                    found.turns.pop(peer.name, None)
                    found.not_run[peer.name] = str(error)
                    say(f"round {number + 1}: {peer.name}: not run: {error}")
                else:
                    found.turns.setdefault(peer.name, []).append(turn)
                    say(f"round {number + 1}: {peer.name}: {turn.rate:,.0f} calls/s, {turn.cpu:.2f} ms of CPU a call")
    return found


def take_turn(peer: Peer, load: Load, server: LoopbackServer) -> Turn:
    """Run one peer once.

    Raises:
        NotRun: it did not end well.
    """
    calls, in_flight = load.calls_of(peer), peer.most or load.in_flight
    limit = 60 + calls * (0.02 + 3 * server.latency.most / in_flight)
    with tempfile.TemporaryDirectory(prefix="metis-flow-compare-") as folder:
        task = Task(Path(folder), server, dict(questions(calls)), in_flight)
        command = peer.command(task)
        server.reset()
        variables = peer.variables_for(task)
        used = run_watched(command, folder=task.folder, environment=variables, seconds=limit, output=task.said)
        served = server.served()
        if used.timed_out:
            raise NotRun(f"it had not ended after {limit:.0f} s, with {served.answered:,} answers")
        if used.code:
            raise NotRun(f"it ended with {used.code}: {_last_words(task.said)}")
        answers = peer.answers(task)
        lost = sum(name not in answers for name in task.questions)
        right = sum(answers.get(name) == answer_to(text) for name, text in task.questions.items())
        return Turn(calls, used, served, lost, calls - lost - right)


def questions(count: int) -> Iterator[tuple[str, str]]:
    """Names and texts, of some 250 characters."""
    for number in range(count):
        yield f"q{number}", f"Question {number}: {'what is known about it? ' * 10}"


def _last_words(said: Path) -> str:
    lines = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " / ".join(line.strip() for line in lines[-4:])[-400:] or "it said nothing"


COLUMNS: Mapping[str, Callable[[Turn], float]] = {
    "calls/s": lambda turn: turn.rate,
    "calls/s from start to end": lambda turn: turn.whole_rate,
    "CPU, ms a call": lambda turn: turn.cpu,
    "of it once it asks": lambda turn: turn.cpu_going,
    "memory, MB": lambda turn: turn.used.megabytes,
    "s to the first call": lambda turn: turn.startup,
    "most in flight": lambda turn: turn.served.most_in_flight,
    "server's CPU, ms a call": lambda turn: turn.server_cpu,
}
RATIOS = {"calls/s": "metis-flow's to its", "CPU, ms a call": "metis-flow's to its CPU"}


def section(found: Comparison) -> Section:
    """The table, and what is to be said about it."""
    columns = ["", "calls a round"]
    for name in COLUMNS:
        columns += [name, RATIOS[name]] if name in RATIOS else [name]
    rows = [_row(found, peer) for peer in found.peers]
    versions = {
        name: version for peer in found.peers if peer.name in found.turns for name, version in peer.versions.items()
    }
    return Section(
        "compare", "metis-flow and its peers", (*columns, "lost, wrong"), rows, _remarks(found), None, versions
    )


def _row(found: Comparison, peer: Peer) -> list[object]:
    turns = found.turns.get(peer.name)
    if not turns:
        return [peer.what, "not run", *[None] * (len(COLUMNS) + len(RATIOS) + 1)]
    cells: list[object] = [peer.what, turns[0].calls]
    for name, of in COLUMNS.items():
        cells.append(_median([of(turn) for turn in turns]))
        if name in RATIOS:
            cells.append(_ratio(found.turns.get(OURS, []), turns, of) if peer.name != OURS else None)
    cells.append(f"{sum(turn.lost for turn in turns)}, {sum(turn.wrong for turn in turns)}")
    return cells


def _median(values: Sequence[float]) -> str:
    """With the smallest and the largest in brackets."""
    middle = _figure(statistics.median(values))
    ends = _figure(min(values)), _figure(max(values))
    return middle if ends == (middle, middle) else f"{middle} ({ends[0]} to {ends[1]})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(ours: Sequence[Turn], theirs: Sequence[Turn], of: Callable[[Turn], float]) -> float | None:
    """Of the same round, which had the same neighbours on the machine; the median of these."""
    ratios = [of(our) / of(their) for our, their in zip(ours, theirs, strict=False) if of(their)]
    return statistics.median(ratios) if ratios else None


def _remarks(found: Comparison) -> list[str]:
    load = found.load
    rounds = "One round" if load.rounds == 1 else f"Medians of {load.rounds} interleaved rounds (smallest to largest)"
    remarks = [
        f"{rounds}: {load.in_flight} questions in flight at a server on the same machine, which answers after "
        f"{load.latency} s. Calls a second are counted from the first question at the server to its last answer; the "
        "slow get fewer questions, enough to see their rate. CPU and memory are those of all processes of a peer, from "
        "start to end; memory is the most held at a time. Ratios are medians of those within a round.",
        "metis-flow is a whole `metis-flow run`: it reads the rows, plans, asks, and keeps each answer in its journal "
        "before anything uses it. The loops and Parsl write one file when all is done.",
    ]
    if plain := found.turns.get(PLAIN):
        seconds = load.in_flight / statistics.median(turn.rate for turn in plain)
        remarks.append(
            "Calls a second gain only where the endpoint serves more than one client can drive. With "
            f"{load.in_flight} in flight and answers that take over {seconds:.1f} s, even the plain client waits for "
            "the endpoint, all are equally fast, and what differs is CPU a call, memory and start-up."
        )
    remarks += [
        f"{name}: {sum(turn.used.left_behind for turn in turns)} processes had to be ended after it."
        for name, turns in found.turns.items()
        if any(turn.used.left_behind for turn in turns)
    ]
    return remarks + [f"Not run: {name}: {reason}." for name, reason in found.not_run.items()]


def aligned(lines: Sequence[str]) -> str:
    """A table in Markdown with its columns under one another, without the rule."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) if number else cell.ljust(width) for number, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )


def _chosen(names: str, peers: Sequence[Peer]) -> list[Peer]:
    known = {peer.name: peer for peer in peers}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in known]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is none of {', '.join(known)}")
    return [known[name] for name in wanted] or list(peers)


def count(text: str) -> int:
    """A whole number of something."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def latency(text: str) -> str:
    """One that the server knows."""
    return str(Latency.parse(text))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and keep it; 1 where metis-flow did not answer everything rightly."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    peers = all_peers()
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--calls", type=count, default=CALLS, help="of metis-flow, a round; the others' in proportion")
    parser.add_argument("--in-flight", type=count, default=256)
    parser.add_argument("--latency", type=latency, default="0.05", help="seconds, as 0.05 or 0.2-5.0")
    parser.add_argument("--only", type=lambda text: _chosen(text, peers), default=peers, metavar="NAME,…")
    parser.add_argument("--small", action="store_true", help="one round of a few calls, which is not kept")
    given = parser.parse_args(arguments)
    load = Load(given.rounds, given.calls, given.in_flight, given.latency)
    chosen: list[Peer] = given.only
    if given.small:
        load = Load(1, None, given.in_flight, given.latency)
        chosen = [peer for peer in chosen if peer.small]
        if not chosen:
            parser.error("none of these has a part in --small")
    found = compare(chosen, load, lambda line: print(line, file=sys.stderr, flush=True))
    told = section(found)
    print(aligned(table_lines(told.columns, told.rows)), *told.remarks, sep="\n")
    if not given.small and chosen == peers:
        save(told)
    return 0 if found.ours_is_whole else 1


if __name__ == "__main__":
    # Whoever ends it so wants its folders gone too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
