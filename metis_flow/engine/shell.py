"""Runs a script in the instance's own folder. This runs where the site says: in a thread, or on another machine."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metis_flow.engine.guard import Guard, end_group
from metis_flow.engine.outcome import Outcome, ShellTask
from metis_flow.engine.validate import check_schema
from metis_flow.errors import MetisFlowError, OutputInvalid, ShellFailed, StepFailed, TimedOut
from metis_flow.record.files import make_parents, make_private_folder, promote, write_new
from metis_flow.units import format_duration
from metis_flow.workflow.values import FileRef

MAX_RESULT_BYTES = 16 * 1024 * 1024
TAIL_LINES = 12
GRACE_SECONDS = 3.0
MASK = b"***"

# What runs in threads of the driver can be ended only from here. A thread may be about to start a script just then.
_running: dict[int, ShellTask] = {}  # by process group
_ended: set[str] = set()  # folders of runs that start no script any more
_starting = threading.Lock()
_guard = Guard()


def run_shell(task: ShellTask) -> Outcome:
    """Run the script of one instance and read its output."""
    began = time.time()
    final = Path(task.folder)
    work = final.with_name(f".{final.name}.part")
    root = Path(task.run_folder)
    folder = str(final.relative_to(root))
    try:
        try:
            _lay_out(task, work, root)
            _execute(task, work)
            _check_output(task, work)
        finally:
            if work.is_dir():
                _tidy(task, work)
                promote(work, final, within=root)
        value = _read_output(task, final)
        check_schema(value, task.output.schema)
    except MetisFlowError as error:
        error.where = error.where or task.label
        return Outcome(error=error, began=began, ended=time.time(), folder=folder)
    except OSError as error:
        failure = StepFailed(f"the step's files could not be written: {error}", where=task.label)
        return Outcome(error=failure, began=began, ended=time.time(), folder=folder)
    return Outcome(value=value, began=began, ended=time.time(), folder=folder if final.exists() else None)


def allow_scripts(run_folder: str) -> None:
    """Let a run start scripts, also where an earlier part of it was ended in this process."""
    with _starting:
        _ended.discard(run_folder)


def end_scripts(run_folder: str) -> None:
    """End every script that this process runs for a run, with all that it started, and let no other start."""
    with _starting:
        _ended.add(run_folder)
        for group, task in list(_running.items()):
            if _is_of(task, run_folder):
                end_group(group)


def _is_of(task: ShellTask, run_folder: str) -> bool:
    """Whether a script belongs to a run, or to a run inside it."""
    return task.run_folder == run_folder or task.run_folder.startswith(run_folder + os.sep)


def end_script(folder: str | None) -> None:
    """End the script that this process runs for the instance of a folder, if it runs one; None for every script."""
    with _starting:
        for group, task in list(_running.items()):
            if folder in (None, task.folder):
                end_group(group)


def close_guard() -> None:
    """End the shell that stands beside this process while it runs scripts."""
    _guard.close()


def _lay_out(task: ShellTask, work: Path, root: Path) -> None:
    make_parents(work, within=root)
    shutil.rmtree(work, ignore_errors=True)
    make_private_folder(work)
    for name, target in task.links:
        place = _place(work, name)
        if not Path(target).exists():
            raise StepFailed(f"the file for '{name}' is not there: {target}", hint="check 'files' of the step")
        place.symlink_to(target)
    for name, text in task.contents:
        write_new(_place(work, name), text.encode("utf-8", "surrogatepass"), durable=False)
    write_new(work / "script.sh", task.script.encode(), durable=False)
    for name in ("stdout", "stderr"):
        write_new(work / name, b"", durable=False)


def _place(work: Path, name: str) -> Path:
    place = work / name
    make_parents(place, within=work)
    return place


def _execute(task: ShellTask, work: Path) -> None:
    stdin: Any = subprocess.DEVNULL
    if task.stdin is not None:
        write_new(work / "stdin", task.stdin.encode("utf-8", "surrogatepass"), durable=False)
        stdin = (work / "stdin").open("rb")
    with (
        contextlib.nullcontext() if stdin is subprocess.DEVNULL else stdin,
        (work / "stdout").open("wb") as stdout,
        (work / "stderr").open("wb") as stderr,
    ):
        process = _start(task, work, stdin, stdout, stderr)
        try:
            code = process.wait(task.timeout)
        except subprocess.TimeoutExpired:
            _end_group(process)
            limit = format_duration(task.timeout or 0)
            raise TimedOut(
                f"ended after its timeout of {limit}",
                detail=_tail(task, work),
                hint="raise 'timeout', or look at its stderr",
            ) from None
        finally:
            end_group(process.pid)  # what it left running would write into a folder that is done
            _running.pop(process.pid, None)
            _guard.forget(process.pid)
    if code != 0:
        how = f"exit code {code}" if code > 0 else f"signal {-code} ({signal.strsignal(-code)})"
        hint = f"its folder: {task.folder}"
        raise ShellFailed(f"the script ended with {how}", code=code, detail=_tail(task, work), hint=hint)


def _start(task: ShellTask, work: Path, stdin: Any, stdout: Any, stderr: Any) -> subprocess.Popen[bytes]:
    command, environment = [*_interpreter(task.script), "script.sh", *task.args], _environment(task)
    with _starting:
        if any(_is_of(task, folder) for folder in _ended):
            raise ShellFailed("the run was ended before the script started")
        _guard.prepare()
        try:
            process = subprocess.Popen(
                command,
                cwd=work,
                env=environment,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                umask=0o077,
            )
        except OSError as error:
            hint = "pass large values by 'stdin' or 'files'" if error.errno == errno.E2BIG else None
            raise ShellFailed(f"the script cannot be started: {error.strerror}", hint=hint) from None
        _running[process.pid] = task
        _guard.watch(process.pid)
        return process


def _interpreter(script: str) -> list[str]:
    """A script's own ``#!`` line counts; else bash (or sh where there is none), ending at the first failure."""
    first = script.split("\n", 1)[0]
    if first.startswith("#!") and first[2:].strip():
        return first[2:].split()
    bash = shutil.which("bash")
    return [bash, "-eo", "pipefail"] if bash else ["/bin/sh", "-e"]


def _environment(task: ShellTask) -> dict[str, str]:
    missing = [name for name in task.secrets if name not in os.environ]
    if missing:
        names = ", ".join(missing)
        raise StepFailed(
            f"the secret {names} is not set where the step runs", hint=f"export {missing[0]}=… before the run"
        )
    return {**os.environ, "METIS_FLOW_INSTANCE": task.label, **task.env}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, and make it end."""
    end_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    end_group(process.pid)
    process.wait()


def _tidy(task: ShellTask, work: Path) -> None:
    """Mask secrets in what was printed, and keep non-empty files only."""
    for name in ("stdout", "stderr", "stdin"):
        path = work / name
        if path.is_file():
            _mask_file(task, path)
            if path.stat().st_size == 0:
                path.unlink()


def _secret_values(task: ShellTask) -> list[bytes]:
    """What must not be kept: each value, also as JSON writes it. The longest come first: one may be part of another."""
    values = [os.environ[name] for name in task.secrets if os.environ.get(name)]
    written = [json.dumps(value, ensure_ascii=plain)[1:-1] for value in values for plain in (True, False)]
    return sorted({os.fsencode(value) for value in values + written}, key=len, reverse=True)


def _mask_file(task: ShellTask, path: Path) -> None:
    values = _secret_values(task)
    if not values:
        return
    data = path.read_bytes()
    masked = data
    for value in values:
        masked = masked.replace(value, MASK)
    if masked != data:
        path.write_bytes(masked)


def _tail(task: ShellTask, work: Path) -> str | None:
    """The last lines of stderr, else of stdout."""
    for name in ("stderr", "stdout"):
        path = work / name
        _mask_file(task, path)  # before lines are cut, and a secret with them
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 8192))
            lines = stream.read().decode("utf-8", "replace").splitlines()[-TAIL_LINES:]
            if lines:
                return "\n".join(line[:400] for line in lines)
    return None


def _check_output(task: ShellTask, work: Path) -> None:
    """Mask the files that hold the result before they get their final name."""
    spec = task.output
    if spec.source in ("json", "text") and spec.file != "stdout" and spec.file and (work / spec.file).is_file():
        _mask_file(task, _inside(work, spec.file))


def _read_output(task: ShellTask, folder: Path) -> Any:
    spec = task.output
    if spec.source == "files":
        return list(_matching(folder, str(spec.file)))
    if spec.source == "path":
        return _reference(_inside(folder, str(spec.file)))
    name = "stdout" if spec.source == "stdout" else str(spec.file)
    text = _read_text(folder, name)
    if spec.source == "stdout":
        return text.removesuffix("\n")
    return text if spec.source == "text" else _parse_json(text, name)


def _read_text(folder: Path, name: str) -> str:
    path = _inside(folder, name)
    if name == "stdout" and not path.exists():
        return ""
    if not path.is_file():
        made = sorted(child.name for child in folder.iterdir()) if folder.is_dir() else []
        raise OutputInvalid(f"the script did not write '{name}'", hint=f"it left: {', '.join(made[:12])}")
    if path.stat().st_size > MAX_RESULT_BYTES:
        limit = MAX_RESULT_BYTES // 2**20
        raise OutputInvalid(f"'{name}' is larger than {limit} MiB", hint="hand it on as a file: output: {path: FILE}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise OutputInvalid(f"'{name}' is not UTF-8 text", hint="hand it on as a file: output: {path: FILE}") from None


def _parse_json(text: str, name: str) -> Any:
    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise OutputInvalid(f"'{name}' is not JSON: {error}", detail=text[:200]) from None


def _matching(folder: Path, pattern: str) -> Iterator[FileRef]:
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not found:
        raise OutputInvalid(
            f"no file matches '{pattern}'", hint="check 'output' of the step, or what the script writes"
        )
    return (_reference(_inside(folder, str(path.relative_to(folder)))) for path in found)


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise OutputInvalid(f"'{name}' leads out of the step's folder", hint="write a real file there, not a link")
    return path


def _reference(path: Path) -> FileRef:
    if not path.is_file():
        raise OutputInvalid(f"the script did not write '{path.name}'")
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return FileRef(str(path), digest.hexdigest(), path.stat().st_size)
