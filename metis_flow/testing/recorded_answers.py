"""Answers that an earlier run recorded, found again by their prompts."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metis_flow.errors import RecordError
from metis_flow.testing.gateway.replies import Reply

if TYPE_CHECKING:
    from metis_flow.testing.given_answers import Asked

COMPARED = 200  # recorded prompts that are compared with one that has no answer
CHANGES = 6  # lines of difference that are shown


@dataclass
class Recording:
    """One answer.

    Attributes:
        used: how often it was given again.
    """

    messages: list[dict[str, Any]]
    model: str
    seed: int | None
    text: str
    reasoning: str | None = None
    finish: str | None = "stop"
    used: int = 0

    def as_json(self) -> dict[str, Any]:
        """The line that `Recorded.save` writes."""
        fields = ("messages", "model", "seed", "text", "reasoning", "finish")
        return {name: getattr(self, name) for name in fields if getattr(self, name) is not None}


class Recorded:
    """A rule for `answers`: the same prompt gets the same answer again.

    Where a prompt was answered several times, the same model's answers come first, then those of the same seed, each
    once before any of them comes again.
    """

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self.recordings = list(recordings)
        self._by_prompt: dict[str, list[Recording]] = {}
        for one in self.recordings:
            self._by_prompt.setdefault(_key(one.messages), []).append(one)

    @property
    def schema_in_prompt(self) -> bool:
        """Whether schemas were asked for in the prompts, as of a server that knows no response_format."""
        from metis_flow.inference.structured import schema_text

        words = schema_text({}).removesuffix("{}")
        return any(words in str(one.messages[0].get("content")) for one in self.recordings if one.messages)

    def __call__(self, asked: Asked) -> Reply | None:
        """The recorded answer; None where this was never asked."""
        found = self._by_prompt.get(_key(asked.messages), [])
        found = [one for one in found if one.model == asked.model] or found
        found = [one for one in found if one.seed == asked.settings.get("seed")] or found
        if not found:
            return None
        chosen = min(found, key=lambda one: one.used)
        chosen.used += 1
        return Reply(content=chosen.text, reasoning=chosen.reasoning, finish_reason=chosen.finish)

    def save(self, path: str | Path) -> Path:
        """Write the answers alone to a file (JSON Lines) that `recorded` reads, small enough to keep beside a test."""
        target = Path(path)
        lines = [json.dumps(one.as_json(), ensure_ascii=False) + "\n" for one in self.recordings]
        target.write_text("".join(lines), encoding="utf-8")
        return target

    def nearest(self, messages: Sequence[Mapping[str, Any]]) -> list[str]:
        """How a prompt differs from the recorded one that is most like it, as lines to show."""
        text = _text(messages)
        known = [_text(one.messages) for one in self.recordings[:COMPARED]]
        if not known:
            return ["the record holds no answers"]
        like = max(known, key=lambda other: difflib.SequenceMatcher(None, text, other, autojunk=False).quick_ratio())
        changes = [line for line in difflib.ndiff(like.splitlines(), text.splitlines()) if line[0] in "+-"]
        return [
            "the nearest recorded prompt differs (- recorded, + asked):",
            *(f"  {one}" for one in changes[:CHANGES]),
        ]


def recorded(source: str | Path) -> Recorded:
    """The answers of an earlier run, as a rule for `answers`.

    Args:
        source: the folder of a run, or a file that `Recorded.save` wrote.

    Raises:
        RecordError: there is no such run or file, or it is damaged.

    >>> with answers(recorded("runs/survey-20260101-120000-ab12")) as model:
    ...     assert model.run("survey.yaml").outputs["rows"] == 12
    """
    path = Path(source)
    return Recorded(list(_saved(path) if path.is_file() else _of_run(path)))


def _of_run(folder: Path) -> Iterator[Recording]:
    from metis_flow.record.folder import find_run
    from metis_flow.record.journal import read_journal

    run = find_run(str(folder.absolute()), folder.parent)
    for entry in read_journal(run.journal):
        call = entry if entry["e"] == "call" else entry.get("call")
        if call:
            seed = (call.get("settings") or {}).get("seed")
            yield Recording(
                call["messages"], call["model"], seed, call["text"], call.get("reasoning"), call.get("finish")
            )


def _saved(path: Path) -> Iterator[Recording]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            yield Recording(**{"model": "", "seed": None, **json.loads(line)})
        except (ValueError, TypeError):
            raise RecordError("this is no recorded answer", where=f"{path}:{number}", hint="record it again") from None


def _key(messages: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps([[message.get("role"), message.get("content")] for message in messages], sort_keys=True)


def _text(messages: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(f"{message.get('role')}: {message.get('content')}" for message in messages)
