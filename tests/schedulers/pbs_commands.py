"""Stand-ins for the commands of PBS, run as ``pbs_commands.py FOLDER COMMAND ARGUMENTS``.

They behave as OpenPBS does where it matters here: jobs get a bare login environment and whole hosts, what a job may
not have is refused at submission, its time limit is enforced by SIGTERM and then SIGKILL, and its stdout and stderr
appear at its end. `FOLDER` is the whole cluster: ``cluster.json`` (see `pbs_kit.Pbs`), a folder a job, and
``log.jsonl``, a line an event. There is no server: each job has a process of its own that waits for hosts and watches
over it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

POLL = 0.05
KNOWN_RESOURCES = {"walltime", "select", "place", "filesystems"}
KNOWN_IN_CHUNK = {"ncpus", "ngpus", "mpiprocs", "mem", "system"}


class Refused(Exception):
    """What the command says on stderr before it fails."""


class Cluster:
    """The state of all jobs, in files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = json.loads((folder / "cluster.json").read_text())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def log(self, event: str, job: str | None, **more: Any) -> None:
        line = json.dumps({"t": time.time(), "event": event, "job": job, **more}) + "\n"
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(line)

    def job_folder(self, job: str) -> Path:
        return self.folder / "jobs" / job.split(".")[0]

    def read(self, job: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.job_folder(job) / "job.json").read_text())
        except FileNotFoundError:
            raise Refused(f"qstat: Unknown Job Id {job}") from None
        return found

    def write(self, job: dict[str, Any]) -> None:
        path = self.job_folder(job["id"]) / "job.json"
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(job))
        new.rename(path)

    def change(self, job: str, **more: Any) -> dict[str, Any]:
        with self.locked():
            found = self.read(job) | more
            self.write(found)
        return found

    def busy(self) -> set[str]:
        jobs = [json.loads(path.read_text()) for path in (self.folder / "jobs").glob("*/job.json")]
        return {host for job in jobs if job["state"] in ("R", "E") for host in job["hosts"]}


# -- qsub


def directives(words: list[str]) -> dict[str, Any]:
    """The options in words such as those of a #PBS line."""
    found: dict[str, Any] = {"resources": {}}
    rest = iter(words)
    for word in rest:
        if re.fullmatch(r"-[NoejSlAqrmWvkM]", word) is None:
            raise Refused(f"qsub: invalid option -- '{word.lstrip('-')}'\nusage: qsub [-A account] [-q queue] script")
        value = next(rest, None)
        if value is None:
            raise Refused(f"qsub: option requires an argument -- '{word[1:]}'")
        if word == "-l":
            for part in re.split(r",(?=[a-z_]+=)", value):
                name, _, amount = part.partition("=")
                found["resources"][name] = amount
        else:
            found[word[1:]] = value
    return found


def check(options: dict[str, Any], settings: dict[str, Any]) -> None:
    """Refuse a job as a server and its hooks do."""
    resources = options["resources"]
    for name in set(resources) - KNOWN_RESOURCES:
        raise Refused(f"qsub: Unknown resource: Resource_List.{name}")
    for name in set(chunk(resources)) - KNOWN_IN_CHUNK:
        raise Refused(f"qsub: Unknown resource: {name}")
    queue = options.get("q", settings["queues"][0])
    if queue not in settings["queues"]:
        raise Refused("qsub: Unknown queue")
    account = options.get("A")
    if account not in settings["accounts"]:
        raise Refused(f"qsub: Job rejected: no active allocation of project {account}" if account else NO_ACCOUNT)
    if "filesystems" not in resources:
        raise Refused("qsub: Resource: filesystems is required to be set.")
    if seconds_of(resources.get("walltime", "00:10:00")) > settings["longest"]:
        raise Refused("qsub: Job violates queue and/or server resource limits")


NO_ACCOUNT = "qsub: Job rejected: no account given, use -A"


def chunk(resources: dict[str, str]) -> dict[str, str]:
    """What ``select=2:ncpus=4`` asks for of each host."""
    return dict(part.split("=", 1) for part in resources.get("select", "1").split(":")[1:])


def seconds_of(clock: str) -> int:
    found = 0
    for part in clock.split(":"):
        found = found * 60 + int(part)
    return found


def clock_of(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def qsub(cluster: Cluster, words: list[str]) -> None:
    *options, script = words
    text = Path(script).read_text()
    lines = [shlex.split(line[5:]) for line in text.splitlines() if line.startswith("#PBS ")]
    found = directives([word for line in lines for word in line])
    given = directives(options)
    merged = found | given | {"resources": found["resources"] | given["resources"]}
    check(merged, cluster.settings)
    with cluster.locked():
        number = 1 + len(list((cluster.folder / "jobs").iterdir()))
        job = f"{number}.{cluster.folder.name}"  # unlike those of any other cluster on this machine
        cluster.job_folder(job).mkdir()
        (cluster.job_folder(job) / "script").write_text(text)
        cluster.write({"id": job, "state": "Q", "options": merged, "from": os.getcwd(), "hosts": [], "comment": None})
    cluster.log("queued", job, name=merged.get("N"), resources=merged["resources"])
    command = [sys.executable, __file__, str(cluster.folder), "watch", job]
    with open(os.devnull, "r+b") as nothing:
        subprocess.Popen(
            command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True, env=login(cluster)
        )
    print(job)


# -- a job's own process


def login(cluster: Cluster) -> dict[str, str]:
    """The environment of a new login: nothing of the submitter's."""
    return {"HOME": cluster.settings["home"], "PATH": cluster.settings["path"], "USER": "user", "LANG": "C.UTF-8"}


def watch(cluster: Cluster, words: list[str]) -> None:
    """Wait for hosts, run the job, and end it in time."""
    job = words[0]
    cluster.change(job, watcher=os.getpid())
    hosts = wait_for_hosts(cluster, job)
    if hosts is None:
        cluster.log("ended", job, status=None)
        return
    folder, options = cluster.job_folder(job), cluster.read(job)["options"]
    nodefile = folder / "nodefile"
    nodefile.write_text("".join(f"{host}\n" for host in hosts))
    environment = login(cluster) | {
        "PBS_JOBID": job,
        "PBS_NODEFILE": str(nodefile),
        "PBS_O_WORKDIR": cluster.read(job)["from"],
        "PBS_JOBNAME": str(options.get("N", "STDIN")),
        "PBS_ENVIRONMENT": "PBS_BATCH",
    }
    cluster.log("started", job, hosts=sorted(set(hosts)))
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            ["/bin/bash", "-l", str(folder / "script")],
            cwd=cluster.settings["home"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        status = to_its_end(cluster, job, process)
    deliver(cluster, job, options)
    cluster.change(job, state="F", status=status)
    cluster.log("ended", job, status=status)


def wait_for_hosts(cluster: Cluster, job: str) -> list[str] | None:
    """A line of the nodefile for each chunk, once so many hosts are free; None if it is taken back before."""
    resources = cluster.read(job)["options"]["resources"]
    chunks = int(resources.get("select", "1").split(":")[0])
    wanted = chunk(resources)
    on_one = min(cluster.settings["ncpus"] // int(wanted.get("ncpus", 1)), 4 // max(1, int(wanted.get("ngpus", 1))))
    packed = 1 if resources.get("place", "free").startswith("scatter") else max(1, on_one)
    count = -(-chunks // packed)
    all_hosts: list[str] = cluster.settings["hosts"]
    time.sleep(cluster.settings["wait"])
    while True:
        with cluster.locked():
            found = cluster.read(job)
            if found["state"] == "F":
                return None
            free = [host for host in all_hosts if host not in cluster.busy()]
            if len(free) >= count:
                hosts = [free[number // packed] for number in range(chunks)]
                cluster.write(found | {"state": "R", "hosts": hosts, "began": time.time()})
                return hosts
            if count > len(all_hosts) and found["comment"] is None:
                cluster.write(found | {"comment": "Can Never Run: Not enough total nodes available"})
        time.sleep(POLL)


def to_its_end(cluster: Cluster, job: str, process: subprocess.Popen[bytes]) -> int:
    """Exit status as PBS gives it: -29 after the time limit, 271 after a qdel."""
    limit = seconds_of(cluster.read(job)["options"]["resources"].get("walltime", "00:10:00"))
    end, why = time.time() + limit, None
    while process.poll() is None and why is None:
        if cluster.read(job)["state"] == "E":
            why = 271
        elif time.time() > end:
            why = -29
        time.sleep(POLL)
    if why is not None:
        cluster.log("ending", job, status=why)
        signal_all(job, signal.SIGTERM)
        give_up = time.time() + cluster.settings["kill_delay"]
        while time.time() < give_up and processes_of(job):
            process.poll()
            time.sleep(POLL)
    signal_all(job, signal.SIGKILL)
    return process.wait() if why is None else why


def processes_of(job: str) -> list[int]:
    """Every process that began in the job, wherever it has gone since."""
    mark, found = f"PBS_JOBID={job}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def signal_all(job: str, number: int) -> None:
    for process in processes_of(job):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def deliver(cluster: Cluster, job: str, options: dict[str, Any]) -> None:
    """Put stdout and stderr where the job wants them."""
    folder = cluster.job_folder(job)
    out, err = (folder / "out").read_bytes(), (folder / "err").read_bytes()
    joined = options.get("j") == "oe"
    for letter, data in [("o", out + err)] if joined else [("o", out), ("e", err)]:
        usual = f"{options.get('N', 'STDIN')}.{letter}{job.split('.')[0]}"
        path = Path(cluster.read(job)["from"]) / options.get(letter, usual)
        if path.is_dir():
            path /= f"{job}.{'OU' if letter == 'o' else 'ER'}"
        with contextlib.suppress(FileNotFoundError):  # its folder may be gone by now
            path.write_bytes(data)


# -- qstat, qdel, mpiexec


def qstat(cluster: Cluster, words: list[str]) -> None:
    if "-F" not in words or words[words.index("-F") + 1] != "json":
        raise Refused("qstat: the stand-in writes JSON only")
    flags = {"-x", "-f", "-F", "json"}
    found = {}
    for job in (word for word in words if word not in flags):
        state = cluster.read(job)
        if state["state"] == "F" and "-x" not in words:
            raise Refused(f"qstat: {job} Job has finished, use -x or -H to obtain historical job information")
        found[state["id"]] = described(state)
    print(json.dumps({"timestamp": int(time.time()), "Jobs": found}))


def described(state: dict[str, Any]) -> dict[str, Any]:
    options = state["options"]
    found = {"Job_Name": options.get("N"), "job_state": state["state"], "queue": options.get("q")}
    found["Resource_List"] = {"walltime": clock_of(seconds_of(options["resources"].get("walltime", "00:10:00")))}
    if "began" in state:
        used = (state.get("ended") or time.time()) - state["began"]
        found["resources_used"] = {"walltime": clock_of(used)}
        found["stime"] = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(state["began"]))
    if state["comment"]:
        found["comment"] = state["comment"]
    if state["state"] == "F":
        found["Exit_status"] = state.get("status", 0)
    return found


def qdel(cluster: Cluster, words: list[str]) -> None:
    for job in words:
        with cluster.locked():
            found = cluster.read(job)
            after = {"Q": "F", "R": "E"}.get(found["state"], found["state"])
            cluster.write(found | {"state": after})
        cluster.log("deleted", found["id"])


def mpiexec(cluster: Cluster, words: list[str]) -> None:
    """Start a command once a rank, on hosts that are all this machine: what tells them apart is PALS_NODEID."""
    options, command = mpi_words(words)
    if "hostfile" in options:
        hosts = Path(options["hostfile"]).read_text().split()
    else:
        hosts = options.get("hosts", ",".join(cluster.settings["hosts"][:1])).split(",")
    ranks, on_each = int(options.get("n", len(hosts))), int(options.get("ppn", 1))
    if ranks > on_each * len(hosts):
        raise Refused(f"mpiexec: {ranks} ranks do not fit on {len(hosts)} hosts with {on_each} each")
    cluster.log("mpiexec", os.environ.get("PBS_JOBID"), hosts=hosts, ranks=ranks, command=command)
    started = []
    for rank in range(ranks):
        node = rank // on_each
        own = {"PALS_NODEID": str(node), "PALS_RANKID": str(rank), "PALS_SIZE": str(ranks), "PALS_HOST": hosts[node]}
        started.append(subprocess.Popen(command, env={**os.environ, **own}))
    codes = [process.wait() for process in started]
    sys.exit(max(codes, key=abs))


def mpi_words(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options with one value each, in Cray's spelling or in MPICH's, and the command."""
    options: dict[str, str] = {}
    rest = list(words)
    while rest and rest[0].startswith("-"):
        name, equals, value = rest.pop(0).lstrip("-").partition("=")
        options[name] = value if equals else rest.pop(0)
    return options, rest


COMMANDS = {"qsub": qsub, "qstat": qstat, "qdel": qdel, "mpiexec": mpiexec, "watch": watch}

if __name__ == "__main__":
    try:
        COMMANDS[sys.argv[2]](Cluster(Path(sys.argv[1])), sys.argv[3:])
    except Refused as refusal:
        sys.exit(str(refusal))
