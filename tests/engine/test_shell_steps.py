"""Run steps: the script's folder, what it is given, what is read from it, and how it fails."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_kit import Bench, entries, error_of

from metis_flow.errors import WorkflowInvalid


def folder_of(bench: Bench, step: str) -> Path:
    """The folder of a step of one instance, in the bench's only run."""
    (run,) = (bench.folder / "runs").iterdir()
    (folder,) = (run / "steps" / step).iterdir()
    return folder


def test_a_script_runs_in_a_folder_of_its_own_which_is_kept(bench: Bench) -> None:
    script = "echo out; echo err >&2; pwd > where"
    run = bench.run(
        f'steps: {{a: {{run: "{script}"}}, b: {{run: "true"}}}}\noutputs: {{a: "${{{{ steps.a.output }}}}"}}'
    )
    folder = folder_of(bench, "a")
    assert run.outputs == {"a": "out"}
    assert sorted(path.name for path in folder.iterdir()) == ["script.sh", "stderr", "stdout", "where"]
    assert (folder / "script.sh").read_text() == script
    assert (folder / "stdout").read_text() == "out\n"
    assert (folder / "stderr").read_text() == "err\n"
    assert sorted(path.name for path in folder_of(bench, "b").iterdir()) == ["script.sh"]
    assert entries(run, "done", "a")[0]["folder"] == str(folder.relative_to(run.folder.path))


def test_a_script_stops_at_its_first_failure(bench: Bench) -> None:
    run = bench.run("steps: {a: {run: 'false; echo on'}, b: {run: 'false | true; echo on'}}")
    assert [error_of(run, step)["summary"] for step in "ab"] == ["the script ended with exit code 1"] * 2


def test_a_failed_script_shows_the_end_of_its_stderr(bench: Bench) -> None:
    run = bench.run("""
        steps:
          a:
            run: |
              seq 100 >&2
              exit 7
          b: {run: "echo only this; exit 3"}
          c: {run: "kill -9 $$"}
          d: {run: "kill -35 $$"}
        """)
    error = error_of(run, "a")
    assert error["summary"] == "the script ended with exit code 7"
    assert error["where"] == "a"
    assert error["detail"] == "\n".join(str(n) for n in range(89, 101))
    assert error["hint"] == f"its folder: {folder_of(bench, 'a')}"
    assert (folder_of(bench, "a") / "stderr").read_text().startswith("1\n2\n")
    assert error_of(run, "b")["detail"] == "only this"
    assert error_of(run, "c")["summary"] == "the script ended with signal 9 (Killed)"
    assert error_of(run, "d")["summary"] == "the script ended with signal 35 (Real-time signal 1)"


def test_its_own_first_line_names_the_interpreter(bench: Bench) -> None:
    run = bench.run("""
        steps:
          a:
            args: [x]
            run: |
              #!/usr/bin/env python3
              import sys
              print(sys.argv[1:])
        outputs: {a: "${{ steps.a.output }}"}
        """)
    assert run.outputs == {"a": "['x']"}


def test_values_come_by_args_env_and_stdin(bench: Bench) -> None:
    run = bench.run("""
        params: {word: {type: string, default: "a b"}, data: {type: object, default: {k: [1, "é"]}}}
        steps:
          a:
            args: ["${{ params.word }}", 1.5, true, null, "x${{ params.word }}y"]
            env: {WORD: "${{ params.word }}", NUMBER: 3, NONE: null}
            stdin: ${{ params.data }}
            run: |
              printf '%s|' "$@" "$WORD" "$NUMBER" "$NONE" "$METIS_FLOW_INSTANCE"
              cat
          b: {stdin: "plain ${{ params.word }}", run: cat}
          c: {run: "cat"}
        outputs: {a: "${{ steps.a.output }}", b: "${{ steps.b.output }}", c: "${{ steps.c.output }}"}
        """)
    assert run.outputs["a"] == 'a b|1.5|true||xa by|a b|3||a|{\n "k": [\n  1,\n  "é"\n ]\n}'
    assert run.outputs["b"] == "plain a b"
    assert run.outputs["c"] == ""


def test_files_are_laid_in_the_folder(bench: Bench) -> None:
    bench.write("relax.py", "print('from the workflow')\n")
    bench.write("inputs/one.txt", "one")
    run = bench.run("""
        params: {row: {type: object, default: {a: [1]}}, place: {type: path, default: inputs}}
        steps:
          make: {run: "printf 'made here' > made.txt", output: {path: made.txt}}
          use:
            files:
              note.txt: "row ${{ params.row.a[0] }}\\n"
              relax.py: {from: relax.py}
              sub/job.json: ${{ params.row }}
              made: ${{ steps.make.output }}
              folder: {from: "${{ params.place }}"}
              nested.json: {file: "${{ steps.make.output }}"}
            run: |
              cat note.txt made sub/job.json folder/one.txt; python3 relax.py; cat nested.json
        outputs: {use: "${{ steps.use.output }}", make: "${{ steps.make.output }}"}
        """)
    made = folder_of(bench, "make") / "made.txt"
    assert run.outputs["make"] == str(made)
    text = f'row 1\nmade here{{\n "a": [\n  1\n ]\n}}\nonefrom the workflow\n{{\n "file": "{made}"\n}}'
    assert run.outputs["use"] == text
    folder = folder_of(bench, "use")
    assert (folder / "relax.py").readlink() == bench.folder / "relax.py"
    assert (folder / "made").readlink() == made
    assert entries(run, "done", "make")[0]["output"] == {
        "path": str(made),
        "sha256": hashlib.sha256(b"made here").hexdigest(),
        "bytes": 9,
    }


@pytest.mark.parametrize("name", ["script.sh", "stdout", "stderr", "stdin", "./stdout"])
def test_a_linked_file_is_never_written_over(bench: Bench, name: str) -> None:
    mine = bench.write(name, "precious\n")
    with pytest.raises(WorkflowInvalid):
        bench.run(f"steps: {{a: {{files: {{{name}: {{from: {name}}}}}, stdin: x, run: 'echo out; echo err >&2'}}}}")
    assert mine.read_text() == "precious\n"


def test_a_file_is_not_written_through_a_linked_folder(bench: Bench) -> None:
    mine = bench.write("mine/a.txt", "precious\n")
    with pytest.raises(WorkflowInvalid):
        bench.run("steps: {a: {files: {d: {from: mine}, d/a.txt: new}, run: cat d/a.txt}}")
    assert mine.read_text() == "precious\n"


@pytest.mark.parametrize(
    ("output", "script", "expected"),
    [
        ("", "printf 'a\\n\\n'", "a\n"),
        ("", "printf a", "a"),
        ("output: {json: r.json}", "echo '{\"n\": [1, 2.5]}' > r.json", {"n": [1, 2.5]}),
        ("output: {json: stdout}", "echo '[true, null]'", [True, None]),
        ("output: {text: sub/r.txt}", "mkdir sub; printf 'x\\n\\n' > sub/r.txt", "x\n\n"),
        ("output: {json: r.json, schema: {type: array}}", "echo '[1]' > r.json", [1]),
    ],
)
def test_what_a_script_gives(bench: Bench, output: str, script: str, expected: Any) -> None:
    run = bench.run(f"""
        steps:
          a:
            run: |
              {script}
            {output}
        outputs: {{a: "${{{{ steps.a.output }}}}"}}
        """)
    assert run.outputs == {"a": expected}


def test_files_of_a_pattern_are_a_list(bench: Bench) -> None:
    run = bench.run("""
        steps:
          a: {run: "mkdir d; echo 2 > d/2.x; echo 1 > d/1.x; echo 3 > d/3.y", output: {files: "d/*.x"}}
          b: {foreach: "${{ steps.a.output }}", files: {f: "${{ item }}"}, run: cat f}
          c: {args: ["${{ steps.a.output[1] }}"], run: 'cat "$1"'}
        outputs: {a: "${{ steps.a.output }}", b: "${{ steps.b.outputs }}", c: "${{ steps.c.output }}"}
        """)
    folder = folder_of(bench, "a")
    assert run.outputs == {"a": [str(folder / "d" / "1.x"), str(folder / "d" / "2.x")], "b": ["1", "2"], "c": "2"}


@pytest.mark.parametrize(
    ("output", "script", "summary"),
    [
        ("{json: r.json}", "touch other", "the script did not write 'r.json'"),
        ("{path: r.dat}", "true", "the script did not write 'r.dat'"),
        ("{path: d}", "mkdir d", "the script did not write 'd'"),
        ("{files: '*.x'}", "true", "no file matches '*.x'"),
        ("{json: r.json}", "echo '{' > r.json", "'r.json' is not JSON: Expecting property name"),
        ("{json: stdout}", "echo NaN", "'stdout' is not JSON: NaN is not JSON"),
        ("{json: stdout}", "true", "'stdout' is not JSON: Expecting value"),
        ("{text: r}", "printf '\\377' > r", "'r' is not UTF-8 text"),
        ("{json: r, schema: {type: array}}", "echo 1 > r", "the output does not fit: "),
        ("{json: r}", "ln -s /etc/hostname r", "'r' leads out of the step's folder"),
        ("{text: r}", "ln -s ../../../lock.json r", "'r' leads out of the step's folder"),
        ("{path: r}", "ln -s /etc/hostname r", "'r' leads out of the step's folder"),
        ("{files: 'd/*'}", "ln -s /etc d", "'d/"),
    ],
)
def test_what_cannot_be_read_is_an_error(bench: Bench, output: str, script: str, summary: str) -> None:
    run = bench.run(f"""
        steps:
          a:
            run: |
              {script}
            output: {output}
        """)
    error = error_of(run, "a")
    assert error["kind"] == "output_invalid"
    assert error["summary"].startswith(summary)
    assert error["where"] == "a"


def test_a_missing_output_shows_what_the_script_left(bench: Bench) -> None:
    run = bench.run("steps: {a: {run: touch resutl.json, output: {json: result.json}}}")
    assert error_of(run, "a")["hint"] == "it left: resutl.json, script.sh"


def test_a_source_file_that_is_missing_fails_the_instance(bench: Bench) -> None:
    run = bench.run("""
        params: {place: {type: path, default: absent.py}}
        steps: {a: {files: {x: {from: "${{ params.place }}"}}, run: cat x}}
        """)
    assert error_of(run, "a")["summary"] == f"cannot read '{bench.folder / 'absent.py'}': No such file or directory"


@pytest.fixture
def no_left_over(tmp_path: Path) -> Iterator[Path]:
    """The file where a script notes pids; what still runs at the end is killed."""
    path = tmp_path / "pids"
    yield path
    for pid in path.read_text().split() if path.exists() else ():
        if alive(int(pid)):
            os.kill(int(pid), signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process runs, zombies left out."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def gone(pids: Path) -> bool:
    """Whether all processes that a script noted have ended, or do within a long while."""
    end = time.monotonic() + 20
    while any(alive(int(pid)) for pid in pids.read_text().split()):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_a_timeout_ends_the_script_with_all_that_it_started(bench: Bench, no_left_over: Path) -> None:
    run = bench.run(f"""
        steps:
          a:
            timeout: 0.5s
            args: [{no_left_over}]
            run: |
              echo $$ >> $1
              (trap '' TERM; sleep 600) & echo $! >> $1
              sh -c 'sleep 600 & echo $! >> '$1'; wait' &
              echo begun >&2
              wait
        """)
    error = error_of(run, "a")
    assert (error["kind"], error["summary"]) == ("timeout", "ended after its timeout of 500ms")
    assert error["detail"] == "begun"
    assert len(no_left_over.read_text().split()) == 3
    assert gone(no_left_over)


def test_what_a_script_leaves_running_ends_with_it(bench: Bench, no_left_over: Path) -> None:
    run = bench.run(f'steps: {{a: {{args: [{no_left_over}], run: "sleep 600 & echo $! > $1"}}}}')
    assert run.status == "done"
    assert gone(no_left_over)


def test_everything_that_is_kept_is_private(bench: Bench) -> None:
    old = os.umask(0o022)
    try:
        run = bench.run("""
            steps:
              a: {stdin: x, files: {sub/n: x}, run: "echo 1; echo 2 >&2; mkdir d; echo 3 > d/f"}
            """)
    finally:
        os.umask(old)
    assert run.status == "done"
    for path in [run.folder.path, *run.folder.path.rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_each_instance_has_its_own_folder(bench: Bench) -> None:
    run = bench.run("""
        steps: {a: {foreach: {x: 1, "y/z": 2}, args: ["${{ item }}"], run: "ls; echo $1 > mine"}}
        """)
    assert [row["output"] for row in run.rows("a")] == ["script.sh\nstderr\nstdout"] * 2
