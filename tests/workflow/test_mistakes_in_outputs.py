"""Every mistake under a step's `output`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Mistakes = Callable[..., list[str]]

OUTPUTS = [
    pytest.param(
        "chat: x\noutput: string",
        ["11:13 'output' should be a map of fields [for instance 'output: {answer: string}']"],
        id="output chat",
    ),
    pytest.param(
        'chat: x\noutput: {a: strin, b: [x, y], c: {typ: string}, d: 5, "e?": [strng], e: string}',
        [
            "11:17 there is no type 'strin' [did you mean 'string'?]",
            "11:27 a list type holds one type [for instance '[string]']",
            "11:44 'typ' is no word of JSON Schema [did you mean 'type'?]",
            "11:56 a field is a type name, [type] or JSON Schema",
            "11:66 there is no type 'strng' [did you mean 'string'?]",
        ],
        id="output2",
    ),
    pytest.param(
        'chat: x\noutput: {"a?": {type: strng}, b: {minimum: x}}',
        [
            "11:27 there is no type 'strng' [did you mean 'string'?]",
            "11:48 this is not JSON Schema: 'x' is not of type 'number'",
        ],
        id="output3",
    ),
    pytest.param(
        "chat: x\noutput: {schema: {type: object, properties: {a: {type: strng}}}}",
        ["11:60 there is no type 'strng' [did you mean 'string'?]"],
        id="output4",
    ),
    pytest.param(
        "chat: x\noutput: {schema: s.json}",
        ["11:22 the file 's.json' cannot be read: No such file or directory [paths are relative to the workflow]"],
        id="output5",
    ),
    pytest.param(
        "chat: x\noutput: {schema: 5}", ["11:22 'schema' is JSON Schema or the name of its file"], id="output6"
    ),
    pytest.param(
        (
            "chat: x\n"
            'output: {a: {$ref: "http://x/y"}, b: {$ref: "#/nope"}, c: {enum: ["${{ params.x '
            '}}"]}, d: {pattern: "["}}'
        ),
        [
            (
                "11:24 the reference 'http://x/y' leads nowhere [a reference begins with '#' and leads "
                "to a part of the same schema]"
            ),
            (
                "11:49 the reference '#/nope' leads nowhere [a reference begins with '#' and leads to "
                "a part of the same schema]"
            ),
            "11:71 a schema holds no expressions [check the value with 'check']",
            "11:105 this is not JSON Schema: '[' is not a 'regex'",
        ],
        id="output7",
    ),
    pytest.param(
        "chat: x\noutput: {}",
        ["11:13 'output' should be a map of fields [for instance 'output: {answer: string}']"],
        id="output8",
    ),
    pytest.param(
        "run: x\noutput: {a: string}",
        ["11:17 unknown key 'a' in 'output' [known: files, json, path, schema, text]"],
        id="output run",
    ),
    pytest.param(
        "run: x\noutput: {json: a, text: b}",
        ["11:13 'output' of a run step takes one of json, text, path, files"],
        id="output run2",
    ),
    pytest.param(
        "run: x\noutput: {jsn: a}", ["11:19 unknown key 'jsn' in 'output' [did you mean 'json'?]"], id="output run3"
    ),
    pytest.param(
        "run: x\noutput: {json: ../a}",
        ["11:20 '../a' leaves the step's folder [use a relative path without '..']"],
        id="output run4",
    ),
    pytest.param(
        "run: x\noutput: {path: /a}",
        ["11:20 '/a' leaves the step's folder [use a relative path without '..']"],
        id="output run5",
    ),
    pytest.param(
        'run: x\noutput: {files: "${{ 1 }}"}',
        ["11:21 'files' takes the name of a file, without expressions"],
        id="output run6",
    ),
    pytest.param(
        "run: x\noutput: stdout",
        [
            (
                "11:13 'output' of a run step is an object [one of {json: FILE}, {json: stdout}, "
                "{text: FILE}, {path: FILE}, {files: GLOB}]"
            )
        ],
        id="output run7",
    ),
    pytest.param("run: x\noutput: {path: x, schema: {}}", ["11:31 'schema' is for json and text"], id="output run8"),
    pytest.param(
        "run: x\noutput: {json: x, schema: nope.json}",
        [("11:31 the file 'nope.json' cannot be read: No such file or directory [paths are relative to the workflow]")],
        id="output run9",
    ),
    pytest.param(
        "run: x\noutput: {json: 5}", ["11:20 'json' takes the name of a file, without expressions"], id="output run10"
    ),
]


@pytest.mark.parametrize(("text", "expected"), OUTPUTS)
def test_step(mistakes: Mistakes, text: str, expected: list[str]) -> None:
    assert mistakes(text, step=True) == expected
