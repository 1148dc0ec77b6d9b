"""Files made to be slow: what bounds them, and what is then said. How long they take is a matter of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from metis_flow.errors import WorkflowInvalid
from metis_flow.plan.plan import load_plan
from metis_flow.workflow.compiler import MAX_EXPRESSIONS, MAX_OF_TEXT, Compiler
from metis_flow.workflow.definition import WorkflowDef
from metis_flow.workflow.mistakes import Mistakes
from metis_flow.workflow.source import MAX_MISTAKES, parse_document
from metis_flow.workflow.trees import templates

Load = Callable[..., WorkflowDef]
Found = Callable[..., list[str]]


@pytest.mark.parametrize("word", ["timeot", "300", "[]"])
def test_the_first_hundred_mistakes_are_shown(mistakes: Found, word: str) -> None:
    text = f"run: echo\nretry: {{on: [{', '.join([word] * MAX_MISTAKES)}]}}"
    assert len(mistakes(text, step=True)) == MAX_MISTAKES
    found = mistakes(text.replace("[", f"[{word}, ", 1), step=True)
    assert len(found) == MAX_MISTAKES + 1
    assert found[-1].endswith(" there are more than 100 mistakes [correct these first]")
    assert found[-1].partition(" ")[0] > found[0].partition(" ")[0]


def test_what_is_refused_while_a_file_is_read_ends_too() -> None:
    text = "a: [" + "!t 1, " * 500 + "!t 1]\n"
    document = parse_document(text)
    assert len(document.problems) == MAX_MISTAKES + 1
    assert document.data == {"a": ["1"] * 501}


def test_mistakes_taken_from_elsewhere_are_counted() -> None:
    found = Mistakes()
    found.extend(parse_document("a: [!t 1, !t 2]\n").problems)
    assert [problem.summary for problem in found] == ["the tag '!t' is not used in workflow files"] * 2


def test_a_file_may_be_held_to_a_number_of_keys_and_values() -> None:
    text = "a: [1, 2]\nb: 1\n"
    assert parse_document(text, max_nodes=7).data == {"a": [1, 2], "b": 1}
    with pytest.raises(Exception, match="a workflow file holds 6 keys and values at most") as caught:
        parse_document(text, "f", max_nodes=6)
    assert str(caught.value).startswith("f:2:4: ")
    with pytest.raises(Exception, match="holds 6 keys and values at most"):
        parse_document("a: 1\na: 1\na: 1\na: 1\n", max_nodes=6)


def test_a_long_word_is_cut_in_a_summary(mistakes: Found) -> None:
    (found,) = mistakes(f"{'k' * 500}: 1\nrun: echo", step=True)
    assert found == f"10:5 unknown key '{'k' * 187} … {'k' * 192}' in 's'"


def test_a_text_in_many_places_is_compiled_once(load: Load) -> None:
    step = load("run: echo\nargs: ['${{ run.id }}', '${{ run.id }}']", step=True).steps["s"]
    one, other = (template for value in step.body.values() for template in templates(value))
    assert one._render is other._render
    assert one.origin.rsplit(":", 1)[1] != other.origin.rsplit(":", 1)[1]


def test_the_expressions_of_a_file_are_bounded_together(mistakes: Found) -> None:
    each = "a" * 2_000
    few = MAX_EXPRESSIONS // 2_100
    args = [f"\"${{{{ '{each}' ~ {number} }}}}\"" for number in range(few)]
    assert mistakes(f"run: echo\nargs: [{', '.join(args)}]", step=True) == []
    args += [f"\"${{{{ {number} ~ '{each}' }}}}\"" for number in range(few)]
    found = mistakes(f"run: echo\nargs: [{', '.join(args)}]", step=True)
    assert {line.partition(" ")[2] for line in found} == {
        "the expressions of a file have 100,000 characters at most "
        "[let a fan-out or a 'python' step do what many expressions do]"
    }


def test_of_one_text_the_first_mistakes_are_shown(mistakes: Found) -> None:
    text = " ".join(f"${{{{ x{number} }}}}" for number in range(MAX_OF_TEXT + 5))
    assert len(mistakes(f"chat: '{text}'", step=True)) == MAX_OF_TEXT


def test_each_expression_is_refused_once_where_none_may_stand(mistakes: Found) -> None:
    found = mistakes("run: echo\nexecutor: '${{ a }} ${{ b }}'", step=True)
    assert [line.partition(" ")[0] for line in found] == ["11:16", "11:25"]


def test_a_prompt_file_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "p.md").write_text("hi", encoding="utf-8")
    compiler = Compiler(parse_document("a: 1\n"), [], {}, tmp_path)
    assert compiler.file_text("p.md", ("a",), tmp_path) == "hi"
    (tmp_path / "p.md").unlink()
    assert compiler.file_text("p.md", ("a",), tmp_path) == "hi"
    assert compiler.problems == []


def test_a_matrix_has_a_number_of_axes(mistakes: Found) -> None:
    axes = [f"a{number}: [0]" for number in range(65)]
    assert mistakes(f"run: echo\nmatrix: {{{', '.join(axes[:64])}}}", step=True) == []
    assert mistakes(f"run: echo\nmatrix: {{{', '.join(axes)}}}", step=True) == [
        "11:5 a matrix has 64 axes at most [put values that go together into objects]"
    ]


def test_what_is_left_out_is_looked_up_as_it_is_written(mistakes: Found) -> None:
    axis = "matrix: {a: [1, {n: [1, true]}, [x]], exclude: [{a: %s}]}\nrun: echo"
    for value in ("1", "1.0", "{n: [1, true]}", "[x]"):
        assert mistakes(axis % value, step=True) == []
    for value in ("true", "{n: [1, 1]}", "[x, x]"):
        (found,) = mistakes(axis % value, step=True)
        assert "the axis 'a' has no such value to leave out" in found


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (f"{{run: 'true', timeout: '{'1' * 1_001}'}}", "not a text of 1,001 characters"),
        ("{foreach: {glob: '**/**/**/*'}, run: 'true'}", "a pattern has 2 '**' at most"),
        (f"{{foreach: {list(range(20_001))}, run: 'true'}}", "20,000 keys and values"),
    ],
)
def test_what_would_take_its_time_is_refused(tmp_path: Path, step: str, words: str) -> None:
    path = tmp_path / "slow.yaml"
    path.write_text(f"version: 1\nname: slow\nsteps:\n  a: {step}\n")
    with pytest.raises(WorkflowInvalid) as refused:
        load_plan(path)
    assert words in refused.value.render()
