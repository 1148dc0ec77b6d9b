"""What a user sees on a terminal of 80 columns."""

from __future__ import annotations

import re
import signal
import subprocess

import pytest
from cli_kit import ESCAPE, Cli, Terminal, without_escapes, write_endpoint

from metis_flow.testing import Gateway

WORKFLOW = """\
version: 1
name: pictured
endpoint: near
steps:
  ask:
    foreach: ${{ range(12) }}
    chat: ${{ item }}
    on_error: continue
  a_step_with_a_name_that_is_longer_than_there_is_room_for:
    foreach: ${{ steps.ask.results }}
    run: test "$1" != 3
    args: ["${{ key }}"]
    on_error: continue
  hostile: {run: "printf 'a\\\\033[2Jb'"}
outputs:
  text: ${{ steps.hostile.output }}
  many: ${{ lines(range(100)) }}
"""


def widest(seen: str) -> int:
    """The longest piece that was written on one line; a frame ends with a carriage return, not with a newline."""
    return max(len(ESCAPE.sub("", piece)) for piece in re.split(r"[\r\n]", seen))


def start(cli: Cli, gateway: Gateway, *arguments: object) -> Terminal:
    cli.write("pictured.yaml", WORKFLOW)
    write_endpoint(gateway, cli.folder, limits={"concurrency": 2})
    return Terminal.start(cli, "run", "pictured.yaml", *arguments)


def test_a_bar_for_each_step_is_drawn_in_its_place_and_taken_away_at_the_end(cli: Cli) -> None:
    with Gateway(lambda body, n: "fine", limits=None, latency=0.2) as gateway:
        terminal = start(cli, gateway)
        terminal.read_until(
            lambda seen: re.search(r"ask\s+━+>+─+\s+\d+/12\s+\d+ running", without_escapes(seen)) is not None
        )
        seen = terminal.end()
    shown = without_escapes(seen)
    assert terminal.code == 0
    assert "\x1b[1A" in seen  # the cursor goes up: frames replace one another
    assert widest(seen.partition(": done after")[0]) <= 80
    assert "a_step_with_a_name_…" in shown
    assert re.search(r"ask\s+━+>+─+\s+\d+/12\s+\d+ running", shown)
    assert re.search(
        r"calls:    \d+ \([0-9.]+ a (second|minute)\); 2 of 2 in flight, \d+ waiting for concurrency", shown
    )
    assert re.search(r"pictured-\S+: [0-9.]+m?s", shown)


def test_without_colours_the_picture_is_the_same(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with Gateway(lambda body, n: "fine", limits=None, latency=0.1) as gateway:
        seen = start(cli, gateway).end()
    assert re.search(r"ask\s+━*>+─*\s+\d+/12\s+\d+ running", without_escapes(seen))
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", seen)


def test_another_shell_sees_the_same_picture_until_the_run_ends(cli: Cli) -> None:
    with Gateway(lambda body, n: "fine", limits=None, latency=1.5) as gateway:
        run = start(cli, gateway)
        run.read_until(lambda seen: " running" in without_escapes(seen))
        follower = cli.start("logs", "-f", "last", stdout=subprocess.PIPE)
        watcher = Terminal.start(cli, "status", "--watch")
        watcher.read_until(lambda seen: re.search(r"ask +[━>─]+ +\d+/12", without_escapes(seen)) is not None)
        once = cli("status")
        seen = without_escapes(watcher.end())
        run.end()
    assert (run.code, watcher.code) == (0, 0)
    assert "driver:   process " in once.out
    assert "status:   running\n" in once.out
    assert "next: metis-flow status " in once.out
    assert re.search(r"ask +[━>─]+ +\d+/12", once.out)
    assert "\x1b" not in once.out
    assert re.search(r"status:   done\n", seen)
    assert follower.stdout is not None
    lines = follower.stdout.read()
    follower.stdout.close()
    assert follower.wait() == 0
    assert lines == cli("logs", "last").out


def test_a_run_whose_driver_died_says_so_and_how_to_go_on(cli: Cli) -> None:
    with Gateway(lambda body, n: "fine", limits=None, latency=0.5) as gateway:
        run = start(cli, gateway)
        run.read_until(lambda seen: " running" in without_escapes(seen))
        watcher = cli.start("status", "--watch", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        run.process.kill()
        run.end()
        out, err = watcher.communicate()
    assert watcher.returncode == 1
    assert f"status:   died\nbecause:  process {run.process.pid} on " in out
    assert " ended without a word, and nobody drives the run\n" in out
    assert "next: metis-flow resume pictured-" in out
    assert re.search(r"ask +━*─+ +\d+/12 stopped", out)
    assert "\x1b" not in out + err


def test_outputs_are_harmless_on_a_terminal_and_cut(cli: Cli) -> None:
    with Gateway(lambda body, n: "fine", limits=None) as gateway:
        terminal = start(cli, gateway)
        seen = terminal.end()
    assert "\x1b[2J" not in seen
    assert "text: a\\x1b[2Jb" in without_escapes(seen)
    assert "  … the rest is in runs/pictured-" in without_escapes(seen)


def test_ctrl_c_is_answered_in_the_picture(cli: Cli) -> None:
    with Gateway(lambda body, n: "fine", limits=None, latency=0.3) as gateway:
        terminal = start(cli, gateway)
        terminal.read_until(lambda seen: " running" in without_escapes(seen))
        terminal.process.send_signal(signal.SIGINT)
        seen = terminal.end()
    assert terminal.code == 130
    assert "stopping (interrupted): " in without_escapes(seen)
    assert "next: metis-flow resume pictured-" in without_escapes(seen)


def test_lines_where_the_terminal_cannot_draw(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with Gateway(lambda body, n: "fine", limits=None) as gateway:
        seen = start(cli, gateway).end()
    assert "ask: begins, 12 in all" in seen
    assert "━" not in seen


def test_a_table_fits_into_the_window_and_is_whole_in_a_pipe(cli: Cli) -> None:
    cli.write("long.yaml", 'version: 1\nname: long\nsteps: {a: {foreach: [1], run: seq -s "" 1 100}}\n')
    cli("run", "long.yaml")
    seen = Terminal.start(cli, "show", "last", "a").end()
    assert 70 < widest(seen) <= 80
    assert "\x1b[32mdone" in seen
    assert "…" in seen
    piped = cli("show", "last", "a").out
    assert "979899100\n" in piped
    assert "\x1b" not in piped
