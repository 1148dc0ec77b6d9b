"""``module:function``: finding it, loading it afresh after an edit, and its sources."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from metis_flow.errors import UsageError
from metis_flow.tasks import load_function, source_files, source_hash

Loader = Callable[[str, Path], object]

Write = Callable[..., None]


def test_beside_the_workflow(tmp_path: Path, write: Write) -> None:
    write(tmp_path, analysis="from numbers_here import ONE\n\ndef one():\n    return ONE\n", numbers_here="ONE = 1\n")
    assert load_function("analysis:one", tmp_path)() == 1
    assert sys.modules["analysis"].__name__ == "analysis"
    assert not list(tmp_path.rglob("__pycache__"))


def test_installed() -> None:
    assert load_function("textwrap:dedent", Path("/nowhere"))("  a") == "a"
    assert load_function("json.decoder:JSONDecoder", Path("/nowhere"))().decode("1") == 1


def test_an_edit_is_noticed_by_content(tmp_path: Path, write: Write) -> None:
    for number in range(5):  # as many edits within one second, of one size
        write(tmp_path, edited=f"def value():\n    return {number}\n")
        assert load_function("edited:value", tmp_path)() == number


def test_an_edited_helper_is_noticed(tmp_path: Path, write: Write) -> None:
    write(tmp_path, upper="import lower\n\ndef value():\n    return lower.VALUE\n", lower="VALUE = 1\n")
    before = load_function("upper:value", tmp_path)
    assert load_function("upper:value", tmp_path) is before
    write(tmp_path, lower="VALUE = 2\n")
    assert (before(), load_function("upper:value", tmp_path)()) == (1, 2)


def test_an_edited_helper_that_is_imported_late(tmp_path: Path, write: Write) -> None:
    write(tmp_path, early="def value():\n    from late import VALUE\n    return VALUE\n", late="VALUE = 1\n")
    assert load_function("early:value", tmp_path)() == 1
    write(tmp_path, late="VALUE = 2\n")
    assert load_function("early:value", tmp_path)() == 2


def test_an_unchanged_helper_stays_one_module(tmp_path: Path, write: Write) -> None:
    write(
        tmp_path,
        store="KEPT = []\n",
        first="import store\n\ndef kept():\n    return store.KEPT\n",
        second="import store\n\ndef kept():\n    return store.KEPT\n",
    )
    assert load_function("first:kept", tmp_path)() is load_function("second:kept", tmp_path)()


def test_an_edited_module_of_a_package(tmp_path: Path, write: Write) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    write(tmp_path, pack__tables="from .units import EV\n\ndef ev():\n    return EV\n", pack__units="EV = 1\n")
    write(tmp_path, outside="from pack import tables\n\ndef ev():\n    return tables.ev()\n")
    assert load_function("pack.tables:ev", tmp_path)() == 1
    assert load_function("outside:ev", tmp_path)() == 1
    write(tmp_path, pack__units="EV = 2\n")
    assert load_function("outside:ev", tmp_path)() == 2
    assert load_function("pack.tables:ev", tmp_path)() == 2


def test_folders_without_init(tmp_path: Path, write: Write) -> None:
    write(tmp_path, parts__deep__leaf="def value():\n    return 1\n")
    assert load_function("parts.deep.leaf:value", tmp_path)() == 1
    assert source_files("parts.deep.leaf:value", tmp_path) == [tmp_path / "parts" / "deep" / "leaf.py"]


def test_two_folders_with_modules_of_one_name(tmp_path: Path, write: Write) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, same="import helper_same\n\ndef value():\n    return helper_same.VALUE\n")
        write(tmp_path / name, helper_same=f"VALUE = {name!r}\n")
    loaded = [load_function("same:value", tmp_path / name) for name in ("a", "b", "a")]
    assert [function() for function in loaded] == ["a", "b", "a"]
    assert loaded[0] is loaded[2]


def test_a_module_of_another_folder_is_not_installed(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "a", only_here="def value():\n    return 1\n")
    (tmp_path / "b").mkdir()
    load_function("only_here:value", tmp_path / "a")
    for look in (load_function, source_hash):
        with pytest.raises(UsageError, match="there is no module 'only_here' beside the workflow"):
            look("only_here:value", tmp_path / "b")


def test_the_installed_module_after_one_beside(tmp_path: Path, write: Write) -> None:
    (tmp_path / "site").mkdir()
    write(tmp_path / "site", both_places="def value():\n    return 'installed'\n")
    write(tmp_path / "flow", both_places="def value():\n    return 'beside'\n")
    (tmp_path / "other").mkdir()
    sys.path.insert(0, str(tmp_path / "site"))
    try:
        assert load_function("both_places:value", tmp_path / "flow")() == "beside"
        assert load_function("both_places:value", tmp_path / "other")() == "installed"
    finally:
        sys.path.remove(str(tmp_path / "site"))


def test_from_many_threads(tmp_path: Path, write: Write) -> None:
    write(tmp_path, slow="import time\nRUNS = []\ntime.sleep(0.05)\nRUNS.append(1)\n\ndef runs():\n    return RUNS\n")
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(load_function("slow:runs", tmp_path)())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert all(one is found[0] for one in found)
    assert found[0] == [1]


def test_two_folders_from_two_threads(tmp_path: Path, write: Write) -> None:
    slow = "import time\ntime.sleep(0.005)\nimport raced_helper\n\ndef value():\n    return raced_helper.VALUE, {}\n"
    wrong: list[object] = []

    def load(name: str) -> None:
        for number in range(20):
            write(tmp_path / name, raced=slow.format(number), raced_helper=f"VALUE = {name!r}\n")
            try:
                value = load_function("raced:value", tmp_path / name)()
            except UsageError as problem:
                wrong.append(problem)
            else:
                wrong.extend([value] if value != (name, number) else [])

    threads = [threading.Thread(target=load, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_child_processes_find_the_module(tmp_path: Path, write: Write) -> None:
    write(
        tmp_path,
        spread="""
            import multiprocessing

            def square(x):
                return x * x

            def squares(count):
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    return pool.map(square, range(count))
        """,
    )
    program = (
        "from pathlib import Path\nfrom metis_flow.tasks import load_function\n"
        f"if __name__ == '__main__':\n    print(load_function('spread:squares', Path({str(tmp_path)!r}))(3))\n"
    )
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "main_program.py").write_text(program)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(tmp_path / "elsewhere" / "main_program.py")],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout == "[0, 1, 4]\n"


@pytest.mark.parametrize("look", [load_function, source_files, source_hash])
@pytest.mark.parametrize(
    ("target", "summary", "hint"),
    [
        (
            "analysis.summarise",
            "'analysis.summarise' is not of the form module:function",
            "write the module's name without .py, a colon and the function's name, such as analysis:summarise",
        ),
        ("../analysis:summarise", "'../analysis:summarise' is not of the form module:function", None),
        ("analysis.py:", "'analysis.py:' is not of the form module:function", None),
        (
            "analisys:summarise",
            "there is no module 'analisys' beside the workflow (in {folder}), and none is installed",
            "did you mean 'analysis'?",
        ),
        (
            "analysis.py:summarise",
            "there is no module 'analysis.py' beside the workflow (in {folder}), and none is",
            None,
        ),
        ("analysis:summarize", "there is no function 'summarize' in", "did you mean 'summarise'?"),
    ],
)
def test_what_is_not_there(
    tmp_path: Path, look: Loader, target: str, summary: str, hint: str | None, write: Write
) -> None:
    write(tmp_path, analysis="def summarise():\n    return 1\n", other="")
    with pytest.raises(UsageError) as caught:
        look(target, tmp_path)
    assert caught.value.summary.startswith(summary.format(folder=tmp_path))
    assert hint is None or caught.value.hint == hint


def test_what_is_no_plain_function(tmp_path: Path, write: Write) -> None:
    write(tmp_path, odd="VALUE = 3\n\nasync def waits():\n    return 1\n")
    with pytest.raises(UsageError, match="'odd:VALUE' is an int, not a function"):
        load_function("odd:VALUE", tmp_path)
    with pytest.raises(UsageError, match="'odd:waits' is an async function") as caught:
        load_function("odd:waits", tmp_path)
    assert caught.value.hint == "write a plain function; it may call asyncio.run itself"


def test_import_errors_show_the_line(tmp_path: Path, write: Write) -> None:
    write(
        tmp_path,
        breaks="import breaks_below\n",
        breaks_below="VALUE = 1\n\nresult = VALUE / 0\n",
        lacks="import no_such_package_anywhere\n",
        spells="def f(:\n    pass\n",
        leaves="import sys\nsys.exit(3)\n",
    )
    with pytest.raises(UsageError) as caught:
        load_function("breaks:f", tmp_path)
    assert caught.value.render() == (
        f"{tmp_path / 'breaks_below.py'}:3: module 'breaks' cannot be imported: ZeroDivisionError: division by zero\n"
        "    result = VALUE / 0"
    )
    with pytest.raises(UsageError) as caught:
        load_function("lacks:f", tmp_path)
    assert caught.value.where == f"{tmp_path / 'lacks.py'}:1"
    assert caught.value.hint == (
        "install 'no_such_package_anywhere' where the step runs, or put no_such_package_anywhere.py beside the workflow"
    )
    with pytest.raises(UsageError) as caught:
        load_function("spells:f", tmp_path)
    assert caught.value.where == f"{tmp_path / 'spells.py'}:1"
    assert caught.value.summary.startswith("this is no Python: ")
    assert caught.value.detail == "def f(:"
    with pytest.raises(UsageError, match="module 'leaves' cannot be imported: SystemExit: 3"):
        load_function("leaves:f", tmp_path)


def test_a_failed_import_is_tried_again(tmp_path: Path, write: Write) -> None:
    write(
        tmp_path,
        mended="""
            from pathlib import Path

            VALUE = Path(__file__).with_name("there.txt").read_text()

            def value():
                return VALUE
        """,
    )
    with pytest.raises(UsageError, match="module 'mended' cannot be imported: FileNotFoundError"):
        load_function("mended:value", tmp_path)
    (tmp_path / "there.txt").write_text("now")
    assert load_function("mended:value", tmp_path)() == "now"


def test_names_that_are_taken(tmp_path: Path, write: Write) -> None:
    assert yaml.safe_load("1") == 1  # it is in use here
    write(tmp_path, statistics="def f():\n    return 1\n", yaml="def f():\n    return 1\n")
    with pytest.raises(UsageError) as caught:
        load_function("statistics:f", tmp_path)
    assert caught.value.render() == (
        f"{tmp_path / 'statistics.py'}: 'statistics' is also the name of a module of Python itself\n"
        "  hint: give the file another name"
    )
    with pytest.raises(UsageError, match=r"'yaml' is also the name of an installed module .*, which is in use here"):
        load_function("yaml:f", tmp_path)
