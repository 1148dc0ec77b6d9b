"""Commands that read a record, over a run whose data and answers try to do harm to a terminal."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Cli, Here, Terminal, without_escapes, write_endpoint

from metis_flow.record.folder import list_runs
from metis_flow.testing import Gateway

ROWS = [
    {"id": "plain", "text": "A quiet row."},
    {"id": "bell\x07\x1b[2J\x1b]0;owned\x07", "text": "\x1b[31mred\x1b[0m \u202egnp.exe \x00"},
    {"id": "[bold red]markup[/]", "text": "[link=file:///etc/passwd]here[/link] :smile:"},
    {"id": "never right", "text": "bad"},
    {"id": "long", "text": "<script>alert(1)</script> " + "x" * 1_000_000},
]
WORKFLOW = """\
version: 1
name: hostile
params: {rows: {type: path, default: rows.jsonl}}
endpoint: near
model: {temperature: 0}
steps:
  load: {uses: read_rows, with: {path: "${{ params.rows }}"}}
  ask:
    foreach: ${{ steps.load.output }}
    as: row
    key: ${{ row.id }}
    chat: {system: You are quiet., user: "${{ row.text }}"}
    output: {text: string}
    repair: 1
    on_error: continue
  write:
    foreach: ${{ steps.ask.results }}
    as: answer
    stdin: ${{ answer.output.text }}
    run: |
      cat > kept.txt
      printf '\\033[5mloud\\033[0m' >&2
      test "$(cat kept.txt)" != "A quiet row."
    on_error: continue
  empty: {foreach: [], run: "true"}
outputs:
  texts: ${{ steps.ask.outputs }}
  count: ${{ len(steps.write.outputs) }}
"""


def rule(body: dict[str, Any], n: int) -> str:
    """Repeats what was said; the bad row never gets the right form, the markup row only when asked again."""
    messages = body["messages"]
    said = next(message["content"] for message in messages if message["role"] == "user")
    if said == "bad" or ("[link" in said and len(messages) < 3):
        return '{"wrong": "\x1b[2J"}'.replace("\x1b", "\\u001b")
    return json.dumps({"text": said})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run in it."""
    cli = Cli(tmp_path_factory.mktemp("hostile"))
    cli.write("hostile.yaml", WORKFLOW)
    cli.write("rows.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS))
    with Gateway(rule, limits=None) as gateway:
        write_endpoint(gateway, cli.folder, supports={"response_format": False})
        ended = cli("run", "hostile.yaml")
    assert ended.code == 0, ended.err
    check_harmless(ended.out + ended.err)
    return cli.folder


@pytest.fixture
def at(folder: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.chdir(folder)
    return here


def check_harmless(text: str) -> None:
    assert re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text) == []


def row_of(text: str, start: str) -> list[str]:
    """The words of the table's row that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return line.split()


def test_runs(at: Here, folder: Path) -> None:
    (run,) = list_runs(folder / "runs")
    ended = at("runs")
    assert ended.code == 0
    assert row_of(ended.out, "hostile")[:2] == [run.id, "done"]
    assert " 4 done " in ended.out
    (state,) = at("runs", "--json").document["runs"]
    assert (state["run"], state["status"], state["calls"]) == (run.id, "done", 7)


def test_no_runs(at: Here, tmp_path: Path) -> None:
    ended = at("runs", "--runs-dir", tmp_path)
    assert (ended.code, ended.out) == (0, "")
    assert at("runs", "--runs-dir", tmp_path, "--json").document == {"runs": []}


def test_a_damaged_record_does_not_hide_the_others(at: Here, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "runs", tmp_path / "runs")
    (run,) = list_runs(tmp_path / "runs")
    damaged = tmp_path / "runs" / (run.id[:-6] + "ffffff")
    shutil.copytree(run.path, damaged)
    (damaged / "journal" / "000001.jsonl").write_text("what is this\n\n\n")
    ended = at("runs", "--runs-dir", tmp_path / "runs")
    assert ended.code == 0
    assert row_of(ended.out, damaged.name)[1] == "unreadable"
    assert row_of(ended.out, run.id)[1] == "done"
    assert at("status", damaged).code == 2


def test_status_is_of_the_newest_run(at: Here, folder: Path) -> None:
    (run,) = list_runs(folder / "runs")
    ended = at("status")
    assert f"run:      {run.id}\nstatus:   done\n" in ended.out
    assert row_of(ended.out, "ask") == ["ask", "━━━━━━━━━━━━━━━━xxxx", "5/5", "done:", "1", "failed"]
    assert f"\n{run.id}: done after " in ended.out
    assert f"next: metis-flow errors {run.id}\nnext: metis-flow resume {run.id} --failed\n" in ended.out
    check_harmless(ended.out)
    assert at("status", run.id[:12]).out == ended.out


def test_status_as_json_holds_the_document_of_the_run(at: Here) -> None:
    document = at("status", "last", "--json").document
    assert document["steps"]["ask"] == {
        "done": 4,
        "failed": 1,
        "skipped": 0,
        "cached": 0,
        "status": "done",
        "reason": None,
        "items": 5,
        "running": 0,
    }
    assert (document["status"], document["exit"], document["calls"]) == ("done", 0, 7)


def test_a_run_that_is_not_there(at: Here) -> None:
    for command in ("status", "show", "errors", "logs"):
        ended = at(command, "nothing", "--json")
        assert ended.code == 2
        assert ended.document["error"]["summary"] == "there is no run 'nothing' in runs"


def test_show_a_run(at: Here) -> None:
    ended = at("show", "last")
    assert ended.code == 0
    check_harmless(ended.out)
    assert "endpoint: near, gpt-oss-120b\n" in ended.out
    assert f"  rows = {Path.cwd()}/rows.jsonl\n" in ended.out
    assert "outputs:\n  texts:\n" in ended.out
    assert at("show", "last", "--json").document["lock"]["endpoint"] == "near"


def test_show_a_step(at: Here) -> None:
    ended = at("show", "last", "ask")
    check_harmless(ended.out)
    assert row_of(ended.out, "ask@plain")[1] == "done"
    assert '{"text": "[link=file:///etc/passwd]here[/link] :smile:"}' in ended.out
    assert "gnp.exe" in ended.out
    instances = at("show", "last", "ask", "--json").document["instances"]
    assert [instance["key"] for instance in instances] == [row["id"] for row in ROWS]
    shown = [line.split()[0] for line in ended.out.splitlines()[1:]]
    assert shown == [instance["address"] for instance in instances]
    outputs = {instance["key"]: instance["output"] for instance in instances}
    assert outputs[ROWS[1]["id"]] == {"text": ROWS[1]["text"]}


def test_show_an_instance_by_its_address_and_by_its_key(at: Here) -> None:
    by_address = at("show", "last", "ask@plain")
    assert by_address.code == 0
    for part in (
        "instance: ask@plain\nkey:      plain\nstatus:   done\n",
        "\nfrom:     load\nto:       write@plain (failed)\n",
        "model:    gpt-oss-120b\n",
        'settings: {"temperature": 0}\n',
        "--- system\nYou are quiet.",
        "--- user\nA quiet row.\n",
        '{"text": "A quiet row."}',
        "output:\n  {text: A quiet row.}\n",
    ):
        assert part in by_address.out
    hostile = at("show", "last", f"ask@{ROWS[1]['id']}")
    check_harmless(hostile.out)
    assert hostile.code == 0
    assert "key:      bell\\x07\\x1b[2J\\x1b]0;owned\\x07\n" in hostile.out
    assert "--- user\n\\x1b[31mred\\x1b[0m \\u202egnp.exe \\x00\n" in hostile.out


def test_show_the_tries_of_an_instance(at: Here) -> None:
    ended = at("show", "last", f"ask@{ROWS[2]['id']}")
    check_harmless(ended.out)
    assert "calls:    2, " in ended.out
    assert "--- answer 1 of 2 (stop, " in ended.out
    assert "  not valid: " in ended.out
    assert "--- answer 2 of 2 (stop, " in ended.out
    (first, second) = at("show", "last", f"ask@{ROWS[2]['id']}", "--json").document["calls"]
    assert first["problem"]
    assert "problem" not in second
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "user"]
    assert (first["try"], second["try"]) == (1, 1)
    # what was sent again with the repair stands there once
    assert [line for line in ended.out.splitlines() if line.startswith("--- ")][:2] == ["--- system", "--- user"]
    assert len(re.findall("^--- user$", ended.out, re.MULTILINE)) == 2
    assert len(re.findall("^--- system$", ended.out, re.MULTILINE)) == 1


def test_show_a_failed_instance(at: Here) -> None:
    ended = at("show", "last", "ask@never right")
    check_harmless(ended.out)
    assert "status:   failed\n" in ended.out
    assert "--- answer 2 of 2 (stop, " in ended.out
    assert "\nerror:    " in ended.out
    assert "[output_invalid]\n" in ended.out


def test_show_an_instance_with_files(at: Here) -> None:
    ended = at("show", "last", "write@plain")
    check_harmless(ended.out)
    assert "error:    the script ended with exit code 1 [shell]\n" in ended.out
    assert "folder:   runs/hostile-" in ended.out
    assert "  kept.txt (12 B)\n" in ended.out


def test_show_a_step_that_has_one_instance_shows_that(at: Here) -> None:
    ended = at("show", "last", "load")
    assert ended.out.startswith("instance: load\nstatus:   done\n")
    check_harmless(ended.out)


@pytest.mark.parametrize(
    ("target", "summary", "hint"),
    [
        ("aks", "the run has no step 'aks', or has not come to it", "did you mean 'ask'?"),
        ("aks@plain", "the run has no step 'aks', or has not come to it", "did you mean 'ask'?"),
        ("ask@plan", "the step 'ask' has no instance 'plan' that has ended", "did you mean 'plain'?"),
    ],
)
def test_what_is_not_there(at: Here, target: str, summary: str, hint: str) -> None:
    error = at("show", "last", target, "--json").document["error"]
    assert (error["summary"], error["hint"]) == (summary, hint)


def test_show_a_step_without_items(at: Here) -> None:
    ended = at("show", "last", "empty")
    assert (ended.code, len(ended.out.splitlines())) == (0, 1)
    assert at("show", "last", "empty", "--json").document["instances"] == []
    assert at("show", "last", "empty@0").code == 2


def test_errors_puts_equal_failures_together(at: Here, folder: Path) -> None:
    (run,) = list_runs(folder / "runs")
    ended = at("errors", "last")
    check_harmless(ended.out)
    assert "1 failed (write 1), for instance write@plain\n" in ended.out
    assert "  all of its stderr: runs/hostile-" in ended.out
    assert "\nbecause of these:\n  write: 1 skipped, because of ask\n" in ended.out
    assert ended.out.endswith(f"once it is mended: metis-flow resume {run.id} --failed\n")
    assert "  error:    the script ended with exit code 1 [shell]\n" in ended.out
    assert f"  look at it: metis-flow show {run.id} write@plain\n" in ended.out
    document = at("errors", "last", "--json").document
    assert document["count"] == 2
    assert document["consequences"] == [{"step": "write", "failed": 0, "skipped": 1, "roots": ["ask"]}]
    errors = document["errors"]
    assert {error["kind"] for error in errors} == {"shell", "output_invalid"}
    assert errors[0]["count"] == 1
    assert set(errors[0]["example"]) == {"address", "where", "hint", "detail", "folder"}


def test_logs_are_lines(at: Here) -> None:
    ended = at("logs", "last")
    check_harmless(ended.out)
    lines = [line[21:] for line in ended.out.splitlines()]
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", line) for line in ended.out.splitlines())
    assert lines[0].startswith("started hostile-")
    assert "ask: begins, 5 in all" in lines
    assert any(line.startswith("ask@bold-red-markup-2146d29a: answer 1 is not valid: ") for line in lines)
    assert lines[-1] == "ended: done, exit code 0"
    entries = at("logs", "last", "--json").document["entries"]
    assert entries[0]["e"] == "start"
    assert len(entries) == len(lines)


def test_logs_of_a_step_and_of_an_instance(at: Here) -> None:
    ended = at("logs", "last", "write")
    assert {re.split("[@:]", line[21:])[0] for line in ended.out.splitlines()} == {"write"}
    for target in ("write@plain", "write@bold-red-markup-2146d29a", "write@[bold red]markup[/]"):
        ended = at("logs", "last", target)
        check_harmless(ended.out)
        assert len([line for line in ended.out.splitlines() if line[21:].startswith("write@")]) == 1
        assert "--- stderr (runs/hostile-" in ended.out
        assert ended.out.endswith("\n\\x1b[5mloud\\x1b[0m\n")
    error = at("logs", "last", "wrote", "--json").document["error"]
    assert (error["summary"], error["hint"]) == ("the run has no step 'wrote'", "did you mean 'write'?")


def test_following_the_logs_of_a_run_that_has_ended_ends(at: Here) -> None:
    assert at("logs", "-f", "last").out == at("logs", "last").out
    ended = at("logs", "-f", "last", "--json")
    assert ended.code == 2
    assert ended.document["error"]["summary"].startswith("--follow prints lines as they come")


def test_watching_a_run_that_has_ended_gives_its_exit_code(at: Here) -> None:
    ended = at("status", "last", "--watch")
    assert (ended.code, ended.out, ended.err) == (0, at("status", "last").out, "")


def test_a_long_text_is_cut_on_a_terminal_only(at: Here, folder: Path) -> None:
    piped = at("show", "last", "ask@long")
    check_harmless(piped.out)
    assert len(piped.out) > 2_000_000
    for command in (("show", "last", "ask@long"), ("logs", "last"), ("status",), ("errors", "last")):
        seen = Terminal.start(Cli(folder), *command).end()
        assert len(seen) < 60_000
        check_harmless(without_escapes(seen).replace("\n", " "))
    seen = without_escapes(Terminal.start(Cli(folder), "show", "last", "ask@long").end())
    assert "<script>alert(1)</script> xxx" in seen
    assert "x… 998,026 more characters" in seen


def test_nobody_reading_a_list_is_quiet(folder: Path) -> None:
    process = Cli(folder).start("logs", "last", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0
