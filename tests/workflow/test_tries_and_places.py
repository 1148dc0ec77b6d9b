"""What a step says about its tries, its cache, where it runs and what it needs there: what it becomes, and mistakes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from metis_flow.errors import RETRY_KINDS
from metis_flow.workflow.definition import Resources, Retry, WorkflowDef

Load = Callable[..., WorkflowDef]
Mistakes = Callable[..., list[str]]

RETRIES = {
    "": Retry(1, 0.0, frozenset()),
    "retry: 5": Retry(5, 0.0, frozenset()),
    "retry: {}": Retry(3, 0.0, frozenset()),
    "retry: {attempts: 2, wait: 1m}": Retry(2, 60.0, frozenset()),
    "retry: {wait: 0s}": Retry(3, 0.0, frozenset()),
    "retry: {wait: 0}": Retry(3, 0.0, frozenset()),
    "retry: {on: timeout}": Retry(3, 0.0, frozenset({"timeout"})),
    "retry: {on: [shell, 137, worker_lost]}": Retry(3, 0.0, frozenset({"shell", 137, "worker_lost"})),
}


@pytest.mark.parametrize(("text", "expected"), RETRIES.items(), ids=RETRIES)
def test_retry(load: Load, text: str, expected: Retry) -> None:
    assert load(f"run: x\n{text}", step=True).steps["s"].retry == expected


@pytest.mark.parametrize("kind", RETRY_KINDS)
def test_every_kind_can_be_named_where_it_can_happen(mistakes: Mistakes, kind: str) -> None:
    verb = {"task": "python: m:f", "inference": "chat: x"}.get(kind, "run: x")
    assert mistakes(f"{verb}\nretry: {{on: [{kind}]}}", step=True) == []


RESOURCES = {
    "run: x\nresources: {cores: 4, gpus: 1, memory: 16 GB}": Resources(cores=4, gpus=1, memory=16 * 10**9),
    "run: x\nresources: {nodes: 2, ranks_per_node: 4}": Resources(nodes=2, ranks_per_node=4),
    "python: m:f\nresources: {memory: 1000}": Resources(memory=1000),
    "uses: count\nwith: {values: []}\nresources: {cores: 1}": Resources(cores=1),
}


@pytest.mark.parametrize(("text", "expected"), RESOURCES.items(), ids=RESOURCES)
def test_resources(load: Load, text: str, expected: Resources) -> None:
    assert load(text, step=True).steps["s"].resources == expected
    assert expected.is_mpi == ("nodes" in text)


def test_ranks_alone_are_mpi() -> None:
    assert Resources(ranks_per_node=2).is_mpi
    assert not Resources(cores=2).is_mpi


def test_where_it_runs_and_how_often_at_once(load: Load) -> None:
    plain = load("run: x", step=True).steps["s"]
    assert (plain.cache, plain.executor, plain.resources, plain.max_parallel) == (None, None, None, None)
    step = load("foreach: [1]\nrun: x\ncache: true\nexecutor: big-nodes\nmax_parallel: 3", step=True).steps["s"]
    assert (step.cache, step.executor, step.max_parallel) == (True, "big-nodes", 3)
    assert load("run: x\ncache: false", step=True).steps["s"].cache is False


KINDS = ", ".join(sorted(RETRY_KINDS))
MISTAKES = [
    ("run: x\nretry: 0", ["11:12 'retry' should be greater than 0, not 0"]),
    ("run: x\nretry: many", ["11:12 'retry' should be a whole number or an object (key: value lines), not 'many'"]),
    (
        "run: x\nretry: '3'",
        ["11:12 'retry' should be a whole number or an object (key: value lines), not '3' [write it without quotes]"],
    ),
    ("run: x\nretry: {attempts: -1}", ["11:23 'attempts' should be greater than 0, not -1"]),
    ("run: x\nretry: {attempt: 2}", ["11:13 unknown key 'attempt' in 'retry' [did you mean 'attempts'?]"]),
    (
        "run: x\nretry: {wait: soon}",
        ["11:19 'wait': a duration is a number of seconds or such as '20m', '1h30m', not 'soon'"],
    ),
    ("run: x\nretry: {wait: -1}", ["11:19 'wait': a duration is above zero, not -1"]),
    ("run: x\nretry: {on: [timeot]}", ["11:18 there is no failure 'timeot' [did you mean 'timeout'?]"]),
    ("run: x\nretry: {on: oom}", [f"11:17 there is no failure 'oom' [known: {KINDS}]"]),
    (
        "run: x\nretry: {on: [0, 256]}",
        [
            "11:18 0 is no exit code of a failure [these are 1 to 255]",
            "11:21 256 is no exit code of a failure [these are 1 to 255]",
        ],
    ),
    (
        "chat: x\nretry: {on: [1]}",
        ["11:18 an exit code is for run steps, and this is a chat step [for instance 'on: [inference]']"],
    ),
    (
        "python: m:f\nretry: {on: 1}",
        ["11:17 an exit code is for run steps, and this is a python step [for instance 'on: [task, timeout]']"],
    ),
    (
        "chat: x\nretry: {on: [shell]}",
        [
            "11:18 a chat step cannot fail with 'shell' "
            "[it can with: timeout, output_invalid, worker_lost, step_failed, inference]"
        ],
    ),
    ("run: x\ncache: yes", ["11:12 'cache' should be true or false, not 'yes'"]),
    (
        "run: x\nexecutor: ${{ steps.a.output }}",
        [
            "11:15 'executor' takes a plain name: what a model said never chooses where code runs "
            "[choose the step with 'if']"
        ],
    ),
    (
        "run: x\nexecutor: a/b",
        [
            "11:15 'a/b' is no name of an executor "
            "[letters, digits, '_' and '-', a letter first; see 'metis-flow sites']"
        ],
    ),
    ("chat: x\nresources: {cores: 1}", ["11:5 'resources' is for run, python and uses steps, and 's' is a chat step"]),
    (
        "python: m:f\nresources: {nodes: 2, cores: 1}",
        ["11:17 'nodes' is for run steps [an MPI step is a script: 'run: $PARSL_MPI_PREFIX python script.py']"],
    ),
    ("run: x\nresources: {}", ["11:16 'resources' is empty [for instance 'resources: {cores: 4}']"]),
    ("run: x\nresources: {cpus: 1}", ["11:17 unknown key 'cpus' in 'resources' [did you mean 'gpus'?]"]),
    ("run: x\nresources: {cores: 0}", ["11:24 'cores' should be greater than 0, not 0"]),
    (
        "run: x\nresources: {memory: lots}",
        ["11:25 'memory': a size is a number of bytes or such as '4 MB', '2 GiB', not 'lots'"],
    ),
    ("run: x\nresources: {memory: '" + "9" * 400 + "'}", ["11:25 'memory': a size is smaller than that"]),
    ("run: x\nmax_parallel: 2", ["11:5 'max_parallel' needs 'foreach', 'matrix' or 'repeat' on the step"]),
    ("foreach: [1]\nrun: x\nmax_parallel: 0", ["12:19 'max_parallel' should be greater than 0, not 0"]),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=[text[:60] for text, _ in MISTAKES])
def test_mistakes(mistakes: Mistakes, text: str, expected: list[str]) -> None:
    assert mistakes(text, step=True) == expected
