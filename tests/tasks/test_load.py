"""``module:function``: finding it, loading it afresh after an edit, and its sources."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from metis_flow.errors import UsageError
from metis_flow.tasks import load_function, source_files, source_hash

Loader = Callable[[str, Path], object]


def write(folder: Path, **files: str) -> Path:
    """Files by name, ``__`` for a slash."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return folder


def init(folder: Path, package: str, text: str = "") -> None:
    (folder / package).mkdir(exist_ok=True)
    (folder / package / "__init__.py").write_text(text)


def test_beside_the_workflow(tmp_path: Path) -> None:
    write(tmp_path, analysis="from numbers_here import ONE\n\ndef one():\n    return ONE\n", numbers_here="ONE = 1\n")
    assert load_function("analysis:one", tmp_path)() == 1
    assert sys.modules["analysis"].__name__ == "analysis"
    assert not list(tmp_path.rglob("__pycache__"))


def test_installed() -> None:
    assert load_function("textwrap:dedent", Path("/nowhere"))("  a") == "a"
    assert load_function("json.decoder:JSONDecoder", Path("/nowhere"))().decode("1") == 1


def test_an_edit_is_noticed_by_content(tmp_path: Path) -> None:
    for number in range(5):  # as many edits within one second, of one size
        write(tmp_path, edited=f"def value():\n    return {number}\n")
        assert load_function("edited:value", tmp_path)() == number


def test_an_edited_helper_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, upper="import lower\n\ndef value():\n    return lower.VALUE\n", lower="VALUE = 1\n")
    before = load_function("upper:value", tmp_path)
    assert load_function("upper:value", tmp_path) is before
    write(tmp_path, lower="VALUE = 2\n")
    assert (before(), load_function("upper:value", tmp_path)()) == (1, 2)


def test_an_edited_helper_that_is_imported_late(tmp_path: Path) -> None:
    write(tmp_path, early="def value():\n    from late import VALUE\n    return VALUE\n", late="VALUE = 1\n")
    assert load_function("early:value", tmp_path)() == 1
    write(tmp_path, late="VALUE = 2\n")
    assert load_function("early:value", tmp_path)() == 2


def test_an_unchanged_helper_stays_one_module(tmp_path: Path) -> None:
    write(
        tmp_path,
        store="KEPT = []\n",
        first="import store\n\ndef kept():\n    return store.KEPT\n",
        second="import store\n\ndef kept():\n    return store.KEPT\n",
    )
    assert load_function("first:kept", tmp_path)() is load_function("second:kept", tmp_path)()


def test_an_edited_module_of_a_package(tmp_path: Path) -> None:
    init(tmp_path, "pack")
    write(tmp_path, pack__tables="from .units import EV\n\ndef ev():\n    return EV\n", pack__units="EV = 1\n")
    write(tmp_path, outside="from pack import tables\n\ndef ev():\n    return tables.ev()\n")
    assert load_function("pack.tables:ev", tmp_path)() == 1
    assert load_function("outside:ev", tmp_path)() == 1
    write(tmp_path, pack__units="EV = 2\n")
    assert load_function("outside:ev", tmp_path)() == 2
    assert load_function("pack.tables:ev", tmp_path)() == 2


def test_folders_without_init(tmp_path: Path) -> None:
    write(tmp_path, parts__deep__leaf="def value():\n    return 1\n")
    assert load_function("parts.deep.leaf:value", tmp_path)() == 1
    assert source_files("parts.deep.leaf:value", tmp_path) == [tmp_path / "parts" / "deep" / "leaf.py"]


def test_two_folders_with_modules_of_one_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, same="import helper_same\n\ndef value():\n    return helper_same.VALUE\n")
        write(tmp_path / name, helper_same=f"VALUE = {name!r}\n")
    loaded = [load_function("same:value", tmp_path / name) for name in ("a", "b", "a")]
    assert [function() for function in loaded] == ["a", "b", "a"]
    assert loaded[0] is loaded[2]


def test_a_module_of_another_folder_is_not_installed(tmp_path: Path) -> None:
    write(tmp_path / "a", only_here="def value():\n    return 1\n")
    (tmp_path / "b").mkdir()
    load_function("only_here:value", tmp_path / "a")
    for look in (load_function, source_hash):
        with pytest.raises(UsageError, match="there is no module 'only_here' beside the workflow"):
            look("only_here:value", tmp_path / "b")


def test_the_installed_module_after_one_beside(tmp_path: Path) -> None:
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


def test_from_many_threads(tmp_path: Path) -> None:
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


def test_two_folders_from_two_threads(tmp_path: Path) -> None:
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


def test_child_processes_find_the_module(tmp_path: Path) -> None:
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
def test_what_is_not_there(tmp_path: Path, look: Loader, target: str, summary: str, hint: str | None) -> None:
    write(tmp_path, analysis="def summarise():\n    return 1\n", other="")
    with pytest.raises(UsageError) as caught:
        look(target, tmp_path)
    assert caught.value.summary.startswith(summary.format(folder=tmp_path))
    assert hint is None or caught.value.hint == hint


def test_what_is_no_plain_function(tmp_path: Path) -> None:
    write(tmp_path, odd="VALUE = 3\n\nasync def waits():\n    return 1\n")
    with pytest.raises(UsageError, match="'odd:VALUE' is an int, not a function"):
        load_function("odd:VALUE", tmp_path)
    with pytest.raises(UsageError, match="'odd:waits' is an async function") as caught:
        load_function("odd:waits", tmp_path)
    assert caught.value.hint == "write a plain function; it may call asyncio.run itself"


def test_import_errors_show_the_line(tmp_path: Path) -> None:
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


def test_a_failed_import_is_tried_again(tmp_path: Path) -> None:
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


def test_names_that_are_taken(tmp_path: Path) -> None:
    write(tmp_path, statistics="def f():\n    return 1\n", yaml="def f():\n    return 1\n")
    with pytest.raises(UsageError) as caught:
        load_function("statistics:f", tmp_path)
    assert caught.value.render() == (
        f"{tmp_path / 'statistics.py'}: 'statistics' is also the name of a module of Python itself\n"
        "  hint: give the file another name"
    )
    with pytest.raises(UsageError, match=r"'yaml' is also the name of an installed module .*, which is in use here"):
        load_function("yaml:f", tmp_path)


def test_source_files(tmp_path: Path) -> None:
    init(tmp_path, "pack", "from .first import A\n")
    init(tmp_path, "untouched")
    init(tmp_path, "deep")
    write(
        tmp_path,
        main="""
            import json
            import importlib
            from pack.second import B

            def f():
                import late
                return importlib.import_module("named"), late, B, json
        """,
        pack__first="A = 1\n",
        pack__second="from . import third\nB = 2\n",
        pack__third="import main\nimport deep.down.leaf\n",
        deep__down__leaf="from ..side import A\n",
        deep__side="A = 1\n",
        pack__fourth="",
        late="from json import loads\n",
        named="",
        stranger="raise RuntimeError('never imported')\n",
    )
    files = [path.relative_to(tmp_path).as_posix() for path in source_files("main:f", tmp_path)]
    assert files == [
        "main.py",
        "deep/__init__.py",
        "deep/down/leaf.py",
        "deep/side.py",
        "late.py",
        "named.py",
        "pack/__init__.py",
        "pack/first.py",
        "pack/second.py",
        "pack/third.py",
    ]
    assert source_files("textwrap:dedent", tmp_path) == []
    assert "stranger" not in sys.modules


def test_source_hash(tmp_path: Path) -> None:
    write(
        tmp_path,
        hashed="import hashed_helper\n\ndef f():\n    return 1\n\ndef g():\n    return 2\n",
        hashed_helper="A = 1\n",
    )
    first = source_hash("hashed:f", tmp_path)
    assert source_hash("hashed:f", tmp_path) == first
    write(tmp_path / "copy", hashed=(tmp_path / "hashed.py").read_text(), hashed_helper="A = 1\n")
    assert source_hash("hashed:f", tmp_path / "copy") == first
    assert source_hash("hashed:g", tmp_path) != first
    write(tmp_path, unrelated="A = 1\n")
    assert source_hash("hashed:f", tmp_path) == first
    write(tmp_path, hashed_helper="A = 2\n")
    assert source_hash("hashed:f", tmp_path) != first


def test_source_hash_of_an_installed_module(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "lab_kit-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "top_level.txt").write_text("lab_kit_module\n")
    write(site, lab_kit_module="raise RuntimeError('hashing imports nothing')\n")
    program = (
        "import sys\nfrom pathlib import Path\nfrom metis_flow.tasks import source_hash\n"
        "print(source_hash('lab_kit_module:f', Path('/nowhere')), source_hash('math:sqrt', Path('/nowhere')))\n"
    )
    seen = set()
    for version in ("1.0", "2.0", "2.0"):
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lab-kit\nVersion: {version}\n")
        path = f"{Path(__file__).parents[2]}:{site}"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
        )
        seen.add(done.stdout)
    assert len(seen) == 2


def test_names_made_in_other_ways_count_as_functions(tmp_path: Path) -> None:
    write(
        tmp_path,
        ways="""
            from json import dumps as f
            g = f
            try:
                from json import loads as h
            except ImportError:
                h = g
        """,
    )
    write(tmp_path, starred="from ways import *\n")
    for target in ("ways:f", "ways:g", "ways:h", "starred:f"):
        assert source_files(target, tmp_path)
        assert callable(load_function(target, tmp_path))
