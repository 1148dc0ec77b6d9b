"""What may be a task and what not, and the schema of its parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal, Optional, TypedDict

import pytest

from metis_flow.errors import UsageError
from metis_flow.tasks import Asking, find_task, task
from metis_flow.tasks.parameters import describe_parameters

SCALE = 2.0


def uses_module_value(x: float) -> float:
    return x * SCALE


def uses_module_import(x: float) -> float:
    return math.sin(x)


def uses_imported_function(x: str) -> str:
    return dedent(x)


def uses_it_in_a_class(x: float) -> float:
    class Inside:
        factor = SCALE

    return Inside.factor * x


def uses_it_in_a_comprehension(values: list[float]) -> list[float]:
    return [value * SCALE for value in values]


def sets_a_global(x: float) -> None:
    global SCALE
    SCALE = x


async def waits() -> None:
    pass


def yields() -> Iterator[int]:
    yield 1


def takes_stars(*values: float) -> float:
    return sum(values)


def takes_positional(x: float, /) -> float:
    return x


def computed_default(x: float = SCALE) -> float:
    return x


def odd_default(x: bytes = b"") -> bytes:
    return x


def odd_parameter(x: bytes) -> int:
    return len(x)


def odd_result() -> Callable[[], int]:
    return int


def imports_relatively() -> Any:
    from . import other  # type: ignore[attr-defined]

    return other


SOURCE_ALONE = "a task is sent to other machines as its source alone"


@pytest.mark.parametrize(
    ("func", "summary", "hint"),
    [
        (
            uses_module_value,
            "'uses_module_value' uses 'SCALE' of its module",
            f"{SOURCE_ALONE}: define it inside the function, or pass it as a parameter",
        ),
        (
            uses_module_import,
            "'uses_module_import' uses 'math' of its module",
            f"{SOURCE_ALONE}: write `import math` inside the function",
        ),
        (
            uses_imported_function,
            "'uses_imported_function' uses 'dedent' of its module",
            f"{SOURCE_ALONE}: write `from textwrap import dedent` inside the function",
        ),
        (uses_it_in_a_class, "'uses_it_in_a_class' uses 'SCALE' of its module", SOURCE_ALONE),
        (uses_it_in_a_comprehension, "'uses_it_in_a_comprehension' uses 'SCALE' of its module", SOURCE_ALONE),
        (sets_a_global, "'sets_a_global' uses 'SCALE' of its module", SOURCE_ALONE),
        (waits, "a task is a plain function, not 'waits', an async function", "write it with def and return"),
        (
            yields,
            "a task is a plain function, not 'yields', a generator",
            "write it with def and return; one that yields the rows of a list says '-> Iterable[…]', "
            "and one that asks a model '-> Asking[…]'",
        ),
        (lambda: 1, "a task is a plain function, not a lambda", "write it with def and return"),
        (Path, "a task is a plain function, not a type", "write it with def and return"),
        (partial(takes_stars, 1), "a task is a plain function, not a partial", "write it with def and return"),
        (
            takes_stars,
            "parameter '*values' cannot be given by name",
            "a task is called with keyword arguments, those under `with`: take a list instead",
        ),
        (takes_positional, "parameter 'x' cannot be given by name", "a task is called with keyword arguments"),
        (
            computed_default,
            "a default of 'computed_default' is `SCALE`, which is not written out",
            "a default is a number, text, True, False, None, or a list or dict of these",
        ),
        (
            odd_parameter,
            "parameter 'x' is annotated as bytes, which is not JSON",
            "annotate with str, int, float, bool, None, Any, list[...], dict[str, ...], Literal[...], TypedDict, O",
        ),
        (odd_result, "the result is annotated as Callable, which is not JSON", "annotate with str"),
        (
            imports_relatively,
            "'imports_relatively' imports '.', which lies beside it",
            f"{SOURCE_ALONE}: put the code inside the function, or call it by `python: module:function`",
        ),
    ],
)
def test_what_is_no_task(func: Callable[..., Any], summary: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        task(name="refused")(func)
    assert caught.value.summary == summary
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(hint)


def test_the_line_of_a_refusal() -> None:
    line = uses_module_value.__code__.co_firstlineno + 1
    with pytest.raises(UsageError) as caught:
        task(uses_module_value)
    assert caught.value.where == f"{__file__}:{line}"


def test_a_closure_is_no_task() -> None:
    factor = 3

    def scaled(x: float) -> float:
        return x * factor

    with pytest.raises(UsageError) as caught:
        task(scaled)
    assert caught.value.summary == "'scaled' uses 'factor' of the function around it"
    assert caught.value.hint == f"{SOURCE_ALONE}: pass it as a parameter"


def test_a_default_that_is_no_json() -> None:
    def odd(x: Any = b"") -> int:
        return len(x)

    with pytest.raises(UsageError) as caught:
        task(odd)
    assert caught.value.summary == "the default of parameter 'x' is a bytes, which is not JSON"
    assert caught.value.hint == "write None there and make the value inside the function"


def test_a_function_without_source() -> None:
    space: dict[str, Any] = {}
    exec("def made():\n    return 1\n", space)
    with pytest.raises(UsageError, match="the source of 'made' cannot be found") as caught:
        task(space["made"])
    assert caught.value.hint == "write the task in a file: its identity is the hash of its source"


def test_self_contained_bodies_are_fine() -> None:
    @task
    def busy(values: list[float]) -> dict[str, Any]:
        import math as m
        from dataclasses import dataclass

        @dataclass
        class Point:
            x: float
            label: str = "p"

            def root(self) -> float:
                return m.sqrt(self.x)

        def helper(value: float) -> float:
            return max(Point(value).root(), 0.0)

        return {"roots": [helper(value) for value in values], "all": sum(len(repr(v)) for v in values)}

    assert find_task("busy").func(values=[4.0]) == {"roots": [2.0], "all": 3}


class Place(TypedDict):
    name: str
    at: list[float]


class MaybePlace(Place, total=False):
    note: str | None


def finds(place: Place, others: list[MaybePlace]) -> Asking[Place]:
    yield []
    return place


def test_typed_dictionaries_are_objects_with_fields() -> None:
    parameters, returns = describe_parameters(finds, "here")
    fields = {"name": {"type": "string"}, "at": {"type": "array", "items": {"type": "number"}}}
    place = {"type": "object", "properties": fields, "required": ["name", "at"], "additionalProperties": False}
    note = {"note": {"anyOf": [{"type": "string"}, {"type": "null"}]}}
    assert parameters["properties"]["place"] == place
    assert parameters["properties"]["others"]["items"] == place | {"properties": fields | note}
    assert returns == place


def test_a_task_that_asks() -> None:
    made = task(name="found")(finds)
    assert made.asks
    assert not find_task("count").asks


def takes_everything(
    a: str,
    b: int | None,
    c: Optional[bool],  # noqa: UP045
    d: Literal["dft", "experiment"],
    e: list[int],
    f: dict[str, float],
    g: Path,
    h: Sequence[str],
    i: tuple[int, ...],
    j: Any,
    k=(1, 2),  # type: ignore[no-untyped-def]
    **more: Any,
) -> None:
    pass


def test_parameters_as_a_schema() -> None:
    parameters, returns = describe_parameters(takes_everything, "here")
    assert parameters["properties"] == {
        "a": {"type": "string"},
        "b": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "c": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        "d": {"enum": ["dft", "experiment"]},
        "e": {"type": "array", "items": {"type": "integer"}},
        "f": {"type": "object", "additionalProperties": {"type": "number"}},
        "g": {"type": "string"},
        "h": {"type": "array", "items": {"type": "string"}},
        "i": {"type": "array"},
        "j": {},
        "k": {"default": [1, 2]},
    }
    assert parameters["required"] == list("abcdefghij")
    assert parameters["additionalProperties"] is True
    assert returns == {"type": "null"}
