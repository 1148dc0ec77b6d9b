"""`plan`, `graph` and `schema`: what they say of a workflow that is right."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml
from cli_kit import Here

from metis_flow.workflow.load import load_workflow

WORKFLOW = """\
version: 1
name: chain
params:
  words: {type: array, default: [one, two]}
  factor: {type: number, default: 2}
  table: {type: path, default: table.txt}
steps:
  load: {uses: read_rows, with: {path: "${{ params.table }}"}}
  ask:
    foreach: ${{ steps.load.output[:5] }}
    as: row
    chat: Tell me about ${{ row.name }}.
  mark:
    foreach: ${{ steps.ask.results }}
    as: answer
    run: wc -w
    stdin: ${{ answer.output }}
  words:
    foreach: ${{ params.words }}
    run: "true"
    needs: load
  end:
    chat: ${{ lines(steps.mark.outputs) }}
"""


@pytest.fixture
def file(here: Here) -> Path:
    path = Path("chain.yaml")
    path.write_text(WORKFLOW)
    return path


def test_a_plan_as_a_table(here: Here, file: Path) -> None:
    ended = here("plan", file)
    assert (ended.code, ended.err) == (0, "")
    steps, parameters = ended.out.split("\n\n")
    assert [" ".join(line.split()) for line in steps.splitlines()] == [
        "step verb instances waits for runs on",
        "load uses read_rows 1 site",
        "ask chat one for each of steps.load.output[:5] load driver",
        "words run 2 load (needs) site",
        "mark run one for each of steps.ask.results ask (item by item) site",
        "end chat 1 mark (all of it) driver",
    ]
    assert [" ".join(line.split()) for line in parameters.splitlines()] == [
        "parameter value",
        'words ["one", "two"]',
        "factor 2.0",
        f"table {Path.cwd()}/table.txt",
    ]


def test_a_plan_as_json(here: Here, file: Path) -> None:
    document = here("plan", file, "--json", "--limit", 1).document
    assert (document["workflow"], document["file"], document["limit"]) == ("chain", "chain.yaml", 1)
    assert [(step["name"], step["instances"]) for step in document["steps"]] == [
        ("load", 1),
        ("ask", None),
        ("words", 1),
        ("mark", None),
        ("end", 1),
    ]
    assert document["steps"][3] == {
        "name": "mark",
        "verb": "run",
        "target": None,
        "instances": None,
        "foreach": "steps.ask.results",
        "waits_for": [{"step": "ask", "kind": "item"}],
        "executor": "site",
    }


SPREADS = """\
version: 1
name: spreads
steps:
  listed: {matrix: {t: [0, 1], w: [cat, dog]}, repeat: 3, run: "true"}
  asked: {matrix: {w: "${{ steps.listed.outputs }}"}, run: "true"}
  again: {foreach: "${{ steps.asked.results }}", repeat: 2, executor: workers, chat: hi}
  sample: {repeat: "${{ len(steps.asked.outputs) }}", uses: classify, with: {text: t, labels: [a, b]}}
  below: {foreach: "${{ steps.again.outputs }}", workflow: child.yaml}
"""


def test_a_plan_of_a_matrix_of_repeats_and_of_a_workflow_that_is_called(here: Here) -> None:
    Path("spreads.yaml").write_text(SPREADS)
    Path("child.yaml").write_text("version: 1\nname: child\nsteps: {a: {run: 'true'}}\n")
    assert [" ".join(line.split()) for line in here("plan", "spreads.yaml").out.splitlines()] == [
        "step verb instances waits for runs on",
        "listed run 12 site",
        "asked run one for each of the matrix of w listed (all of it) site",
        "again chat one for each of steps.asked.results by the repeats asked (item by item) workers",
        "sample uses classify one for each of the repeats asked (all of it) driver",
        "below workflow child.yaml one for each of steps.again.outputs again (item by item)",
    ]
    below = here("plan", "spreads.yaml", "--json").document["steps"][-1]
    assert (below["target"], below["executor"]) == ("child.yaml", None)


def test_parameters_go_before_those_of_a_file_and_these_before_defaults(here: Here, file: Path) -> None:
    Path("given.yaml").write_text("factor: 3\nwords: [a, bb]\n")
    params = here("plan", file, "--params", "given.yaml", "-p", 'words=["four"]', "--json").document["params"]
    assert (params["words"], params["factor"]) == (["four"], 3.0)


def test_a_path_that_is_given_is_relative_to_the_current_folder(here: Here) -> None:
    Path("below").mkdir()
    Path("below/chain.yaml").write_text(WORKFLOW)
    default = here("plan", "below/chain.yaml", "--json").document["params"]["table"]
    given = here("plan", "below/chain.yaml", "-p", "table=mine.txt", "--json").document["params"]["table"]
    assert (default, given) == (f"{Path.cwd()}/below/table.txt", f"{Path.cwd()}/mine.txt")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["-p", "factr=3"], "params.factr: the workflow has no parameter 'factr'\n  hint: did you mean 'factor'?\n"),
        (["-p", "factor"], "-p: 'factor' is not NAME=VALUE\n  hint: for instance -p temperature=0.2\n"),
        (["-p", "factor=much"], "params.factor: 'factor' should be a number, not 'much'\n"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "validate", "run"])
def test_a_wrong_parameter(here: Here, file: Path, command: str, arguments: list[str], error: str) -> None:
    ended = here(command, file, *arguments)
    assert (ended.code, ended.out, ended.err) == (2, "", error)
    assert not Path("runs").exists()


def test_a_parameter_file_that_is_not_there(here: Here, file: Path) -> None:
    ended = here("plan", file, "--params", "nothing.yaml")
    assert ended.code == 2
    assert "nothing.yaml" in ended.err


def test_a_limit_of_nothing(here: Here, file: Path) -> None:
    ended = here("plan", file, "--limit", 0)
    assert ended.code == 2
    assert "0 is not in the range x>=1" in ended.err


def test_a_graph_as_mermaid(here: Here, file: Path) -> None:
    ended = here("graph", file)
    assert ended.code == 0
    assert ended.out.splitlines()[0] == "flowchart TD"
    assert '    s_ask ==>|"item by item"| s_mark' in ended.out.splitlines()


def test_a_graph_for_graphviz(here: Here, file: Path) -> None:
    ended = here("graph", file, "--format", "dot")
    assert ended.code == 0
    assert ended.out.startswith('digraph "chain" {\n')
    assert '    "load" -> "words" [style=dashed, label="needs"];' in ended.out.splitlines()


def test_a_graph_needs_no_values_of_parameters(here: Here, file: Path) -> None:
    file.write_text(WORKFLOW.replace(", default: 2", ""))
    assert here("graph", file).code == 0


def test_the_schema_takes_every_example(here: Here, repository: Path, file: Path) -> None:
    schema = here("schema").document
    jsonschema.Draft202012Validator.check_schema(schema)
    examples = [file, *sorted((repository / "workflows").rglob("*.yaml"))]
    assert len(examples) > 10
    for example in examples:
        document = load_workflow(example).document.data
        jsonschema.validate(document, schema)


def test_every_example_is_fine_and_can_be_planned_and_drawn(here: Here, repository: Path) -> None:
    needed = {"one_paper": ["-p", "abstract=x"], "write_and_review": ["-p", "finding=x"]}
    for example in sorted((repository / "workflows").rglob("*.yaml")):
        given = needed.get(example.stem, [])
        assert ": fine: " in here("validate", example, *given).out
        planned = here("plan", example, *given, "--endpoint", "embedded")
        assert (planned.code, planned.err) == (0, "")
        steps = load_workflow(example).steps
        assert [name for name in steps if f"s_{name}[" not in here("graph", example).out] == []


def test_the_schema_refuses_what_is_not_a_workflow(here: Here, file: Path) -> None:
    schema = here("schema").document
    data = yaml.safe_load(WORKFLOW)
    data["steps"]["ask"]["retires"] = 3
    with pytest.raises(jsonschema.ValidationError, match="retires"):
        jsonschema.validate(data, schema)
