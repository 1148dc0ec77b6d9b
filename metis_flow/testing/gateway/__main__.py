"""``python -m metis_flow.testing.gateway``: run a gateway by hand."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from metis_flow.testing.gateway.faults import Faults
from metis_flow.testing.gateway.options import DEFAULT_MODELS, TOKEN_LIFETIME, Limits, Model, Options
from metis_flow.testing.gateway.server import serve


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m metis_flow.testing.gateway",
        description="A local Metis gateway. Prints its addresses, a token and a control key as one line of JSON, "
        "then serves until SIGTERM or SIGINT.",
    )
    add = found.add_argument
    add("--port", type=int, default=0, help="port on 127.0.0.1; a free one by default")
    add("--answer", metavar="TEXT", help="the content of every answer")
    add("--rule", metavar="MODULE:FUNCTION", help="a function of (body, n) that answers")
    add("--upstream", metavar="URL", help="an OpenAI-compatible server (http://host:port/v1) that answers")
    add("--upstream-key-variable", metavar="NAME", help="the environment variable with its key")
    add("--latency", type=float, default=0.0, metavar="SECONDS", help="real seconds that an answer takes")
    add("--timeout", type=float, default=120.0, metavar="SECONDS", help="time after which the upstream is given up")
    add("--speed", type=float, default=1.0, metavar="FACTOR", help="how much faster windows and caches run")
    add("--model", action="append", metavar="NAME[=STATUS]", help="a model and its status; may be repeated")
    add("--no-limits", action="store_true", help="no rates at all")
    add("--requests-per-second", type=int, metavar="N", help="of one user; 0 for no limit")
    add("--tokens-per-minute", type=int, metavar="N", help="of one user on one model; 0 for no limit")
    add("--tokens-per-minute-model", type=int, metavar="N", help="of all users on one model; 0 for no limit")
    add("--token-lifetime", type=float, default=TOKEN_LIFETIME, metavar="SECONDS", help="of an access token")
    add("--faults", metavar="JSON", help="a plan of faults, or @FILE with one")
    add("--keep", type=int, default=0, metavar="N", help="how many of the last calls are kept to be read")
    return found


def options_from(arguments: argparse.Namespace) -> Options:
    """The options that a command line asks for."""
    key = os.environ.get(arguments.upstream_key_variable or "")
    return Options(
        rule=_rule(arguments.rule, arguments.answer),
        upstream=arguments.upstream,
        upstream_key=key,
        speed=arguments.speed,
        models=[_model(text) for text in arguments.model] if arguments.model else DEFAULT_MODELS,
        limits=None if arguments.no_limits else _limits(arguments),
        latency=arguments.latency,
        timeout=arguments.timeout,
        faults=_faults(arguments.faults),
        token_lifetime=arguments.token_lifetime,
        keep=arguments.keep,
        port=arguments.port,
    )


def _rule(named: str | None, text: str | None) -> Any:
    if text is not None:
        return lambda body, n: text
    if named is None:
        return None
    module, _, function = named.partition(":")
    return getattr(import_module(module), function)


def _model(text: str) -> Model:
    name, _, status = text.partition("=")
    return Model(name, status=status or "Live", description=f"{name} on SN40L")


def _limits(arguments: argparse.Namespace) -> Limits:
    given = {
        "requests_per_second": arguments.requests_per_second,
        "tokens_per_minute_user": arguments.tokens_per_minute,
        "tokens_per_minute_model": arguments.tokens_per_minute_model,
    }
    return Limits(**{name: value for name, value in given.items() if value is not None})


def _faults(text: str | None) -> Faults | None:
    if text is None:
        return None
    if text.startswith("@"):
        text = Path(text[1:]).read_text()
    return Faults.from_json(json.loads(text))


def main(argv: Sequence[str] | None = None) -> None:
    """Serve as the command line says."""
    serve(options_from(parser().parse_args(argv)))


if __name__ == "__main__":
    main()
