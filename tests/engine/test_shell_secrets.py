"""What a script's environment holds, what it must not, and what is too much for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from engine_kit import Bench, entries, error_of

SECRET = 'hush "hushed" 1234'


def texts_of(folder: Path) -> dict[str, bytes]:
    """Every file of a record, links left out."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


@pytest.mark.parametrize("place", ['env: {V: "${{ params.v }}"}', 'args: ["${{ params.v }}"]'], ids=["env", "args"])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("a\0b", "holds a NUL character"),
        ("x" * (128 * 1024 + 1), "is longer than 128 KiB"),
        ("é" * (64 * 1024 + 1), "is longer than 128 KiB"),
        ("\ud800", "holds half a character (a lone surrogate)"),
    ],
    ids=["nul", "long", "long in bytes", "surrogate"],
)
def test_what_env_and_args_cannot_hold_names_stdin_and_files(
    bench: Bench, place: str, value: str, problem: str
) -> None:
    run = bench.run(f"params: {{v: {{type: string}}}}\nsteps: {{a: {{{place}, run: touch made}}}}", params={"v": value})
    error = error_of(run, "a")
    assert error["summary"] == f"'{'env.V' if 'env' in place else 'args[0]'}' {problem}"
    assert error["hint"] == "pass it by 'stdin' or 'files'"
    assert error["where"] == "a"


def test_all_of_it_together_may_be_too_much(bench: Bench) -> None:
    run = bench.run(
        'params: {v: {type: string}}\nsteps: {a: {args: ["'
        + '", "'.join(["${{ params.v }}"] * 20)
        + '"], run: "true"}}',
        params={"v": "x" * (127 * 1024)},
    )
    assert error_of(run, "a")["summary"] == "the script cannot be started: Argument list too long"
    assert error_of(run, "a")["hint"] == "pass large values by 'stdin' or 'files'"


def test_stdin_and_files_take_what_env_and_args_cannot(bench: Bench) -> None:
    value = "x" * 200_000 + "\0\ud800"
    run = bench.run(
        """
        params: {v: {type: string}}
        steps: {a: {stdin: "${{ params.v }}", files: {f: "${{ params.v }}"}, run: "cat | cmp - f; wc -c < f"}}
        outputs: {a: "${{ steps.a.output }}"}
        """,
        params={"v": value},
    )
    assert run.outputs["a"].strip() == str(200_004)


def test_a_list_in_env_asks_how_it_should_look(bench: Bench) -> None:
    run = bench.run('params: {v: {type: array, default: [1]}}\nsteps: {a: {env: {V: "${{ params.v }}"}, run: "true"}}')
    assert error_of(run, "a")["summary"] == "'env.V' is a list or an object"
    assert error_of(run, "a")["hint"] == "say how: json(x), lines(x) or join(x, ', '); or pass it by 'stdin' or 'files'"


@pytest.mark.parametrize(
    ("script", "output", "shown"),
    [
        ('printf %s "$MP_KEY"', "", "***"),
        ('printf %s "$MP_KEY" > r', "output: {text: r}", "***"),
        (
            """python3 -c 'import json, os; print(json.dumps({"k": os.environ["MP_KEY"]}))'""",
            "output: {json: stdout}",
            {"k": "***"},
        ),
        (
            """python3 -c 'import json, os; print(json.dumps({"k": os.environ["MP_KEY"]}))' > r""",
            "output: {json: r}",
            {"k": "***"},
        ),
        ('echo "$MP_KEY" >&2; cat', "stdin: x", "x"),
        ('echo "[$MP_KEY and $MP_KEY_2]"', "", "[*** and ***]"),
    ],
    ids=["stdout", "text", "json stdout", "json file", "stderr", "one part of the other"],
)
def test_a_secret_is_masked_wherever_text_is_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, script: str, output: str, shown: Any
) -> None:
    monkeypatch.setenv("MP_KEY", SECRET)
    monkeypatch.setenv("MP_KEY_2", SECRET + "5")
    run = bench.run(f"""
        steps:
          a:
            secrets: [MP_KEY, MP_KEY_2]
            run: |
              {script}
            {output}
        outputs: {{a: "${{{{ steps.a.output }}}}"}}
        """)
    assert run.outputs == {"a": shown}
    for name, data in texts_of(run.folder.path).items():
        assert SECRET.encode() not in data, name
        assert json.dumps(SECRET)[1:-1].encode() not in data, name


def test_a_secret_is_masked_in_the_error_of_a_script_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MP_KEY", SECRET)
    run = bench.run("""
        steps:
          a:
            secrets: [MP_KEY]
            run: |
              printf 'x%.0s' $(seq 390) >&2
              echo "$MP_KEY" >&2
              exit 1
          b: {secrets: [MP_KEY], run: 'echo "$MP_KEY"', output: {json: stdout}}
          c: {secrets: [MP_KEY], run: 'echo "$MP_KEY"; sleep 60', timeout: 0.2s}
        """)
    assert error_of(run, "a")["detail"] == "x" * 390 + "***"
    for name, data in texts_of(run.folder.path).items():
        assert b"hush" not in data, name


def test_a_secret_that_is_not_set_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MP_KEY", raising=False)
    run = bench.run("steps: {a: {secrets: [MP_KEY], run: 'true'}}")
    error = error_of(run, "a")
    assert error["summary"] == "the secret MP_KEY is not set where the step runs"
    assert error["hint"] == "export MP_KEY=… before the run"


@pytest.mark.parametrize("site", ["local", "local-processes"])
def test_the_endpoints_secret_is_in_no_script_and_in_no_file_of_the_record(
    chat_bench: Bench, monkeypatch: pytest.MonkeyPatch, site: str
) -> None:
    gateway = chat_bench.gateway
    assert gateway is not None
    monkeypatch.setenv("LOCAL_KEY", gateway.token)
    gateway.write_endpoint(chat_bench.folder, "local", auth={"kind": "env", "variable": "LOCAL_KEY"}, limits={})
    chat_bench.write("work.py", "def look():\n    import os\n    return dict(os.environ)\n")
    run = chat_bench.run(
        """
        steps:
          ask: {chat: hello}
          script: {needs: ask, run: "env; cat /proc/$PPID/environ | tr '\\\\0' '\\\\n' > parent"}
          call: {needs: ask, python: "work:look"}
          killable: {needs: ask, python: "work:look", timeout: 60s}
        outputs:
          env: ${{ steps.script.output }}
          call: ${{ steps.call.output }}
          k: ${{ steps.killable.output }}
        """,
        site=site,
    )
    assert run.status == "done"
    assert "LOCAL_KEY" not in run.outputs["env"]
    assert "LOCAL_KEY" not in run.outputs["call"]
    assert "LOCAL_KEY" not in run.outputs["k"]
    assert "LOCAL_KEY" not in os.environ
    for name, data in texts_of(run.folder.path).items():
        # the environment that a process was started with cannot be changed: on threads, the parent is this process
        if site == "local" and name.endswith("/parent"):
            continue
        assert gateway.token.encode() not in data, name


def test_a_second_run_of_the_process_still_has_the_endpoints_secret(
    chat_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = chat_bench.gateway
    assert gateway is not None
    monkeypatch.setenv("SECOND_KEY", gateway.token)
    gateway.write_endpoint(chat_bench.folder, "local", auth={"kind": "env", "variable": "SECOND_KEY"}, limits={})
    for _ in range(2):
        assert chat_bench.run("steps: {a: {chat: hello}}").status == "done"
        assert "SECOND_KEY" not in os.environ


def test_the_token_of_a_file_is_in_no_file_of_the_record(chat_bench: Bench) -> None:
    run = chat_bench.run('steps: {a: {chat: hello}, b: {stdin: "${{ steps.a.output }}", run: "cat; env >&2"}}')
    assert run.status == "done"
    assert entries(run, "done", "a")[0]["output"] == "hello"
    assert chat_bench.gateway is not None
    for name, data in texts_of(run.folder.path).items():
        assert chat_bench.gateway.token.encode() not in data, name
