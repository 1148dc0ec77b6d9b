"""Every mistake on the level of the file: its words, and its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Mistakes = Callable[..., list[str]]

HEAD = "version: 1\nname: w\n"
BASE = f"{HEAD}steps:\n  a:\n    run: echo\n  f:\n    foreach: [1, 2]\n    run: echo\n"
NOTIFY_REFUSED = (
    "the command of 'notify' holds no expressions: what a model said must not become shell code "
    '[it finds what it may say in its environment: "$METIS_FLOW_RUN", "$METIS_FLOW_STATUS", "$METIS_FLOW_REASON"]'
)

FILES = [
    pytest.param("", ["1:1 a workflow file holds 'key: value' lines [see 'metis-flow init']"], id="empty"),
    pytest.param("- a\n", ["1:1 a workflow file holds 'key: value' lines [see 'metis-flow init']"], id="list"),
    pytest.param("x", ["1:1 a workflow file holds 'key: value' lines [see 'metis-flow init']"], id="word"),
    pytest.param(
        "name: w\nsteps: {a: {run: echo}}\n", ["1:1 'version' is missing [add 'version: …']"], id="no version"
    ),
    pytest.param(
        "version: 2\nname: w\nsteps: {a: {run: echo}}\n", ["1:10 'version' should be 1, not 2"], id="version 2"
    ),
    pytest.param(
        'version: "1"\nname: w\nsteps: {a: {run: echo}}\n',
        ["1:10 'version' should be 1, not '1' [write it without quotes]"],
        id="version as text",
    ),
    pytest.param(
        "version: 1\nname: Band Gap\nsteps: {a: {run: echo}}\n",
        ["2:7 the name 'Band Gap' is not allowed [lower-case letters, digits, '_' and '-', a letter first]"],
        id="bad name",
    ),
    pytest.param(
        HEAD + "steps:\n", ["3:7 'steps' should be an object (key: value lines), not nothing"], id="steps none"
    ),
    pytest.param(
        HEAD + "steps: [a]\n", ["3:8 'steps' should be an object (key: value lines), not a list"], id="steps list"
    ),
    pytest.param(HEAD + "steps: {}\n", ["3:8 'steps' is empty"], id="steps empty"),
    pytest.param("version: 1\nname: w\n", ["1:1 'steps' is missing [add 'steps: …']"], id="no steps"),
    pytest.param(
        HEAD + "steps:\n  Bad-Step: {run: echo}\n",
        [
            (
                "4:3 the name 'Bad-Step' is not allowed [step names are lower-case letters, digits and "
                "'_', a letter first]"
            )
        ],
        id="step name",
    ),
    pytest.param(
        HEAD + "steps:\n  a: echo\n", ["4:6 'a' should be an object (key: value lines), not 'echo'"], id="step str"
    ),
    pytest.param(
        HEAD + 'notify: echo "${{ steps.a.output }}" ${{ run.id }}\nsteps: {a: {run: echo}}\n',
        [f"3:15 {NOTIFY_REFUSED}", f"3:38 {NOTIFY_REFUSED}"],
        id="notify with expressions",
    ),
    pytest.param(
        HEAD + "notify:\n  on: [failed]\n  run: |\n    echo ${{ run.id }}\nsteps: {a: {run: echo}}\n",
        [f"6:10 {NOTIFY_REFUSED}"],
        id="notify object with an expression",
    ),
    pytest.param(
        HEAD + "notify: {run: echo, on: [done, never], om: 1}\nsteps: {a: {run: echo}}\n",
        [
            "3:32 item 2 of 'on' should be done, failed, stopped or paused, not 'never'",
            "3:40 unknown key 'om' in 'notify' [known: on, run]",
        ],
        id="notify after an unknown end",
    ),
    pytest.param(
        HEAD + "notify: {on: []}\nsteps: {a: {run: echo}}\n",
        ["3:1 'run' is missing in 'notify' [add 'run: …']", "3:14 'on' is empty"],
        id="notify without a command",
    ),
    pytest.param(
        HEAD + 'notify: " "\nsteps: {a: {run: echo}}\n',
        ["3:9 the command of 'notify' is empty [leave 'notify' out where nobody is to be told]"],
        id="notify with an empty command",
    ),
    pytest.param(
        HEAD + "stepz: {}\nsteps: {a: {run: echo}}\n", ["3:1 unknown key 'stepz' [did you mean 'steps'?]"], id="typo"
    ),
    pytest.param(
        HEAD + "jobs: {}\nsteps: {a: {run: echo}}\n",
        ["3:1 unknown key 'jobs' [steps stand directly under 'steps']"],
        id="word of another language",
    ),
    pytest.param(
        BASE + "endpoint: https://x.org/v1\n",
        [
            (
                "9:11 a workflow names an endpoint, never an address [put the address into a file of "
                "its own, see 'metis-flow endpoints']"
            )
        ],
        id="address",
    ),
    pytest.param(
        BASE + "endpoint: localhost:8000\n",
        [
            (
                "9:11 a workflow names an endpoint, never an address [put the address into a file of "
                "its own, see 'metis-flow endpoints']"
            )
        ],
        id="host and port",
    ),
    pytest.param(
        BASE + "endpoint: ${{ params.e }}\n",
        [
            (
                "9:11 a workflow names an endpoint, never an address [put the address into a file of "
                "its own, see 'metis-flow endpoints']"
            )
        ],
        id="endpoint as expression",
    ),
    pytest.param(
        BASE + "description: 5\n", ["9:14 'description' should be a text, not 5 [quote it]"], id="number for text"
    ),
    pytest.param(
        BASE + "limits: {calls: 0, tokens: 1.5, concurency: 3}\n",
        [
            "9:17 'calls' should be greater than 0, not 0",
            "9:28 'tokens' should be a whole number, not 1.5",
            "9:33 unknown key 'concurency' in 'limits' [did you mean 'concurrency'?]",
        ],
        id="limits",
    ),
    pytest.param(
        BASE + "limits: 5\n", ["9:9 'limits' should be an object (key: value lines), not 5"], id="limits as number"
    ),
    pytest.param(
        BASE + "model: {temprature: 1}\n",
        ["9:9 unknown key 'temprature' in 'model' [did you mean 'temperature'?]"],
        id="unknown setting",
    ),
    pytest.param(
        BASE + "model: [x]\n",
        ["9:8 'model' should be a text or an object (key: value lines), not a list"],
        id="model as list",
    ),
    pytest.param(
        BASE + 'model: {temperature: warm, max_tokens: "5", seed: true}\n',
        [
            "9:22 'temperature' should be a number or one expression '${{ … }}', not 'warm'",
            (
                "9:40 'max_tokens' should be a whole number or one expression '${{ … }}', not '5' "
                "[write it without quotes]"
            ),
            "9:51 'seed' should be a whole number or one expression '${{ … }}', not true",
        ],
        id="settings of a wrong type",
    ),
    pytest.param(
        BASE + 'model: {temperature: "${{ params.nope }}"}\n',
        ["9:34 there is no parameter 'nope' [declare it under 'params']"],
        id="unknown parameter in the model",
    ),
    pytest.param(
        BASE + 'model: {temperature: "a ${{ run.id }}"}\n',
        ["9:22 'temperature' should be a number or one expression '${{ … }}', not 'a ${{ run.id }}'"],
        id="text around an expression",
    ),
    pytest.param(
        BASE + 'model: {temperature: "${{ 1 }} + ${{ 2 }}"}\n',
        [("9:22 'temperature' takes one expression [write '${{ … }}' without text, spaces or a line's end around it]")],
        id="two expressions for a number",
    ),
    pytest.param(BASE + "model: ${{ item.x }}\n", ["9:12 'item' needs 'foreach' on the step"], id="item for all steps"),
    pytest.param(
        BASE + "outputs: [a]\n",
        ["9:10 'outputs' should be an object (key: value lines), not a list"],
        id="outputs as list",
    ),
    pytest.param(
        BASE
        + (
            'outputs: {x: "${{ steps.a.outputs }}", y: "${{ steps.f.output }}", z: "${{ '
            'stps.a.output }}", w: "${{ steps.aa.output }}"}\n'
        ),
        [
            "9:27 'a' has one output [write steps.a.output]",
            (
                "9:56 'f' has an output for each item [write steps.f.outputs (successes) or "
                "steps.f.results (every item)]"
            ),
            "9:76 the name 'stps' is not known here [did you mean 'steps'?]",
            "9:109 there is no step 'aa' [did you mean 'a'?]",
        ],
        id="references in outputs",
    ),
    pytest.param(
        HEAD + "steps:\n  a: &a {run: echo}\n  b:\n    <<: *a\n",
        [
            "5:3 the step 'b' has no verb [one of: chat, run, python, uses, workflow]",
            "6:5 merge keys ('<<') are not used in workflow files [write the keys out]",
        ],
        id="merge key",
    ),
    pytest.param(
        BASE + "!!str description: x\n",
        ["9:1 the tag '!!str' is not used in workflow files [remove it]"],
        id="tag on a key",
    ),
    pytest.param(
        BASE + "description: .nan\nlimits: {calls: 1e999}\n",
        [
            "9:14 .nan is not a number that a workflow can hold [quote it if it is meant as text]",
            "10:17 1e999 is too large for a number [quote it if it is meant as text]",
        ],
        id="no numbers",
    ),
    pytest.param(
        BASE + "description: a\ndescription: b\n",
        ["10:1 the key 'description' is written twice [the first is on line 9]"],
        id="duplicate key",
    ),
    pytest.param(
        BASE + "---\nx: 1\n",
        ["9:1 a workflow file holds one YAML document [remove the second '---']"],
        id="two documents",
    ),
    pytest.param(
        HEAD + "params:\nmodel:\noutputs:\nlimits:\nsteps: {a: {run: echo}}\n",
        [
            "3:8 'params' should be an object (key: value lines), not nothing",
            "5:9 'outputs' should be an object (key: value lines), not nothing",
            "6:8 'limits' should be an object (key: value lines), not nothing",
        ],
        id="null keys",
    ),
]


@pytest.mark.parametrize(("text", "expected"), FILES)
def test_file(mistakes: Mistakes, text: str, expected: list[str]) -> None:
    assert mistakes(text) == expected
