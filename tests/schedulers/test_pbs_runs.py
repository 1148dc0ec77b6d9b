"""Runs on a cluster with PBS: Parsl's own PBSProProvider and MpiExecLauncher, and stand-ins for the commands of PBS."""

from __future__ import annotations

import json

import pytest
from pbs_kit import Pbs
from runs_kit import Desk
from slurm_kit import wait_for

from metis_flow.record.journal import read_journal
from metis_flow.testing import Gateway

# This machine has none of Polaris's GPUs, cores and interfaces; all else is the profile's own.
INSIDE = """
    extends: polaris
    account: trial
    interfaces: []
    environment: {http_proxy: null, https_proxy: null}
    executors:
      workers: {workers: 1, accelerators: 0, cpu_affinity: none, address: 127.0.0.1}
      mpi: {address: 127.0.0.1}
    """
DRIVER_ONLY = """
    extends: polaris
    account: trial
    environment: {http_proxy: null, https_proxy: null}
    executors: {workers: {kind: threads, workers: 1}}
    """
"""Steps run in the driver, which saves the seconds that workers take to start."""
LOGIN = """
    extends: polaris-login
    account: trial
    interfaces: []
    max_idletime: 1s
    executors:
      workers: {workers: 1, accelerators: 0, cpu_affinity: none, address: 127.0.0.1}
    """
HOSTS = 'echo "$PALS_HOST"; sleep 0.5'


@pytest.fixture
def site(desk: Desk) -> Desk:
    """A desk with the sites ``inside`` and ``login``."""
    desk.write("sites/inside.yaml", INSIDE)
    desk.write("sites/login.yaml", LOGIN)
    return desk


def submit(desk: Desk, *words: object, walltime: str = "0:05:00", nodes: int = 2) -> dict[str, str]:
    """The document of a ``submit`` of ``trial.yaml`` that succeeds."""
    asked = ("--site", "inside", "--queue", "debug", "--nodes", nodes, "--walltime", walltime)
    ended = desk("submit", "trial.yaml", *asked, "--json", *words)
    assert ended.code == 0, ended.err
    found: dict[str, str] = ended.document
    return found


def test_from_a_login_node_no_job_is_held_while_calls_go_on(pbs: Pbs, site: Desk, gateway: Gateway) -> None:
    site.endpoint(gateway)
    gateway.set_latency(0.5)
    site.workflow(
        f"""
        ask:
          foreach: ${{{{ range(50) }}}}
          chat: Question ${{{{ item }}}}?
        compute:
          foreach: ${{{{ range(4) }}}}
          needs: [ask]
          run: {HOSTS}
        """,
        "model: gpt-oss-120b\nendpoint: near\nlimits: {concurrency: 10}",
    )
    ended = site("run", "trial.yaml", "--site", "login", "--json")
    assert (ended.code, ended.document["calls"]) == (0, 50), ended.err
    entries = read_journal(site.run_folder() / "journal")
    last_answer = max(entry["t"] for entry in entries if entry["e"] == "done" and entry["step"] == "ask")
    (queued,) = pbs.log("queued")
    assert queued["t"] > last_answer
    assert queued["resources"] == {"walltime": "01:00:00", "select": "1:ncpus=32:ngpus=4", "filesystems": "home:eagle"}
    wait_for(lambda: set(pbs.states().values()) == {"F"}, lambda: str(pbs.log()))
    assert [line["event"] for line in pbs.log() if line["event"] != "ending"] == [
        "queued",
        "started",
        "mpiexec",
        "deleted",
        "ended",
    ]


def test_in_an_allocation_every_host_of_the_nodefile_is_used(pbs: Pbs, site: Desk, gateway: Gateway) -> None:
    site.endpoint(gateway)
    site.workflow(
        f"""
        compute:
          foreach: ${{{{ range(6) }}}}
          run: {HOSTS}
        tell:
          chat: "Hosts: ${{{{ join(steps.compute.outputs, ' ') }}}}"
        """,
        "model: gpt-oss-120b\nendpoint: near\noutputs: {hosts: '${{ steps.compute.outputs }}'}",
    )
    sent = submit(site)
    wait_for(lambda: pbs.states()[sent["job"]] == "F", site.logs)
    ended = site("status", "--json")
    assert ended.document["status"] == "done", site.logs()
    assert set(ended.document["outputs"]["hosts"]) == {"x1", "x2"}
    (started,) = pbs.log("mpiexec")
    assert (started["hosts"], started["ranks"]) == (["x1", "x2"], 2)
    assert pbs.log("ended")[0]["status"] == 0


def test_an_mpi_step_starts_ranks_on_two_nodes(pbs: Pbs, site: Desk) -> None:
    site.workflow(
        """
        relax:
          resources: {nodes: 2, ranks_per_node: 2}
          run: $PARSL_MPI_PREFIX sh -c 'echo "$PALS_RANKID of $PALS_SIZE on $PALS_HOST"' | sort
        """,
        "outputs: {ranks: '${{ steps.relax.output }}'}",
    )
    sent = submit(site)
    wait_for(lambda: pbs.states()[sent["job"]] == "F", site.logs)
    found = site("status", "--json").document
    assert found["status"] == "done", site.logs()
    assert found["outputs"]["ranks"].splitlines() == ["0 of 4 on x1", "1 of 4 on x1", "2 of 4 on x2", "3 of 4 on x2"]


def test_a_submitted_run_is_followed_from_the_login_node(pbs: Pbs, site: Desk) -> None:
    site.workflow("one: {run: echo 1}")
    sent = submit(site, nodes=3)
    wait_for(lambda: "Can Never Run" in site("status").out, lambda: site("status").out)
    ended = site("status")
    assert f"status:   submitted (job {sent['job']} drives it)" in ended.out
    words = "queued: Can Never Run: Not enough total nodes available; take it back and ask for less"
    assert f"job:      {sent['job']}: {words}" in ended.out
    found = site("status", "--json").document
    assert (found["status"], found["job"]["id"], found["job"]["state"]) == ("submitted", sent["job"], "queued")
    pbs("qdel", sent["job"])
    ended = site("status")
    assert f"{sent['job']}: has ended (exit status 0), and the run did not begin" in ended.out
    assert site("runs", "--json").document["runs"][0]["status"] == "submitted"
    # and it can be driven from here instead
    ended = site("resume", "last", "--site", "local", "--json")
    assert (ended.code, ended.document["status"]) == (0, "done"), ended.err


def test_a_refused_queue_is_told_in_the_words_of_qsub_and_leaves_no_run(pbs: Pbs, site: Desk) -> None:
    site.workflow("one: {run: echo 1}")
    asked = ("--site", "inside", "--nodes", 1, "--walltime", "0:05:00", "--queue", "nope")
    ended = site("submit", "trial.yaml", *asked)
    assert ended.code == 2
    assert ended.err.splitlines() == [
        "qsub refused the job; the queue asked for is 'nope'",
        "    qsub: Unknown queue",
        "  hint: change --account, --queue, --nodes, --walltime or --set filesystems=…, and submit again",
    ]
    assert list((site.folder / "runs").iterdir()) == []


def test_a_dry_run_shows_the_script_and_writes_nothing(pbs: Pbs, site: Desk) -> None:
    site.workflow("one: {run: echo 1}")
    asked = ("--site", "inside", "--nodes", 2, "--walltime", "1h", "--queue", "debug")
    ended = site("submit", "trial.yaml", *asked, "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    directives = [line.removeprefix("#PBS ") for line in ended.out.splitlines() if line.startswith("#PBS ")]
    assert directives[:8] == [
        "-N trial",
        "-A trial",
        "-q debug",
        "-l select=2:ncpus=32:ngpus=4",
        "-l place=scatter",
        "-l walltime=01:00:00",
        "-l filesystems=home:eagle",
        "-r y",
    ]
    assert not (site.folder / "runs").exists()
    assert pbs.log() == []


def test_a_chain_of_jobs_finishes_a_run_that_needs_three_walltimes(pbs: Pbs, site: Desk) -> None:
    # Of 58 s a job keeps 10 s for its end: who may take 40 s is begun in the first 8 s, and each step lasts longer.
    site.write("sites/inside.yaml", DRIVER_ONLY)
    site.write(
        "until_late.sh",
        r"""
        used() { qstat -f -F json "$PBS_JOBID" | sed 's/.*"resources_used": {"walltime": "00:00:\([0-9]*\)".*/\1/'; }
        until [ "$(used)" -ge 9 ]; do sleep 0.3; done
        echo "$PBS_JOBID"
        """,
    )
    step = "timeout: 40s, files: {wait.sh: {from: until_late.sh}}, run: sh wait.sh"
    site.workflow(
        f"""
        a: {{{step}}}
        b: {{{step}, needs: [a]}}
        c: {{{step}, needs: [b]}}
        """,
        "outputs: {a: '${{ steps.a.output }}', b: '${{ steps.b.output }}', c: '${{ steps.c.output }}'}",
    )
    submit(site, "--continue", walltime="0:00:58", nodes=1)
    wait_for(lambda: set(pbs.states().values()) == {"F"}, site.logs, seconds=80)
    found = site("status", "--json").document
    assert found["status"] == "done", site.logs()
    jobs = list(pbs.states())
    assert list(found["outputs"].values()) == jobs
    assert [line["status"] for line in pbs.log("ended")] == [5, 5, 0]
    sent = [json.loads(line) for line in (site.run_folder() / "job" / "sent.jsonl").read_text().splitlines()]
    assert [(line["id"], line["number"], line["ended"]) for line in sent] == [
        (job, number + 1, number) for number, job in enumerate(jobs)
    ]


def test_a_chain_ends_where_a_job_makes_no_headway(pbs: Pbs, site: Desk) -> None:
    site.write("sites/inside.yaml", DRIVER_ONLY)
    site.workflow("slow: {run: sleep 60, timeout: 2m}")
    sent = submit(site, "--continue", "--jobs", 3, walltime="0:00:15", nodes=1)
    wait_for(lambda: set(pbs.states().values()) == {"F"}, site.logs)
    assert list(pbs.states()) == [sent["job"]]
    run = site.run_folder().name
    assert f"{run}: no further job is sent: the last one brought no instance to its end" in site.logs()
