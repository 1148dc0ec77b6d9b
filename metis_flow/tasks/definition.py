"""A task: a function with a name, a version, schemas and an identity."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from metis_flow.errors import UsageError
from metis_flow.tasks.docstrings import Docstring, read_docstring
from metis_flow.tasks.submitting import submit

P = ParamSpec("P")
R = TypeVar("R")

_SHOWN: tuple[str, ...] = ("__module__", "__name__", "__qualname__", "__doc__")


@dataclass(frozen=True, eq=False)
class Task(Generic[P, R]):
    """A registered task. Called, it does what the function does; a generator of rows gives its list.

    Args:
        name: what a workflow calls it in ``uses``.
        version: its author's word for it; `source_hash` is what counts.
        func: the function itself; it is called with keyword arguments.
        source_hash: sha256 of the dedented source, and of the modules of metis-flow that it imports.
        doc: its docstring.
        parameters: JSON Schema of its keyword arguments, one object.
        returns: JSON Schema of its result; ``{}`` where it says nothing.
        where: ``file:line``.
        asks: whether it asks a model: called, it gives a generator for `metis_flow.tasks.drive`.
        gives_rows: whether its function is a generator of rows.
    """

    name: str
    version: str
    func: Callable[P, R]
    source_hash: str
    doc: str
    parameters: dict[str, Any]
    returns: dict[str, Any]
    where: str
    asks: bool = False
    gives_rows: bool = False

    def __post_init__(self) -> None:
        # so that help(), signatures and pickle see the function
        self.__dict__.update({name: getattr(self.func, name) for name in _SHOWN}, __wrapped__=self.func)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result = self.func(*args, **kwargs)
        return list(result) if self.gives_rows else result  # type: ignore[call-overload]

    def __reduce__(self) -> str:
        return self.func.__qualname__  # by its name, as functions are pickled

    def __repr__(self) -> str:
        return f"<task {self.name}{inspect.signature(self.func)}>"

    @property
    def docstring(self) -> Docstring:
        """Its docstring, taken apart."""
        return read_docstring(self.doc)

    def check_names(self, arguments: Mapping[str, Any]) -> None:
        """See whether keyword arguments fit the signature.

        Raises:
            UsageError: one is missing or not known.
        """
        signature = inspect.signature(self.func)
        try:
            signature.bind(**arguments)
        except TypeError as problem:
            raise UsageError(
                f"the task '{self.name}' cannot be called so: {problem}",
                where=self.where,
                hint=f"it takes {signature.replace(return_annotation=signature.empty)}",
            ) from None

    def submit(self, **arguments: Any) -> Future[Any]:
        """Run it, on any site.

        Args:
            arguments: its keyword arguments, and besides them ``site`` (where it runs; ``local`` if not given) and, for
                a task that asks, ``endpoint`` and ``model`` (a name, or settings as under ``model`` in a workflow).

        Returns:
            A future of the result, as JSON; what failed is raised by its ``result()``.

        Raises:
            UsageError: the arguments do not fit.
        """
        return submit(self, arguments)
