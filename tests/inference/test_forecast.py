"""What a plan will ask of an endpoint, as far as it is known before the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from metis_flow.inference.endpoints import EndpointConfig
from metis_flow.inference.estimates import FIRST_RATIO
from metis_flow.inference.forecast import Forecast, StepForecast, forecast
from metis_flow.plan.plan import load_plan

ENDPOINT = EndpointConfig.model_validate(
    {
        "name": "near",
        "source": Path("near.yaml"),
        "kind": "openai",
        "base_url": "http://127.0.0.1:9",
        "limits": {"requests_per_second": 1},
    }
)
HEAD = "version: 1\nname: w\nmodel: {max_tokens: 10}\nparams: {n: {type: integer, default: 3}}\nsteps:\n"


def expect(folder: Path, steps: str, *, limit: int | None = None) -> Forecast:
    """The forecast of steps, each on a line."""
    path = folder / "w.yaml"
    path.write_text(HEAD + steps)
    return forecast(load_plan(path, limit=limit), ENDPOINT)


def tokens(characters: int) -> int:
    return round(characters * FIRST_RATIO)


STATIC = [
    ("  a: {chat: what now}", 1, 8),
    ("  a: {foreach: [xx, yyyy], as: t, chat: '${{ t }}'}", 2, 6),
    ("  a: {foreach: {xx: 1, yyyy: 2}, chat: '${{ key }}'}", 2, 6),
    ("  a: {matrix: {t: [0, 1], w: [cat, kitten]}, chat: '${{ matrix.w }}'}", 4, 18),
    ("  a: {matrix: {w: [cat, kitten]}, chat: '${{ key }}'}", 2, len("w=catw=kitten")),
    ("  a: {repeat: '${{ params.n }}', chat: 'no ${{ repeat }}'}", 3, 12),
    ("  a: {foreach: [xx, yyyy], matrix: {w: [cat]}, repeat: 2, key: '${{ item }}', chat: '${{ key }}'}", 4, 72),
    (
        "  a: {foreach: [xx], chat: {messages: [{role: user, content: 'a'}, {role: user, content: '${{ item }}'}]}}",
        1,
        3,
    ),
]


@pytest.mark.parametrize(("step", "calls", "characters"), STATIC)
def test_what_is_known_whole(tmp_path: Path, step: str, calls: int, characters: int) -> None:
    made = expect(tmp_path, step)
    assert made.steps == (StepForecast("a", calls, tokens(characters), calls * 10, complete=True),)
    assert (made.is_complete, made.minutes) == (True, calls / 60)


def test_a_limit_cuts_the_prompts_too(tmp_path: Path) -> None:
    made = expect(tmp_path, "  a: {matrix: {w: [cat, kitten]}, repeat: 5, chat: '${{ matrix.w }}'}", limit=5)
    assert (made.calls, made.prompt_tokens) == (5, tokens(15))


def test_what_an_earlier_step_fills_counts_with_its_fixed_text(tmp_path: Path) -> None:
    made = expect(
        tmp_path,
        "  a: {chat: what}\n"
        "  b: {matrix: {t: [0, 1]}, chat: '12345678${{ steps.a.output }}'}\n"
        "  c: {foreach: '${{ steps.a.output }}', chat: x}\n"
        "  d: {repeat: '${{ steps.a.output | int }}', chat: x}\n",
    )
    assert made.steps[1:] == (
        StepForecast("b", 2, tokens(16), 20, complete=False),
        StepForecast("c", None, 0, None, complete=False),
        StepForecast("d", None, 0, None, complete=False),
    )
    assert not made.is_complete


def test_a_key_that_only_the_run_knows(tmp_path: Path) -> None:
    made = expect(tmp_path, "  a: {foreach: [x, y], key: '${{ run.id }}-${{ item }}', chat: '1234${{ key }}'}")
    assert made.steps == (StepForecast("a", 2, tokens(8), 20, complete=False),)


def test_a_matrix_multiplies_what_it_follows_item_by_item(tmp_path: Path) -> None:
    made = expect(
        tmp_path,
        "  a: {foreach: [x, y, z], chat: '${{ item }}'}\n"
        "  b: {foreach: '${{ steps.a.results }}', matrix: {t: [0, 1]}, repeat: '${{ params.n }}', chat: what}\n"
        "  c: {foreach: '${{ steps.b.outputs }}', chat: x}\n"
        "  d: {foreach: '${{ steps.a.outputs }}', repeat: '${{ len(steps.a.outputs) }}', chat: x}\n",
    )
    assert [step.calls for step in made.steps] == [3, 18, 18, None]
    assert made.steps[1].prompt_tokens == tokens(18 * 4)


def test_rounds_bound_the_answers_and_leave_the_calls_open(tmp_path: Path) -> None:
    made = expect(tmp_path, "  a: {chat: what now, until: output == 'x', max_rounds: 4}")
    assert made.steps == (StepForecast("a", 1, tokens(8), 40, complete=False),)


def test_tasks_that_ask_and_workflows_that_are_called_are_named_without_numbers(tmp_path: Path) -> None:
    (tmp_path / "child.yaml").write_text("version: 1\nname: c\nsteps: {ask: {chat: x}, show: {run: 'true'}}\n")
    made = expect(
        tmp_path,
        "  short: {uses: summarise, with: {text: long}}\n"
        "  rows: {uses: count, with: {values: [1]}}\n"
        "  each: {foreach: [1, 2], workflow: child.yaml}\n",
    )
    assert made.steps == tuple(StepForecast(name, None, 0, None, complete=False) for name in ("short", "each.ask"))
    assert (made.calls, made.answer_tokens, made.is_complete) == (0, None, False)
