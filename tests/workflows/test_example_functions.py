"""The example workflows' own parts: their YAML, their data and their Python functions. Running them is tested apart."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from metis_flow.tasks import find_task, load_function, source_files, to_json
from metis_flow.workflow.source import read_document

WORKFLOWS = Path(__file__).parents[2] / "workflows"
EXAMPLES = sorted(str(path.relative_to(WORKFLOWS)) for path in WORKFLOWS.rglob("*.yaml"))

score = load_function("elements_score:score", WORKFLOWS)
check = load_function("chain_formula:check", WORKFLOWS)


def elements() -> list[dict[str, Any]]:
    rows = find_task("read_rows")(path=str(WORKFLOWS / "data" / "elements.csv"))
    assert isinstance(rows, list)
    return rows


def result(element: str, output: dict[str, Any] | None) -> dict[str, Any]:
    return {"key": element, "status": "done" if output else "failed", "output": output, "error": None}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_files_are_plain_yaml_and_their_targets_exist(name: str) -> None:
    document = read_document(WORKFLOWS / name)
    assert document.problems == []
    assert document.data["version"] == 1
    for step in document.data["steps"].values():
        if "python" in step:
            assert source_files(step["python"], WORKFLOWS)
        if "uses" in step:
            assert find_task(step["uses"]).name == step["uses"]


def test_the_table_of_elements() -> None:
    rows = elements()
    assert len(rows) == 60
    assert {row["name"]: row for row in rows}["iron"] == {
        "name": "iron",
        "symbol": "Fe",
        "atomic_number": 26,
        "group": 8,
        "period": 4,
        "state": "solid",
        "melting_point_k": 1811.15,
    }
    for column in ("name", "symbol", "atomic_number"):
        assert len({row[column] for row in rows}) == 60
    starts = {1: 1, 2: 3, 3: 11, 4: 19, 5: 37, 6: 55, 7: 87}  # the first element of each period
    for row in rows:
        assert starts[row["period"]] <= row["atomic_number"] < starts[row["period"] + 1]
        assert 1 <= row["group"] <= 18
        assert (row["state"] == "solid") == (row["melting_point_k"] > 298.15)


def test_true_answers_score_one() -> None:
    rows = elements()
    done = score(truth=rows, results=[result(row["name"], row) for row in rows])
    assert (done["accuracy"], done["elements"], done["answered"]) == (1.0, 60, 60)
    assert 0.2 < done["baseline"] < 0.25
    assert to_json(done) == done


def test_what_counts_as_right() -> None:
    rows = {row["name"]: row for row in elements()}
    iron, neon = rows["iron"], rows["neon"]
    near = iron | {"melting_point_k": 1811.15 * 1.049, "group": 8.0, "symbol": "fe"}
    far = neon | {"melting_point_k": 24.56 * 1.051, "period": 3}
    done = score(truth=list(rows.values()), results=[result("iron", near), result("neon", far), result("gold", None)])
    correct = {row["property"]: row["correct"] for row in done["table"]}
    assert correct == {
        "symbol": 1,
        "atomic_number": 2,
        "group": 2,
        "period": 1,
        "state": 2,
        "melting_point_k": 1,
    }
    assert (done["accuracy"], done["answered"]) == (0.5, 2)


def test_the_baseline_is_the_best_single_answer() -> None:
    rows = [row for row in elements() if row["name"] in ("copper", "iron", "gold", "neon")]
    done = score(truth=rows, results=[result(row["name"], None) for row in rows])
    by_guess = {row["property"]: row["baseline_correct"] for row in done["table"]}
    # group 11 has copper and gold, period 4 copper and iron; 1337.33 K is within 5 % of copper's 1357.77 K
    assert by_guess == {"symbol": 1, "atomic_number": 1, "group": 2, "period": 2, "state": 3, "melting_point_k": 2}
    assert (done["accuracy"], done["baseline"]) == (0.0, round(11 / 24, 4))


def test_nothing_asked() -> None:
    done = score(truth=elements(), results=[])
    assert (done["accuracy"], done["baseline"]) == (0.0, 0.0)


def test_a_stranger_among_the_elements() -> None:
    with pytest.raises(ValueError, match=r"^not in the table of elements: unobtainium$"):
        score(truth=elements(), results=[result("unobtainium", None)])


def test_the_ranking_script(tmp_path: Path) -> None:
    rows = elements()[:4]
    answers = [row | {"period": 0, "group": 0, "symbol": "x"} for row in rows]
    done = score(truth=rows, results=[result(row["name"], row) for row in answers])
    (tmp_path / "scores.csv").write_text(done["csv"])
    script = read_document(WORKFLOWS / "elements.yaml").data["steps"]["rank"]["run"]
    ran = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    lines = ran.stdout.splitlines()
    assert lines[0] == "atomic_number     4 of  4 right, 100.0 % (baseline  25.0 %)"
    assert [line.split()[0] for line in lines] == [
        "atomic_number",
        "melting_point_k",
        "state",
        "group",
        "period",
        "symbol",
    ]


@pytest.mark.parametrize(
    ("formula", "mass"),
    [("H2O", 18.015), ("Ca(OH)2", 74.092), ("C6H12O6", 180.156), ("Al2(SO4)3", 342.132), ("NaCl", 58.44)],
)
def test_molar_masses(formula: str, mass: float) -> None:
    assert check(formula=formula, expected=mass) == {"formula": formula, "molar_mass": mass, "right": True}
    assert check(formula=formula, expected=mass * 1.01)["right"] is False


@pytest.mark.parametrize("formula", ["", "water", "CH₃OH", "H2O)", "(H2O", "Na Cl", "2H2O", "$(touch x)"])
def test_what_is_no_formula(formula: str) -> None:
    with pytest.raises(ValueError, match=r"is no chemical formula$"):
        check(formula=formula, expected=1)


def test_an_element_without_a_weight() -> None:
    with pytest.raises(ValueError, match=r"^no weight is known for 'Xx' in 'HXx'$"):
        check(formula="HXx", expected=1)


def test_the_substances_of_the_chain_have_their_true_masses() -> None:
    formulas = {
        "water": "H2O",
        "carbon dioxide": "CO2",
        "methane": "CH4",
        "ammonia": "NH3",
        "ethanol": "C2H5OH",
        "calcium carbonate": "CaCO3",
        "glucose": "C6H12O6",
        "sodium hydroxide": "NaOH",
    }
    masses = read_document(WORKFLOWS / "chain.yaml").data["params"]["substances"]["default"]
    assert masses == {name: check(formula=formula, expected=1)["molar_mass"] for name, formula in formulas.items()}
