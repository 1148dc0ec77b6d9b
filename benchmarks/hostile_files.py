"""How long workflow files take to be read that were made to be slow: none may take more than a second.

``python -m benchmarks.hostile_files`` writes each file into a folder of its own, loads and plans it in this process,
and shows the processor time of that, with what became of the file.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from metis_flow.errors import ParameterError, WorkflowInvalid
from metis_flow.plan.plan import load_plan

HEAD = "version: 1\nname: hostile\n"
STEP = f"{HEAD}steps:\n  s:\n"
MANY = 100_000
LONG = 10_000_000
"""Characters of a long text."""
LIMIT = 1.0
"""Seconds that no file may take."""
PATIENCE = 20.0
"""Seconds after which a file is given up."""


def _step(*lines: str) -> str:
    """A file with one step that runs a script, and these lines in it."""
    return STEP + "".join(f"    {line}\n" for line in (*lines, "run: echo"))


def _numbers(count: int, start: int = 0) -> str:
    return ", ".join(map(str, range(start, start + count)))


def _filled(piece: str, length: int = LONG) -> str:
    """A text of that length, of this piece again and again."""
    return piece * (length // len(piece))


def _alias_bomb(width: int, depth: int) -> str:
    """Lists of aliases of lists of aliases: ``width ** depth`` values where they are written out."""
    rows = ["  a0: &a0 [x]"]
    rows += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, depth)]
    return HEAD + "outputs:\n" + "\n".join(rows) + "\nsteps: {s: {run: echo}}\n"


def _chain(count: int) -> str:
    """Steps that each wait for the one before."""
    waiting = "".join(f"  s{n}:\n    needs: s{n - 1}\n    run: echo\n" for n in range(1, count))
    return f"{HEAD}steps:\n  s0: {{run: echo}}\n{waiting}"


def _excludes(rows: int, values: int, row: str) -> str:
    excluded = ", ".join("{" + row.format(n) + "}" for n in range(rows))
    return _step(f"matrix: {{a: [{_numbers(values)}], b: [0], exclude: [{excluded}]}}")


def _includes(rows: int, values: int) -> str:
    included = ", ".join(f"{{a: {n}, c: {n}}}" for n in range(rows))
    return _step(f"matrix: {{a: [{_numbers(values)}], include: [{included}]}}")


FILES: Mapping[str, Callable[[], str]] = {
    "prompt of 10 MB": lambda: f"{STEP}    chat: {_filled('word ')}\n",
    "prompt of 10 MB in a block": lambda: f"{STEP}    chat: |\n" + _filled(f"      {'word ' * 20}\n"),
    "prompt of 10 MB of expressions": lambda: f"{STEP}    chat: '{_filled('${{ run.id }} ')}'\n",
    "prompt of 10 MB of openers": lambda: f"{STEP}    chat: '{_filled('${{ ')}'\n",
    "prompt of 10 MB of openers of blocks": lambda: f"{STEP}    chat: '{_filled('${% ')}'\n",
    "prompt of 10 MB of braces": lambda: f"{STEP}    chat: '{_filled('{')}'\n",
    "prompt of 10 MB of closers": lambda: f"{STEP}    chat: '${{{{ run.id }}}} {_filled('}}')}'\n",
    "prompt of 10 MB of escapes": lambda: f'{STEP}    chat: "{_filled(chr(92) + "t")}"\n',
    "prompt of 10 MB of characters that YAML ends lines at": lambda: f"{STEP}    chat: '{_filled(chr(0x2028))}'\n",
    "name of a step of 10 MB": lambda: f"{HEAD}steps:\n  ? {_filled('a')}\n  : {{run: echo}}\n",
    "wrong name of a step of 10 MB": lambda: f"{HEAD}steps:\n  ? {_filled('A')}\n  : {{run: echo}}\n",
    "unknown key of 10 MB": lambda: f"{STEP}    ? {_filled('k')}\n    : 1\n    run: echo\n",
    "key of 10 MB": lambda: _step("foreach: [1, 2]", f"key: {_filled('k')}"),
    "key of 10 MB with an expression": lambda: _step("foreach: [1, 2]", f"key: {_filled('k')}${{{{ item }}}}"),
    "until of 10 MB": lambda: _step(f"until: {_filled('a')}", "max_rounds: 2"),
    "until of 10 MB of 'or'": lambda: _step(f"until: 1{_filled(' or 1')}", "max_rounds: 2"),
    "if of 10 MB of '('": lambda: _step(f"if: '{_filled('(')}'"),
    "if of 10,000 characters": lambda: _step(f"if: '1{_filled(' + 1', 9_900)}'"),
    "glob of 10 MB": lambda: _step(f"foreach: {{glob: '{_filled('*/')}'}}"),
    "glob of 4,000 '**/'": lambda: _step(f"foreach: {{glob: '{_filled('**/', 4_000)}'}}"),
    "retry.on of 10 MB": lambda: _step(f"retry: {{on: {_filled('e')}}}"),
    "timeout of 10 MB": lambda: _step(f"timeout: {_filled('1')}"),
    "number of 10 MB": lambda: _step(f"repeat: {_filled('9')}"),
    "executor of 10 MB": lambda: _step(f"executor: {_filled('e ')}"),
    "executor of 10 MB of expressions": lambda: _step(f"executor: '{_filled('${{ ')}'"),
    "prompt of 10 MB with 700 wrong names": lambda: (
        f"{STEP}    chat: |\n" + "".join(f"      {'word ' * 2_800} ${{{{ x{n} }}}}\n" for n in range(700))
    ),
    "needs of 10 MB": lambda: _step(f"needs: {_filled('e')}"),
    "tag of 10 MB": lambda: _step(f"timeout: !{_filled('t')} 1"),
    "anchor of 10 MB": lambda: _step(f"timeout: &{_filled('t')} 1"),
    "description of 10 MB of lines": lambda: (
        f"{HEAD}description: |\n{_filled('  x' + chr(10))}steps: {{s: {{run: echo}}}}\n"
    ),
    "10 MB of comments": lambda: _filled("# \n") + _step(),
    "10 MB of blank lines": lambda: _filled("\n") + _step(),
    "10 MB of '['": lambda: f"{HEAD}steps: {_filled('[')}",
    "10 MB of '{a: '": lambda: f"{HEAD}steps: {_filled('{a: ')}",
    "10 MB of '- '": lambda: _filled("- "),
    "10 MB of '? '": lambda: _filled("? "),
    "10 MB of '---'": lambda: _filled("---\n"),
    "10 MB of tabs": lambda: HEAD + _filled("\t"),
    "quote that is not closed, 10 MB": lambda: f"{STEP}    chat: '{_filled('word ')}",
    "bytes that are no text, 10 MB": lambda: _filled("\x00"),
    "lists 60 deep": lambda: _step("foreach: " + "[" * 60 + "]" * 60),
    "lists 100,000 deep": lambda: _step("foreach: " + "[" * MANY + "]" * MANY),
    "aliases of 10 in 10 levels": lambda: _alias_bomb(10, 10),
    "aliases of 2 in 40 levels": lambda: _alias_bomb(2, 40),
    "100,000 aliases of one value": lambda: (
        f"{HEAD}x: &x 1\ny: [{', '.join(['*x'] * MANY)}]\nsteps: {{s: {{run: echo}}}}\n"
    ),
    "1,000 steps": lambda: f"{HEAD}steps:\n" + "".join(f"  s{n}: {{run: echo}}\n" for n in range(1_000)),
    "1,000 steps in a row": lambda: _chain(1_000),
    "100,000 steps": lambda: f"{HEAD}steps:\n" + "".join(f"  s{n}: {{run: echo}}\n" for n in range(MANY)),
    "100,000 steps in a row": lambda: _chain(MANY),
    "100,000 wrong steps": lambda: f"{HEAD}steps:\n" + "".join(f"  s{n}: {{rum: echo}}\n" for n in range(MANY)),
    "100,000 steps that are no objects": lambda: f"{HEAD}steps:\n" + "".join(f"  s{n}: echo\n" for n in range(MANY)),
    "100,000 unknown keys": lambda: "".join(f"k{n}: 1\n" for n in range(MANY)) + _step(),
    "100,000 unknown keys of a step": lambda: _step(*(f"k{n}: 1" for n in range(MANY))),
    "100,000 wrong names of variables": lambda: _step("env:", *(f"  '{n}': 1" for n in range(MANY))),
    "100,000 times the same key": lambda: _step(*("timeout: 1" for _ in range(MANY))),
    "100,000 merge keys": lambda: _step(*("<<: 1" for _ in range(MANY))),
    "100,000 tags": lambda: _step(f"foreach: [{', '.join(['!t 1'] * MANY)}]"),
    "100,000 numbers too large": lambda: _step(f"foreach: [{', '.join(['1e999'] * MANY)}]"),
    "100,000 wrong entries under retry.on": lambda: _step(f"retry: {{on: [{', '.join(['timeot'] * MANY)}]}}"),
    "100,000 wrong exit codes under retry.on": lambda: _step(f"retry: {{on: [{', '.join(['300'] * MANY)}]}}"),
    "100,000 entries of another kind under retry.on": lambda: _step(f"retry: {{on: [{', '.join(['[]'] * MANY)}]}}"),
    "100,000 steps under needs that are not there": lambda: _step(f"needs: [{', '.join(['t'] * MANY)}]"),
    "100,000 wrong names under needs": lambda: _step(f"needs: [{', '.join(['T'] * MANY)}]"),
    "100,000 files under include": lambda: f"{HEAD}include: [{', '.join(f'f{n}' for n in range(MANY))}]\n",
    "100,000 wrong parameters": lambda: (
        f"{HEAD}params:\n" + "".join(f"  p{n}: {{typ: integer}}\n" for n in range(MANY)) + "steps: {s: {run: echo}}\n"
    ),
    "100,000 wrong messages": lambda: f"{STEP}    chat: {{messages: [{', '.join(['{}'] * MANY)}]}}\n",
    "100,000 expressions with a mistake": lambda: (
        f"{STEP}    run: echo\n    args: [{', '.join(['${{ x }}'] * MANY)}]\n".replace("${{ x }}", '"${{ x }}"')
    ),
    "1,000 expressions with a mistake": lambda: _step("args: [" + ", ".join(['"${{ x }}"'] * 1_000) + "]"),
    "1,000 expressions": lambda: _step("args: [" + ", ".join(['"${{ run.id }}"'] * 1_000) + "]"),
    "9,000 different expressions": lambda: _step(
        "args: [" + ", ".join(f'"${{{{ {n} }}}}"' for n in range(9_000)) + "]"
    ),
    "50 texts of 9,000 characters of expressions": lambda: _step(
        "args: [" + ", ".join(f'"${{{{ {n}{_filled(" + 1", 9_000)} }}}}"' for n in range(50)) + "]"
    ),
    "9,000 wrong entries under retry.on": lambda: _step(f"retry: {{on: [{', '.join(['timeot'] * 9_000)}]}}"),
    "9,000 entries of another kind under retry.on": lambda: _step(f"retry: {{on: [{', '.join(['[]'] * 9_000)}]}}"),
    "4,000 wrong steps": lambda: f"{HEAD}steps:\n" + "".join(f"  s{n}: {{rum: echo}}\n" for n in range(4_000)),
    "4,000 steps": lambda: f"{HEAD}steps:\n" + "".join(f"  s{n}: {{run: echo}}\n" for n in range(4_000)),
    "3,000 steps in a row": lambda: _chain(3_000),
    "18,000 items": lambda: _step(f"foreach: [{_numbers(18_000)}]"),
    "10,000 characters of wrong names": lambda: (
        f"{STEP}    chat: '" + " ".join(f"${{{{ x{n} }}}}" for n in range(700)) + "'\n"
    ),
    "100,000 items": lambda: _step(f"foreach: [{_numbers(MANY)}]"),
    "100,000 items of a range": lambda: _step(f'foreach: "${{{{ range({MANY}) }}}}"'),
    "100,000 items of a range, with a key": lambda: _step(
        f'foreach: "${{{{ range({MANY}) }}}}"', 'key: "a${{ item }}"'
    ),
    "100,000 repeats": lambda: _step(f"repeat: {MANY}"),
    "repeat of 10**12": lambda: _step("repeat: 1_000_000_000_000"),
    "matrix of 100,000 combinations": lambda: _step(f"matrix: {{a: [{_numbers(1_000)}], b: [{_numbers(100)}]}}"),
    "matrix of 100,000 combinations, with a key": lambda: _step(
        f"matrix: {{a: [{_numbers(1_000)}], b: [{_numbers(100)}]}}", 'key: "${{ matrix.a }}-${{ matrix.b }}"'
    ),
    "matrix of 6 axes of 6 values": lambda: _step(
        "matrix: {" + ", ".join(f"{axis}: [{_numbers(6)}]" for axis in "abcdef") + "}"
    ),
    "matrix of 16 axes of 2 values": lambda: _step(
        "matrix: {" + ", ".join(f"{axis}: [0, 1]" for axis in "abcdefghijklmnop") + "}"
    ),
    "matrix of 1,000 axes": lambda: _step("matrix: {" + ", ".join(f"a{n}: [0]" for n in range(1_000)) + "}"),
    "3,000 excludes of 3,000 values": lambda: _excludes(3_000, 3_000, "a: {0}"),
    "3,000 excludes of both axes": lambda: _excludes(3_000, 3_000, "a: {0}, b: 0"),
    "3,000 excludes that name nothing": lambda: _excludes(3_000, 3_000, "a: x{0}"),
    "3,000 excludes of unknown axes": lambda: _excludes(3_000, 3_000, "x{0}: 1"),
    "3,000 excludes of objects": lambda: _step(
        "matrix: {a: ["
        + ", ".join(f"{{n: {n}}}" for n in range(3_000))
        + "], exclude: ["
        + ", ".join(f"{{a: {{n: {n}}}}}" for n in range(3_000))
        + "]}"
    ),
    "3,000 includes of 3,000 values": lambda: _includes(3_000, 3_000),
    "3,000 includes that fit all of 3,000 values": lambda: _step(
        f"matrix: {{a: [{_numbers(3_000)}], include: [" + ", ".join(f"{{c: {n}}}" for n in range(3_000)) + "]}"
    ),
}


@dataclass(frozen=True)
class Loaded:
    """What became of one file.

    Attributes:
        seconds: processor time that it took to load and plan.
        size: characters.
        outcome: taken, or refused with so many mistakes.
    """

    seconds: float
    size: int
    outcome: str


def load(folder: Path, text: str) -> Loaded:
    """Load and plan a file with this text."""
    path = folder / "hostile.yaml"
    path.write_text(text, encoding="utf-8")
    began = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    outcome = "taken"
    try:
        load_plan(path)
    except WorkflowInvalid as error:
        error.render()
        outcome = f"{len(error.problems):,} mistakes" if len(error.problems) > 1 else "refused"
    except ParameterError:
        outcome = "refused"
    except Exception as error:  # a traceback, which no file may cause
        outcome = type(error).__name__
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return Loaded(time.process_time() - began, len(text), outcome)


def _give_up(signum: int, frame: object) -> None:
    raise TimeoutError


def main() -> None:
    """Load every file, and show what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="files whose name holds this word")
    only = parser.parse_args().only
    slow = []
    signal.signal(signal.SIGPROF, _give_up)
    with tempfile.TemporaryDirectory() as folder:
        load(Path(folder), _step())  # what is imported once is no file's own
        for name, make in FILES.items():
            if only not in name:
                continue
            loaded = load(Path(folder), make())
            print(f"{loaded.seconds:7.2f} s  {loaded.size / 1e6:6.2f} MB  {loaded.outcome:16}  {name}", flush=True)
            if loaded.seconds > LIMIT:
                slow.append(name)
    print(f"\n{len(slow)} over {LIMIT:g} s: {', '.join(slow)}" if slow else f"\nnone over {LIMIT:g} s")


if __name__ == "__main__":
    main()
