"""Python and uses steps: arguments, results, exceptions, timeouts, modules beside the workflow."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from engine_kit import Bench, entries, error_of, rows

from metis_flow.errors import WorkflowInvalid

FUNCTIONS = """
    import os, sys, time
    import helper

    def add(a, b=1, *, c=0):
        return a + b + c

    def arrays():
        import numpy as np
        square = np.arange(4).reshape(2, 2)
        return {"f": np.float64(1.5), "i": np.int32(2), "a": square, "b": np.bool_(True), "t": (1, 2)}

    def fails(x):
        def inner():
            raise ValueError(f"no {x}")
        inner()

    def quits(code):
        sys.exit(code)

    def breaks():
        raise KeyboardInterrupt("stop")

    def gives(what):
        return {"set": {1}, "nan": float("nan"), "bytes": b"x", "object": object(), "key": {1: 2}}[what]

    def sleeps(pids):
        import subprocess
        child = subprocess.Popen(["sleep", "600"])
        with open(pids, "w") as file:
            file.write(f"{os.getpid()} {child.pid}")
        time.sleep(600)

    def dies(marker):
        with open(marker, "a") as file:
            file.write("x")
        os._exit(3)

    def writes(name, outputs_dir):
        path = os.path.join(outputs_dir, name)
        with open(path, "w") as file:
            file.write("made")
        return path

    def helped():
        return helper.value()

    def chatty():
        print("printed")
        return os.getcwd()
"""
HELPER = "def value():\n    return 'first'\n"


@pytest.fixture
def work(bench: Bench) -> Bench:
    bench.write("work.py", FUNCTIONS)
    bench.write("helper.py", HELPER)
    return bench


def test_with_holds_keyword_arguments(work: Bench) -> None:
    run = work.run("""
        params: {n: {type: integer, default: 5}}
        steps:
          a: {python: "work:add", with: {a: "${{ params.n }}", c: 10}}
          b: {python: "work:add", with: {a: [1], b: ["${{ steps.a.output }}"], c: []}}
          r: {python: "json:dumps", with: {obj: "${{ range(3) }}"}}
        outputs: {a: "${{ steps.a.output }}", b: "${{ steps.b.output }}", r: "${{ steps.r.output }}"}
        """)
    assert run.outputs == {"a": 16, "b": [1, 16], "r": "[0, 1, 2]"}


def test_a_task_of_the_library_and_one_beside_the_workflow(bench: Bench) -> None:
    bench.write("rows.jsonl", '{"n": 1}\n{"n": 2}\n')
    bench.write(
        "mine.py",
        """
        from metis_flow import task

        @task(name="double", version="2")
        def double(n):
            return 2 * n
        """,
    )
    run = bench.run("""
        params: {rows: {type: path, default: rows.jsonl}}
        steps:
          load: {uses: read_rows, with: {path: "${{ params.rows }}"}}
          each: {foreach: "${{ steps.load.output }}", uses: double, with: {n: "${{ item.n }}"}}
          write: {uses: write_rows, with: {rows: "${{ steps.load.output }}", path: out.csv}}
        outputs: {each: "${{ steps.each.outputs }}", write: "${{ steps.write.output }}"}
        """)
    assert run.outputs["each"] == [2, 4]
    assert (run.folder.outputs / "out.csv").read_text().split() == ["n", "1", "2"]
    assert (run.folder.sources / "mine.py").is_file()


def test_numpy_becomes_json(work: Bench) -> None:
    run = work.run('steps: {a: {python: "work:arrays"}}\noutputs: {a: "${{ steps.a.output }}"}')
    assert run.outputs["a"] == {"f": 1.5, "i": 2, "a": [[0, 1], [2, 3]], "b": True, "t": [1, 2]}


def test_an_exception_comes_with_the_end_of_its_traceback(work: Bench) -> None:
    run = work.run('steps: {a: {python: "work:fails", with: {x: wonder}}}')
    error = error_of(run, "a")
    assert error["kind"] == "task"
    assert error["summary"] == "ValueError: no wonder"
    assert error["where"] == "a"
    assert error["hint"] == "it was raised in work:fails"
    assert 'raise ValueError(f"no {x}")' in error["detail"]
    assert "engine/call.py" not in error["detail"]


@pytest.mark.parametrize("timeout", ["", ", timeout: 60s"], ids=["in the worker", "in a process"])
@pytest.mark.parametrize(
    ("call", "summary"),
    [
        ('python: "work:quits", with: {code: 0}', "SystemExit: 0"),
        ('python: "work:quits", with: {code: 3}', "SystemExit: 3"),
        ('python: "work:breaks"', "KeyboardInterrupt: stop"),
        ('python: "work:gives", with: {what: set}', "result is a set, which is not JSON"),
        ('python: "work:gives", with: {what: nan}', "result is NaN, which JSON cannot hold"),
        ('python: "work:gives", with: {what: bytes}', "result is a bytes, which is not JSON"),
        ('python: "work:gives", with: {what: object}', "result is an object, which is not JSON"),
        (
            'python: "work:add", with: {a: 1, z: 1}',
            "'with' does not fit the function: got an unexpected keyword argument 'z'",
        ),
        ('python: "work:add"', "'with' does not fit the function: missing a required argument: 'a'"),
        ('python: "work:add", with: {a: 1}, output: {n: integer}', "the output does not fit: "),
        ('python: "work:add", with: {a: 1}, check: output > 5', "the check does not hold: output > 5"),
    ],
)
def test_what_a_function_does_wrong_fails_the_step(work: Bench, call: str, summary: str, timeout: str) -> None:
    run = work.run(f"steps: {{a: {{{call}{timeout}}}, b: {{python: 'work:add', with: {{a: 1}}}}}}")
    error = error_of(run, "a")
    assert error["summary"].startswith(summary)
    assert error["where"] == "a"
    assert len(entries(run, "failed")) == 1
    assert rows(run, "b")[None]["output"] == 2


def test_a_result_that_is_no_json_says_to_write_a_file(work: Bench) -> None:
    run = work.run('steps: {a: {python: "work:gives", with: {what: bytes}}}')
    assert "write it to a file" in error_of(run, "a")["hint"]


def test_the_schema_of_output_is_checked(work: Bench) -> None:
    run = work.run("""
        steps:
          good: {python: "work:arrays", output: {schema: {type: object, required: [f]}}}
          bad: {python: "work:arrays", output: {f: string, i: integer, a: array, b: boolean, t: [integer]}}
        """)
    assert rows(run, "good")[None]["status"] == "done"
    error = error_of(run, "bad")
    assert (error["kind"], error["where"]) == ("output_invalid", "bad")
    assert "1.5 is not of type 'string'" in error["summary"]


def test_a_timeout_ends_the_function_with_all_that_it_started(work: Bench, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    run = work.run(f'steps: {{a: {{python: "work:sleeps", with: {{pids: "{pids}"}}, timeout: 2s}}}}')
    error = error_of(run, "a")
    assert (error["kind"], error["summary"]) == ("timeout", "ended after its timeout of 2.0s")
    left = [int(pid) for pid in pids.read_text().split()]
    assert len(left) == 2
    end = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() and _runs(pid) for pid in left):
        assert time.monotonic() < end
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_function_whose_process_dies_is_tried_again_and_then_fails(work: Bench, tmp_path: Path) -> None:
    marker = tmp_path / "tries"
    run = work.run(f'steps: {{a: {{python: "work:dies", with: {{marker: "{marker}"}}, timeout: 60s}}}}')
    error = error_of(run, "a")
    assert (error["kind"], error["summary"]) == ("worker_lost", "the function's process ended with exit code 3")
    assert marker.read_text() == "xxx"
    assert entries(run, "failed", "a")[-1]["attempt"] == 3


def test_outputs_dir_is_the_runs_folder_for_results(work: Bench) -> None:
    run = work.run("""
        steps:
          a: {python: "work:writes", with: {name: made.txt}}
          b: {python: "work:writes", with: {name: other.txt, outputs_dir: /nowhere}, on_error: continue}
        outputs: {a: "${{ steps.a.output }}"}
        """)
    assert run.outputs["a"] == str(run.folder.outputs / "made.txt")
    assert (run.folder.outputs / "made.txt").read_text() == "made"
    assert error_of(run, "b")["summary"].startswith("FileNotFoundError")


def test_a_helper_edited_between_two_runs_of_one_process_is_noticed(work: Bench) -> None:
    text = 'steps: {a: {python: "work:helped"}}\noutputs: {a: "${{ steps.a.output }}"}'
    first = work.run(text)
    work.write("helper.py", HELPER.replace("first", "other"))
    second = work.run(text)
    work.write("work.py", FUNCTIONS.replace("helper.value()", "helper.value() + '!'"))
    third = work.run(text)
    assert [run.outputs["a"] for run in (first, second, third)] == ["first", "other", "other!"]
    keys = [entries(run, "done")[0]["ck"] for run in (first, second, third)]
    assert len(set(keys)) == 3
    assert (second.folder.sources / "helper.py").read_text() == HELPER.replace("first", "other")


def test_the_same_call_has_the_same_content_key_in_every_run(work: Bench) -> None:
    text = """
        steps:
          a: {foreach: [1, 2], python: "work:add", with: {a: "${{ item }}"}}
          w: {run: "echo made > m", output: {path: m}}
          b: {args: ["${{ steps.w.output }}"], files: {m: "${{ steps.w.output }}"}, run: cat m}
          c: {stdin: {file: "${{ steps.w.output }}"}, files: {j: {file: "${{ steps.w.output }}"}}, run: "true"}
          d: {python: "json:dumps", with: {obj: "${{ steps.w.output }}"}}
    """
    first, second = work.run(text), work.run(text)
    keys = [{e["address"]: e["ck"] for e in entries(run, "done")} for run in (first, second)]
    assert keys[0] == keys[1]


def test_a_module_that_is_not_there_is_found_before_the_run(bench: Bench) -> None:
    with pytest.raises(WorkflowInvalid):
        bench.run('steps: {a: {python: "absent_module:f"}}')
    assert not (bench.folder / "runs").exists()


def test_what_a_function_prints_is_no_part_of_its_result(work: Bench) -> None:
    run = work.run('steps: {a: {python: "work:chatty"}}\noutputs: {a: "${{ steps.a.output }}"}')
    assert run.outputs["a"] == os.getcwd()


def test_a_python_step_on_worker_processes(work: Bench) -> None:
    run = work.run(
        """
        steps:
          a: {foreach: [1, 2, 3], python: "work:add", with: {a: "${{ item }}"}}
          f: {python: "work:fails", with: {x: y}, on_error: continue}
          t: {python: "work:arrays", timeout: 60s}
          s: {stdin: "${{ steps.t.output }}", run: cat, output: {json: stdout}}
        outputs: {a: "${{ steps.a.outputs }}", s: "${{ steps.s.output.f }}"}
        """,
        site="local-processes",
    )
    assert run.outputs == {"a": [2, 3, 4], "s": 1.5}
    assert error_of(run, "f")["summary"] == "ValueError: no y"
    assert json.loads((run.folder.outputs / "outputs.json").read_text()) == run.outputs
