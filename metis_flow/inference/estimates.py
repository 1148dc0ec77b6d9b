"""How many tokens a call will cost, learnt from the calls before it. No tokenizer is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FIRST_RATIO = 0.35  # tokens a character before anything is known: English has about 0.25, formulas and code more
FIRST_COMPLETION = 1000
MEMORY = 200  # calls over which a mean is taken


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
