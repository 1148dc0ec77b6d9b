"""Runs on a real Slurm: from its login node, and inside of its jobs."""

from __future__ import annotations

import pytest
from runs_kit import Desk
from slurm_kit import NODES, Slurm, wait_for

from metis_flow.testing import Gateway

SITE = """
    extends: slurm
    queue: debug
    nodes: 2
    executors:
      workers: {workers: 1, address: 127.0.0.1}
      mpi: {address: 127.0.0.1}
    """
ON = 'echo "$SLURMD_NODENAME"; sleep 1'


@pytest.fixture
def site(slurm: Slurm, desk: Desk) -> Desk:
    """A desk with the site ``cluster``: the profile for Slurm on the two nodes of this machine."""
    desk.write("sites/cluster.yaml", SITE)
    return desk


def test_calls_from_the_driver_and_steps_on_both_nodes(slurm: Slurm, site: Desk, gateway: Gateway) -> None:
    site.endpoint(gateway)
    site.write("count.py", "def letters(text):\n    import os\n    return [len(text), os.environ['SLURM_JOB_ID']]\n")
    site.workflow(
        f"""
        ask:
          foreach: ${{{{ range(6) }}}}
          chat: Question ${{{{ item }}}}?
        shell:
          foreach: ${{{{ steps.ask.outputs }}}}
          stdin: ${{{{ item }}}}
          run: cat > /dev/null; {ON}
        function:
          python: count:letters
          with: {{text: "${{{{ join(steps.ask.outputs, '') }}}}"}}
          needs: [shell]
        """,
        "model: gpt-oss-120b\nendpoint: near\n"
        "outputs: {hosts: '${{ steps.shell.outputs }}', count: '${{ steps.function.output }}'}",
    )
    ended = site("run", "trial.yaml", "--site", "cluster", "--json")
    assert (ended.code, ended.document["calls"]) == (0, 6), ended.err
    outputs = ended.document["outputs"]
    assert set(outputs["hosts"]) == set(NODES)
    assert outputs["count"][0] == len("You said: Question 0?") * 6
    # both kinds of steps had the same block, which is given back
    wait_for(lambda: not slurm.jobs(), slurm.logs)


TASK = '''
from metis_flow.tasks import task


@task
def doubled(number: int) -> int:
    """Twice a number."""
    return 2 * number
'''


def test_a_task_has_the_same_identity_everywhere(site: Desk) -> None:
    """What a task has made on threads, in processes or on Slurm stands for the others, until its body changes."""
    site.write("doubling.py", TASK)
    site.workflow(
        """
        double: {foreach: "${{ range(3) }}", uses: doubled, with: {number: "${{ item }}"}}
        other: {uses: count, with: {values: [1, 2]}}
        """
    )
    made = [site("run", "trial.yaml", "--site", place, "--json").document for place in ("cluster", "local")]
    assert [run["steps"]["double"]["cached"] for run in made] == [0, 3]
    assert site("run", "trial.yaml", "--site", "local-processes", "--json").document["cached"] == 4
    site.write("doubling.py", TASK.replace("2 * number", "number * 2"))
    after = [site("run", "trial.yaml", "--site", place, "--json").document for place in ("local-processes", "local")]
    assert [run["steps"]["double"]["cached"] for run in after] == [0, 3]
    assert [run["steps"]["other"]["cached"] for run in after] == [1, 1]


def test_an_mpi_step_takes_both_nodes_of_a_job(slurm: Slurm, site: Desk) -> None:
    site.workflow(
        """
        relax:
          resources: {nodes: 2, ranks_per_node: 2}
          run: $PARSL_MPI_PREFIX sh -c 'echo "$SLURM_PROCID on $SLURMD_NODENAME"' | sort
        """,
        "outputs: {ranks: '${{ steps.relax.output }}'}",
    )
    ended = site("run", "trial.yaml", "--site", "cluster", "--json")
    assert ended.code == 0, ended.err
    assert ended.document["outputs"]["ranks"].splitlines() == ["0 on n1", "1 on n1", "2 on n2", "3 on n2"]


def test_a_walltime_stops_a_run_and_a_second_job_resumes_it(slurm: Slurm, site: Desk) -> None:
    # Of a job's minute 10 s are kept for its end: who may take 40 s is begun in the first 10 s; `a` lasts longer.
    site.write(
        "sites/cluster.yaml", "extends: slurm\nqueue: debug\nexecutors: {workers: {kind: threads, workers: 1}}\n"
    )
    site.workflow(
        """
        a:
          run: |
            left() { squeue -h -j $SLURM_JOB_ID -o %L | awk -F: '{print 60 * $1 + $2}'; }
            until [ "$(left)" -lt 50 ]; do sleep 0.3; done
            echo $SLURM_JOB_ID
        b: {run: echo $SLURM_JOB_ID, needs: [a], timeout: 40s}
        """,
        "outputs: {a: '${{ steps.a.output }}', b: '${{ steps.b.output }}'}",
    )
    asked = ("--site", "cluster", "--nodes", 1, "--walltime", "0:01:00", "--json")
    first = site("submit", "trial.yaml", *asked).document["job"]
    wait_for(lambda: not slurm.jobs(), slurm.logs)
    found = site("status", "--json").document
    assert (found["status"], found["exit"]) == ("stopped", 5), site.logs()
    assert found["reason"] == f"the walltime of the Slurm job {first} ends"
    second = site("submit", "last", "--json").document["job"]
    wait_for(lambda: not slurm.jobs(), slurm.logs)
    found = site("status", "--json").document
    assert (found["status"], found["outputs"]) == ("done", {"a": first, "b": second}), site.logs()


def test_a_refused_partition_is_told_in_the_words_of_sbatch(slurm: Slurm, site: Desk) -> None:
    site.workflow("one: {run: echo 1}")
    words = "sbatch: error: Batch job submission failed: Invalid partition name specified"
    ended = site("submit", "trial.yaml", "--site", "cluster", "--queue", "nope", "--walltime", "0:01:00")
    assert ended.code == 2
    assert ended.err.splitlines()[0] == "sbatch refused the job; the queue asked for is 'nope'"
    assert f"    {words}" in ended.err.splitlines()
    ended = site("run", "trial.yaml", "--site", "cluster", "--set", "queue=nope")
    assert ended.code == 1
    assert "sbatch: error: invalid partition specified: nope" in ended.err


def test_a_job_that_waits_for_ever_is_recognised(slurm: Slurm, site: Desk) -> None:
    site.workflow("one: {run: echo 1}")
    asked = ("--site", "cluster", "--nodes", 2, "--walltime", "3:00:00", "--json")
    sent = site("submit", "trial.yaml", *asked).document["job"]
    words = f"job:      {sent}: queued: PartitionTimeLimit; take it back and ask for less"
    wait_for(lambda: words in site("status").out, lambda: site("status").out)


def test_the_doctor_asks_the_workers_of_a_job(slurm: Slurm, site: Desk) -> None:
    ended = site("doctor", "--site", "cluster", "--in-job", "--json")
    assert ended.code == 0, ended.out
    found = {finding["check"]: finding["level"] for finding in ended.document["findings"]}
    assert {found[name] for name in ("scheduler", "workers", "worker packages", "shared folder")} == {"ok"}
    wait_for(lambda: not slurm.jobs(), slurm.logs)
