"""What was asked and answered for one instance, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metis_flow.record.usage import Usage
from metis_flow.units import format_count, format_duration
from metis_flow.views.safe_text import one_line
from metis_flow.views.values import lines_of, short

LONGEST_LINE = 2000
LINES_ON_A_TERMINAL = 200


def conversation_lines(
    calls: Sequence[Mapping[str, Any]], tries: Sequence[Mapping[str, Any]], *, cut: bool
) -> Iterator[str]:
    """The prompts as they were sent, each answer, what was wrong with it, and how each try ended but the last.

    Args:
        calls, tries: as `instance_as_json` gives them.
        cut: leave out what is very long, and say so.
    """
    if calls:
        yield f"model:    {one_line(calls[-1].get('model'))}"
        yield f"settings: {short(calls[-1].get('settings') or {})}"
    numbered = list(enumerate(calls, 1))
    for number in range(1, len(tries) + 2):
        sent: list[Any] = []
        for place, call in numbered:
            if call["try"] != number:
                continue
            messages = list(call.get("messages") or ())
            # A repair sends the whole conversation again: only what is new is shown; the answer stands there already.
            new = messages[len(sent) + 1 :] if sent and messages[: len(sent)] == sent else messages
            sent = messages
            for message in new:
                yield from _block(str(message.get("role")), message.get("content"), cut=cut)
            yield from _answer(call, place, len(calls), cut=cut)
        if number <= len(tries):
            yield from _ended(tries[number - 1])


def _answer(call: Mapping[str, Any], number: int, count: int, *, cut: bool) -> Iterator[str]:
    title = "answer" if count == 1 else f"answer {number} of {count}"
    if call.get("reasoning"):
        yield from _block(f"{title}, the reasoning before it", call["reasoning"], cut=cut)
    facts = [str(call.get("finish")), format_duration(call.get("seconds") or 0)]
    usage = Usage.of(call.get("usage"))
    if usage.total_tokens:
        facts.append(f"{format_count(usage.prompt_tokens)} tokens in, {format_count(usage.completion_tokens)} out")
    yield from _block(f"{title} ({', '.join(facts)})", call.get("text"), cut=cut)
    if call.get("problem"):
        yield f"  not valid: {one_line(call['problem'], LONGEST_LINE)}"


def _ended(earlier: Mapping[str, Any]) -> Iterator[str]:
    """How an earlier try ended, or how the instance had ended before a later part of the run replaced that."""
    problem = (earlier.get("error") or {}).get("summary")
    words = f": {one_line(problem, LONGEST_LINE)}" if problem else ""
    yield ""
    yield f"attempt {earlier.get('attempt')} {earlier.get('status')}{words}; it was tried again"


def _block(title: str, value: Any, *, cut: bool) -> Iterator[str]:
    yield ""
    yield f"--- {one_line(title)}"
    yield from shortened(lines_of("" if value is None else value), cut=cut)


def shortened(lines: Iterator[str], *, cut: bool) -> Iterator[str]:
    """The lines; where they are to be cut, not more of them, and none longer, than somebody would read."""
    for number, line in enumerate(lines):
        if cut and number == LINES_ON_A_TERMINAL:
            yield "… the rest is long: add --json, or send the output to a file"
            return
        yield shortened_line(line) if cut else line


def shortened_line(line: str) -> str:
    """The beginning of a line that is longer than somebody would read, and how much more there is."""
    if len(line) <= LONGEST_LINE:
        return line
    return f"{line[:LONGEST_LINE]}… {format_count(len(line) - LONGEST_LINE)} more characters"
