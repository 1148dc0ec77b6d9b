"""Checks what a script or function gave against the step's schema, on the worker."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from metis_flow.errors import OutputInvalid
from metis_flow.inference.json_answers import say, schema_error


def check_schema(value: Any, schema: dict[str, Any] | None) -> None:
    """Do nothing where the value fits the schema, or there is none.

    Raises:
        OutputInvalid: it does not fit; the most telling mismatch is named.
    """
    if schema is None:
        return
    error = schema_error(value, _same_object(json.dumps(schema)))
    if error is not None:
        raise OutputInvalid(f"the output does not fit: {say(error)}", hint="see 'output' of the step")


@lru_cache(maxsize=64)
def _same_object(schema: str) -> dict[str, Any]:
    """One dict for equal schemas: each payload brings its own copy, and validators are kept by object."""
    loaded: dict[str, Any] = json.loads(schema)
    return loaded
