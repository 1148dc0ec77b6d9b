"""Registering tasks, the rules for what may be one, and finding them."""

from __future__ import annotations

import hashlib
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from metis_flow.errors import UsageError
from metis_flow.tasks import all_tasks, find_task, registry, sources, task
from metis_flow.tasks.library import HOMES

Write = Callable[..., None]


def test_the_library() -> None:
    tasks = all_tasks()
    assert set(HOMES) <= set(tasks)
    assert list(tasks) == sorted(tasks)
    for info in tasks.values():
        assert info.doc
        assert info.version == "1"


def test_a_task_and_its_identity() -> None:
    @task(name="doubled", version="3")
    def double(number: float, times: int = 1) -> float:
        """Twice the number."""
        return 2 * number * times

    info = find_task("doubled")
    assert info is double
    assert double(2, times=3) == 12
    assert info.func(number=2) == 4
    assert repr(double) == "<task doubled(number: 'float', times: 'int' = 1) -> 'float'>"
    assert (info.version, info.doc) == ("3", "Twice the number.")
    source = dedent("""\
        @task(name="doubled", version="3")
        def double(number: float, times: int = 1) -> float:
            \"\"\"Twice the number.\"\"\"
            return 2 * number * times
        """)
    assert info.source_hash == hashlib.sha256(source.encode()).hexdigest()
    assert info.parameters == {
        "type": "object",
        "properties": {"number": {"type": "number"}, "times": {"type": "integer", "default": 1}},
        "required": ["number"],
        "additionalProperties": False,
    }
    assert info.returns == {"type": "number"}
    assert info.where.startswith(__file__)


def test_without_brackets() -> None:
    @task
    def plain() -> int:
        return 1

    assert find_task("plain").func() == 1


def test_unknown_task() -> None:
    with pytest.raises(UsageError) as caught:
        find_task("read_row")
    assert caught.value.render() == "there is no task 'read_row'\n  hint: did you mean 'read_rows'?"


def test_two_tasks_of_one_name() -> None:
    def first() -> int:
        return 1

    def second() -> int:
        return 2

    task(name="twice")(first)
    task(name="twice")(first)
    with pytest.raises(UsageError, match=r"^.*: there are two tasks named 'twice': here and at .*:") as caught:
        task(name="twice")(second)
    assert caught.value.hint == "give one of them another name: @task(name=...)"


RELAX = """
    from metis_flow.tasks import task

    @task
    def relax(x: float) -> float:
        return x * {factor}

    @task(name="squeeze")
    def other(x: float) -> float:
        return -x
"""


def test_tasks_beside_the_workflow(tmp_path: Path, write: Write) -> None:
    write(tmp_path, my_tasks=RELAX.format(factor=2), unrelated="raise RuntimeError('never imported')\n")
    info = find_task("relax", tmp_path)
    assert info.func(x=2) == 4
    assert find_task("squeeze", tmp_path).func(x=2) == -2
    assert {"relax", "squeeze", "read_rows"} <= set(all_tasks(tmp_path))
    with pytest.raises(UsageError, match="there is no task 'relax'"):
        find_task("relax")
    with pytest.raises(UsageError) as caught:
        find_task("relaks", tmp_path)
    assert caught.value.hint == "did you mean 'relax'?"


def test_an_edited_task_beside_the_workflow(tmp_path: Path, write: Write) -> None:
    write(tmp_path, my_tasks=RELAX.format(factor=2))
    before = find_task("relax", tmp_path)
    write(tmp_path, my_tasks=RELAX.format(factor=3))
    after = find_task("relax", tmp_path)
    assert (before.func(x=1), after.func(x=1)) == (2, 3)
    assert before.source_hash != after.source_hash


def test_each_folder_has_its_own_tasks(tmp_path: Path, write: Write) -> None:
    for name, factor in (("one", 2), ("two", 3)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, my_tasks=RELAX.format(factor=factor))
    assert [find_task("relax", tmp_path / name).func(x=1) for name in ("one", "two", "one")] == [2, 3, 2]


def test_a_task_beside_the_workflow_may_not_take_a_library_name(tmp_path: Path, write: Write) -> None:
    write(tmp_path, counting="from metis_flow.tasks import task\n\n@task\ndef count(x: int) -> int:\n    return x\n")
    with pytest.raises(UsageError, match=r"there are two tasks named 'count': here and at .*selection.py:"):
        find_task("count", tmp_path)


def test_a_task_that_imports_a_module_beside_it(tmp_path: Path, write: Write) -> None:
    write(
        tmp_path,
        helping="VALUE = 1\n",
        leaning="""
            from metis_flow.tasks import task

            @task
            def lean() -> int:
                from helping import VALUE

                return VALUE
        """,
    )
    with pytest.raises(UsageError) as caught:
        find_task("lean", tmp_path)
    assert caught.value.summary == "'lean' imports 'helping', which lies beside it"
    assert caught.value.where == f"{tmp_path / 'leaning.py'}:6"


def test_a_task_under_another_decorator(tmp_path: Path, write: Write) -> None:
    write(
        tmp_path,
        hidden="""
            from metis_flow.tasks import task

            @(lambda made: made.func)
            @task
            def lost() -> int:
                return 1
        """,
    )
    with pytest.raises(UsageError) as caught:
        find_task("lost", tmp_path)
    assert caught.value.summary == "the task 'lost' is lost under another decorator"
    assert caught.value.hint == "write @task above all others"


TELLS = '''
    from metis_flow.tasks import task

    @task
    def lean(text: str) -> int:
        """Counts.

        Args:
            text: what is
                counted.
        """
        from metis_flow.tasks.{module} import {name}

        return len({name}(text))
'''


def test_modules_of_metis_flow_that_a_task_imports_are_part_of_its_identity(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, leaning=TELLS.format(module="equality", name="equality_key"))
    before = find_task("lean", tmp_path)
    assert before.parameters["properties"]["text"]["description"] == "what is counted."
    source = Path(sources.installed_file("metis_flow.tasks.equality") or "")
    edited = tmp_path / "edited.py"
    edited.write_bytes(source.read_bytes() + b"# edited\n")
    write(
        tmp_path, leaning=dedent(TELLS).format(module="equality", name="equality_key") + "# so that it is read again\n"
    )
    assert find_task("lean", tmp_path).source_hash == before.source_hash
    monkeypatch.setattr(registry, "installed_file", lambda module: edited)
    write(tmp_path, leaning=dedent(TELLS).format(module="equality", name="equality_key") + "# and again\n")
    assert find_task("lean", tmp_path).source_hash != before.source_hash


def test_editing_a_body_changes_its_own_hash_alone(tmp_path: Path, write: Write) -> None:
    write(tmp_path, my_tasks=RELAX.format(factor=2))
    before = {name: find_task(name, tmp_path).source_hash for name in ("relax", "squeeze")}
    write(tmp_path, my_tasks="# a comment\n" + dedent(RELAX.format(factor=3)))
    after = {name: find_task(name, tmp_path).source_hash for name in ("relax", "squeeze")}
    assert after["relax"] != before["relax"]
    assert after["squeeze"] == before["squeeze"]


def test_the_same_identity_in_another_process(tmp_path: Path, write: Write) -> None:
    write(tmp_path, my_tasks=RELAX.format(factor=2))
    program = (
        "import sys\nfrom pathlib import Path\nfrom metis_flow.tasks import find_task\n"
        "print(*(find_task(name, Path(sys.argv[1])).source_hash for name in ('relax', 'squeeze', 'summarise')))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    other = subprocess.run(command, capture_output=True, text=True, check=True, env=path, cwd=tmp_path).stdout.split()
    assert other == [find_task(name, tmp_path).source_hash for name in ("relax", "squeeze", "summarise")]


def test_tasks_pickle_by_name() -> None:
    from metis_flow.tasks import dedupe

    assert pickle.loads(pickle.dumps(dedupe)) is dedupe
    assert list(inspect.signature(dedupe).parameters) == ["rows", "by", "loose"]


def test_there_is_no_other_name_in_the_package() -> None:
    import metis_flow.tasks as package

    assert set(HOMES) <= set(package.__all__)
    assert all(getattr(package, name) is not None for name in package.__all__)
    for module in (package, package.library):
        with pytest.raises(AttributeError, match="has no attribute 'dedup'"):
            module.dedup  # noqa: B018


def test_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    info = tmp_path / "lab_tasks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-tasks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[metis_flow.tasks]\nlab = lab_tasks\nbad = lab_missing\n")
    write(tmp_path, lab_tasks="from metis_flow.tasks import task\n\n@task\ndef weigh() -> int:\n    return 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError) as caught:
        find_task("weigh")
    assert caught.value.summary == (
        "the tasks of an installed package cannot be imported: ModuleNotFoundError: No module named 'lab_missing'"
    )
    assert caught.value.where == "entry point bad = lab_missing"
    (info / "entry_points.txt").write_text("[metis_flow.tasks]\nlab = lab_tasks\n")
    assert find_task("weigh").func() == 5
    sys.modules.pop("lab_tasks")
