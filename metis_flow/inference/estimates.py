"""How many tokens a call will cost, and when, learnt from the calls before it. No tokenizer is needed."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

FIRST_RATIO = 0.35  # tokens a character before anything is known: English has about 0.25, formulas and code more
FIRST_COMPLETION = 1000
MEMORY = 200  # calls that are remembered, and over which a mean is taken


def count_characters(messages: Sequence[Mapping[str, Any]]) -> int:
    """Characters of text in a conversation; parts that are not text count by what their JSON would take."""
    total = 0
    for message in messages:
        content = message.get("content")
        total += len(content) if isinstance(content, str) else len(str(content or ""))
    return total


class TokenEstimator:
    """Tokens of one model's calls: a ratio to characters for prompts, a running mean for completions.

    Long answers are out for longer than short ones, so those that are out at any time are longer than the mean. Their
    expectation is the mean of squares over the mean, where the time an answer takes goes with its length.
    """

    def __init__(self) -> None:
        self._ratio = FIRST_RATIO
        self._mean = 0.0
        self._mean_of_squares = 0.0
        self._seen = 0

    @property
    def ratio(self) -> float:
        """Prompt tokens a character."""
        return self._ratio

    def estimate(self, characters: int, max_tokens: int | None) -> float:
        """Tokens that a call will probably be charged.

        Args:
            characters: of the prompt.
            max_tokens: the bound of the answer, where there is one.
        """
        return characters * self._ratio + self.completion(max_tokens)

    def completion(self, max_tokens: int | None) -> float:
        """Tokens that an answer which is out probably has; before the first answer, as many as it may have."""
        if not self._seen:
            return float(max_tokens or FIRST_COMPLETION)
        expected = self._mean_of_squares / self._mean if self._mean else 0.0
        return min(expected, float(max_tokens)) if max_tokens else expected

    def learn(self, characters: int, prompt_tokens: int, completion_tokens: int) -> None:
        """Take up what a call was charged."""
        self._seen = min(self._seen + 1, MEMORY)
        weight = 1.0 / self._seen
        if characters and prompt_tokens:
            self._ratio += (prompt_tokens / characters - self._ratio) * weight
        self._mean += (completion_tokens - self._mean) * weight
        self._mean_of_squares += (completion_tokens**2 - self._mean_of_squares) * weight


class LandingTimes:
    """When the tokens of calls that are out will be charged: short answers come soon, long ones late.

    A call that has been out for a while is none of those that would have been back by now.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=MEMORY)
        self._seconds: list[float] = []
        self._sums: list[int] = [0]
        self._typical = 1.0
        self._stale = False

    def learn(self, seconds: float, tokens: int) -> None:
        """Take up how long a call was out, and what it was charged."""
        self._seen.append((seconds, tokens))
        self._stale = True

    def shares(self, age: float, left: float) -> tuple[float, float]:
        """What becomes of the tokens reserved for a call: shares of them that are charged by then, and later.

        The reservation is meant to be what `TokenEstimator` says: the expectation for one that is out.

        Args:
            age: seconds since the call was sent.
            left: seconds from now.
        """
        if not self._seen:
            return 1.0, 0.0
        if self._stale:
            self._sort()
        back = bisect_right(self._seconds, age)
        still = len(self._seconds) - back
        if not still:
            return 1.0, 0.0
        soon = bisect_right(self._seconds, age + left)
        whole = self._typical * still
        return (self._sums[soon] - self._sums[back]) / whole, (self._sums[-1] - self._sums[soon]) / whole

    def _sort(self) -> None:
        seen = sorted(self._seen)
        self._seconds = [seconds for seconds, _ in seen]
        self._sums = [0, *accumulate(tokens for _, tokens in seen)]
        self._typical = sum(tokens * tokens for _, tokens in seen) / max(1, self._sums[-1])
        self._stale = False
