"""The files that ``module:function`` is made of, and their hash."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from metis_flow.tasks import load_function, source_files, source_hash

Write = Callable[..., None]


def test_source_files(tmp_path: Path, write: Write) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("from .first import A\n")
    (tmp_path / "untouched").mkdir()
    (tmp_path / "untouched" / "__init__.py").write_text("")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "__init__.py").write_text("")
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


def test_source_hash(tmp_path: Path, write: Write) -> None:
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


def test_source_hash_of_an_installed_module(tmp_path: Path, write: Write) -> None:
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


def test_names_made_in_other_ways_count_as_functions(tmp_path: Path, write: Write) -> None:
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
