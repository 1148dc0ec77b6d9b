"""Models of an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO

from metis_flow.inference.models import ModelInfo
from metis_flow.units import format_count
from metis_flow.views.tables import Column, print_table

_COLUMNS = (
    Column("model"),
    Column("status"),
    Column("context", right=True),
    Column("tokens a minute", right=True),
    Column("about", gives_way=True),
)


def model_as_json(model: ModelInfo) -> dict[str, Any]:
    """The form in ``models --json``."""
    return asdict(model)


def print_models(models: Sequence[ModelInfo], out: TextIO) -> None:
    """A row for each model."""
    print_table(_COLUMNS, [_row(model) for model in models], out)


def _row(model: ModelInfo) -> tuple[object, ...]:
    context, rate = model.context, model.tokens_per_minute
    return (
        model.name,
        model.status,
        None if context is None else format_count(context),
        None if rate is None else format_count(rate),
        model.description,
    )
