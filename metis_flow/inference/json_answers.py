"""The JSON value in a model's answer, and what a schema says of it."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

SHOWN = 400
MOST_OPENINGS = 200  # brackets in prose that are looked at: each costs a look at the rest of the text
CACHED_VALIDATORS = 64

_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\r?\n(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[{\[]")
_TOO_DEEP = "the JSON is nested too deeply"


class NotOneValue(ValueError):
    """The text does not hold exactly one JSON value; its message is written for the model and for people."""


def parse_value(text: str) -> Any:
    """The one JSON value of an answer.

    The whole text, or the one fenced block in it, or the one object or list amid prose.

    Raises:
        NotOneValue: there is none, or more than one.

    >>> parse_value('Sure! {"a": 1}')
    {'a': 1}
    """
    stripped = text.strip()
    problem: NotOneValue | None = None
    try:
        return _loads(stripped)
    except NotOneValue as error:
        problem = error
    except ValueError:
        pass
    blocks = _FENCE.findall(stripped)
    if len(blocks) == 1:
        try:
            return _loads(blocks[0])
        except NotOneValue as error:
            problem = error
        except ValueError:
            pass
    values, broken = _values_amid_prose(stripped)
    if len(values) == 1 and broken is None:
        return values[0]
    if len(values) > 1:
        raise NotOneValue("the answer holds more than one JSON value; give exactly one")
    raise problem or broken or NotOneValue("the answer is not JSON")


def _values_amid_prose(text: str) -> tuple[list[Any], NotOneValue | None]:
    """The outermost objects and lists that stand in a text, two at most, and what spoils one."""
    decoder = json.JSONDecoder(**_HOOKS)
    values: list[Any] = []
    at = 0
    for _ in range(MOST_OPENINGS):
        opening = _OPENING.search(text, at)
        if opening is None or len(values) == 2:
            break
        try:
            value, at = decoder.raw_decode(text, opening.start())
        except NotOneValue as error:
            return values, error
        except RecursionError:
            return values, NotOneValue(_TOO_DEEP)
        except ValueError:
            at = opening.end()
        else:
            values.append(value)
    return values, None


def _loads(text: str) -> Any:
    try:
        return json.loads(text, **_HOOKS)
    except RecursionError:
        raise NotOneValue(_TOO_DEEP) from None


def _no_constant(word: str) -> NoReturn:
    raise NotOneValue(f"{word} is not JSON; give a number or null")


def _finite(word: str) -> float:
    number = float(word)
    if not isfinite(number):
        raise NotOneValue(f"the number {word[:40]} is too large")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotOneValue(f"the key '{twice}' stands twice in one object")
    return found


_HOOKS: dict[str, Any] = {"parse_constant": _no_constant, "parse_float": _finite, "object_pairs_hook": _object}

_validators: OrderedDict[int, tuple[dict[str, Any], Validator]] = OrderedDict()


def validator(schema: dict[str, Any]) -> Validator:
    """The validator of a schema; made once for each schema object, and never asking the network for a reference."""
    known = _validators.get(id(schema))
    if known is not None and known[0] is schema:
        return known[1]
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from referencing import Registry

    made: Validator = validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())
    _validators[id(schema)] = (schema, made)
    if len(_validators) > CACHED_VALIDATORS:
        _validators.popitem(last=False)
    return made


def schema_error(value: Any, schema: dict[str, Any]) -> ValidationError | None:
    """What a schema says against a value: the most telling of its complaints, or None."""
    from jsonschema.exceptions import best_match

    found = list(validator(schema).iter_errors(value))
    return best_match(found) if found else None


def say(error: ValidationError) -> str:
    """A complaint in one line: where in the value, and what.

    >>> say(schema_error({"a": "x"}, {"properties": {"a": {"type": "integer"}}}))
    "at 'a': 'x' is not of type 'integer'"
    """
    place = ".".join(str(part) for part in error.absolute_path)
    message = error.message if len(error.message) <= SHOWN else error.message[: SHOWN - 1] + "…"
    return f"at '{place}': {message}" if place else message
