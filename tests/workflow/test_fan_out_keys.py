"""What a step may have an instance for: lists, files, a matrix and repeats; what they become, and mistakes in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from metis_flow.errors import ExpressionFailed
from metis_flow.workflow.definition import StepDef, WorkflowDef
from metis_flow.workflow.expressions import StepRef
from metis_flow.workflow.trees import Constant, FilesOf
from metis_flow.workflow.values import PathParam

Load = Callable[..., WorkflowDef]
Mistakes = Callable[..., list[str]]


def step(load: Load, text: str) -> StepDef:
    return load(text, step=True).steps["s"]


SPREADS = {
    "run: x": None,
    "foreach: [1]\nrun: x": "the values listed there",
    "foreach: ${{ steps.a.output }}\nrun: x": "steps.a.output",
    "foreach: {glob: 'd/*.txt'}\nrun: x": "the files d/*.txt",
    "matrix: {t: [0], w: [a]}\nrun: x": "the matrix of t, w",
    "matrix: {include: [{a: 1}]}\nrun: x": "the matrix of include",
    "repeat: 3\nrun: x": "the repeats",
    "foreach: ${{ steps.f.results }}\nmatrix: {t: [0]}\nrepeat: 2\nrun: x": (
        "steps.f.results by the matrix of t by the repeats"
    ),
}


@pytest.mark.parametrize(("text", "spread"), SPREADS.items(), ids=SPREADS)
def test_what_there_is_an_instance_for(load: Load, text: str, spread: str | None) -> None:
    assert step(load, text).spread == spread
    assert step(load, text).is_fan_out == (spread is not None)


def test_axes_and_repeats_refer_to_steps_and_make_others_gather(load: Load) -> None:
    text = "foreach: [1]\nmatrix: {t: '${{ steps.a.output }}'}\nrepeat: ${{ steps.f.outputs | length }}\nrun: x"
    assert step(load, text).refs == {StepRef("a", "output"), StepRef("f", "outputs")}
    assert step(load, text).instance_refs == {StepRef("a", "output"), StepRef("f", "outputs")}


KNOWN = [
    "matrix: {t: [0]}\nargs: ['${{ matrix.t }}', '${{ key }}']\nrun: x",
    "matrix: {t: [0], include: [{u: 1}]}\nargs: ['${{ matrix.u }}']\nrun: x",
    "matrix: {t: [0], include: '${{ steps.a.output }}'}\nargs: ['${{ matrix.anything }}']\nrun: x",
    "matrix: {t: [0]}\nargs: ['${{ matrix }}']\nrun: x",
    "repeat: 2\nargs: ['${{ repeat }}']\nrun: x",
    "repeat: ${{ steps.a.output }}\nkey: ${{ repeat + 1 }}\nif: repeat > 0\nrun: x",
    "matrix: {m: [x, y]}\nchat: {user: hi, model: '${{ matrix.m }}', temperature: '${{ matrix.m }}'}",
    "matrix: {t: [0]}\nkey: ${{ matrix.t }}\nif: matrix.t > 0\nrun: x",
    "foreach: [1]\nmatrix: {t: [0]}\nrepeat: 2\nargs: ['${{ item }}', '${{ matrix.t }}', '${{ repeat }}']\nrun: x",
    "matrix: {t: [0, 1]}\nmax_parallel: 1\nrun: x",
]


@pytest.mark.parametrize("text", KNOWN)
def test_names_that_the_instances_know(mistakes: Mistakes, text: str) -> None:
    assert mistakes(text, step=True) == []


def test_a_condition_on_the_matrix_is_asked_of_each(load: Load) -> None:
    assert step(load, "matrix: {t: [0]}\nif: matrix.t > 0\nrun: x").condition_is_per_item
    assert step(load, "repeat: 2\nif: repeat > 0\nrun: x").condition_is_per_item
    assert not step(load, "repeat: 2\nif: steps.a.output\nrun: x").condition_is_per_item


MISTAKES = [
    ("matrix: [1]\nrun: x", ["10:13 'matrix' should be an object (key: value lines), not a list"]),
    ("matrix: {}\nrun: x", ["10:13 the matrix has no axes [for instance 'matrix: {temperature: [0, 1]}']"]),
    ("matrix: {t: 5}\nrun: x", ["10:17 't' should be a list or one expression '${{ … }}', not 5"]),
    ("matrix: {t: low}\nrun: x", ["10:17 't' should be a list or one expression '${{ … }}', not 'low'"]),
    (
        "matrix:\n  t: ${{ steps.a.output }}s\nrun: x",
        ["11:10 't' should be a list or one expression '${{ … }}', not '${{ steps.a.output }}s'"],
    ),
    (
        "matrix:\n  t: ${{ params }}${{ params }}\nrun: x",
        ["11:10 't' takes one expression, without text around it"],
    ),
    (
        "matrix: {a-b: [1]}\nrun: x",
        ["10:14 the name 'a-b' is not allowed [letters, digits and '_', no digit first]"],
    ),
    (
        "matrix: {t: [0]}\nargs: ['${{ matrix.tt }}']\nrun: x",
        ["11:24 the matrix has no axis 'tt' [did you mean 't'?]"],
    ),
    ("run: x\nargs: ['${{ matrix.t }}']", ["11:17 'matrix' needs 'matrix' on the step"]),
    ("run: x\nargs: ['${{ repeat }}']", ["11:17 'repeat' needs 'repeat' on the step"]),
    ("matrix: {t: [0]}\nargs: ['${{ item }}']\nrun: x", ["11:17 'item' needs 'foreach' on the step"]),
    ("matrix: {t: [0]}\nkey: ${{ key }}\nrun: x", ["11:14 'key' is not known inside 'key' [make it from the item]"]),
    ("matrix: {t: [0]}\nas: p\nrun: x", ["11:5 'as' needs 'foreach' on the step"]),
    ("foreach: [1]\nas: matrix\nrun: x", ["11:9 the name 'matrix' is taken [choose another]"]),
    (
        "matrix: {model: [small], exclude: [{modle: small}]}\nrun: x",
        ["10:41 the matrix has no axis 'modle' [did you mean 'model'?]"],
    ),
    (
        "matrix: {model: [small, large], exclude: [{model: smal}]}\nrun: x",
        ["10:55 the axis 'model' has no such value to leave out [did you mean 'small'?]"],
    ),
    (
        "matrix: {t: [0], exclude: {t: 0}}\nrun: x",
        ["10:31 'exclude' should be a list or one expression '${{ … }}', not an object"],
    ),
    (
        "matrix: {t: [0], include: [1]}\nrun: x",
        ["10:32 item 1 of 'include' should be an object (key: value lines), not 1"],
    ),
    ("repeat: -1\nrun: x", ["10:13 'repeat' should be greater than or equal to 0, not -1"]),
    ("repeat: few\nrun: x", ["10:13 'repeat' should be a whole number or one expression '${{ … }}', not 'few'"]),
    ("repeat: 2.5\nrun: x", ["10:13 'repeat' should be a whole number or one expression '${{ … }}', not 2.5"]),
    ("foreach: {glob: [a]}\nrun: x", ["10:21 'glob' takes a pattern of file names [for instance 'data/*.txt']"]),
    (
        "foreach: {glob: '${{ steps.a.output }}/*'}\nrun: x",
        [
            "10:26 'steps' cannot make the name of a file "
            "[only parameters may stand here: what a model or a data file said never becomes a path]"
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=[text[:60] for text, _ in MISTAKES])
def test_mistakes(mistakes: Mistakes, text: str, expected: list[str]) -> None:
    assert mistakes(text, step=True) == expected


# -- files

PATTERNS = {
    "d/*.txt": {"a": "d/a.txt", "b": "d/b.txt"},
    "d/**/*.txt": {"a": "d/a.txt", "b": "d/b.txt", "sub/a": "d/sub/a.txt", "sub/c": "d/sub/c.txt"},
    "d/*": {"a.txt": "d/a.txt", "b.txt": "d/b.txt", "x.md": "d/x.md"},
    "./d/[ab].txt": {"a": "d/a.txt", "b": "d/b.txt"},
    "d/a.t?t": {"a.txt": "d/a.txt"},
    "*/sub/a.txt": {"d/sub/a": "d/sub/a.txt"},
    "d/a.txt": {"a": "d/a.txt"},
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("d/b.txt", "d/a.txt", "d/x.md", "d/.hidden.txt", "d/sub/a.txt", "d/sub/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS.items(), ids=PATTERNS)
def test_files(load: Load, data: Path, pattern: str, expected: dict[str, str]) -> None:
    foreach = step(load, f"foreach: {{glob: '{pattern}'}}\nrun: x").foreach
    assert isinstance(foreach, FilesOf)
    found = foreach.evaluate({})
    assert list(found) == list(expected)
    assert {key: Path(path).resolve() for key, path in found.items()} == {
        key: data / name for key, name in expected.items()
    }
    assert all(isinstance(path, PathParam) for path in found.values())


def test_a_parameter_may_be_in_the_pattern(load: Load, data: Path) -> None:
    text = (
        "version: 1\nname: w\nparams: {d: {type: path, default: d}}\nsteps:\n"
        "  s: {foreach: {glob: '${{ params.d }}/*.md'}, run: x}\n"
    )
    foreach = load(text).steps["s"].foreach
    assert isinstance(foreach, FilesOf)
    assert foreach.evaluate({"params": {"d": PathParam(data / "d")}}) == {"x": str(data / "d/x.md")}
    assert foreach.shown == "${{ params.d }}/*.md"


@pytest.mark.parametrize("pattern", ["none/*.txt", "d", "a" * 4000, "nul\x00*"])
def test_no_file(data: Path, pattern: str) -> None:
    with pytest.raises(ExpressionFailed) as caught:
        FilesOf(Constant(pattern), data).evaluate({})
    assert caught.value.summary == f"no file fits '{pattern}'"
    assert caught.value.hint == (
        "a pattern is relative to the workflow, such as 'data/*.txt'; '**' stands for any folders"
    )


def test_an_object_with_more_than_a_glob_is_an_object(load: Load) -> None:
    foreach = step(load, "foreach: {glob: x, other: y}\nrun: x").foreach
    assert foreach is not None
    assert foreach.evaluate({}) == {"glob": "x", "other": "y"}


def test_a_pattern_has_an_upper_limit(data: Path) -> None:
    with pytest.raises(ExpressionFailed, match="a pattern has 4,096 characters at most"):
        FilesOf(Constant("a" * 4097), data).evaluate({})
