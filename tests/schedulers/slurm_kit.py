"""A real Slurm on this machine: a controller and two nodes on the loopback address, started and ended by the tests."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

PACKAGES = "slurmctld slurmd slurm-client"
INSTALL = f"apt-get install -y --no-install-recommends {PACKAGES}"
NODES = ("n1", "n2")
PATIENCE = 30.0
_PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_T = TypeVar("_T")

_CONF = """\
ClusterName=trial
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
"""
_NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=1000\n"
_PARTITION = "PartitionName=debug Nodes=ALL Default=YES MaxTime=01:00:00 State=UP\n"


def missing_programs() -> list[str]:
    """Which of Slurm's programs this machine lacks."""
    return [name for name in ("slurmctld", "slurmd", "sbatch") if shutil.which(name, path=_PLACES) is None]


@dataclass
class Slurm:
    """A cluster of two nodes.

    Attributes:
        folder: its configuration, state and logs.
        daemons: its processes.
    """

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")))
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    def start(self) -> None:
        """Start the daemons, and wait until both nodes are idle."""
        host = socket.gethostname().split(".")[0]
        first, *others = _free_ports(1 + len(NODES))
        text = _CONF.format(host=host, port=first, user=getpass.getuser(), folder=self.folder)
        text += "".join(_NODE.format(name=name, host=host, port=port) for name, port in zip(NODES, others, strict=True))
        self.conf.write_text(text + _PARTITION)
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir()
        self._daemon("slurmctld", "-D", "-c")
        for node in NODES:
            self._daemon("slurmd", "-D", "-N", node, "-c")
        wait_for(lambda: self("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * len(NODES), self.logs)

    def _daemon(self, name: str, *options: str) -> None:
        program = shutil.which(name, path=_PLACES)
        assert program is not None
        with (self.folder / f"{name}.out").open("ab") as out:
            command = [program, "-f", str(self.conf), *options]
            self.daemons.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.environment())
            )

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What its clients need, and its jobs get."""
        return {**os.environ, "SLURM_CONF": str(self.conf), **(more or {})}

    def __call__(self, *command: str) -> str:
        """What one of its clients prints, whether it succeeds or not."""
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        return done.stdout + done.stderr

    def jobs(self) -> list[str]:
        """The ids of the jobs that wait or run."""
        return self("squeue", "-h", "-o", "%A").split()

    def clear(self) -> None:
        """End every job."""
        while self.jobs():
            self("scancel", *self.jobs())
            time.sleep(0.1)

    def logs(self) -> str:
        """The end of every log, for a test that fails."""
        paths = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        return "\n".join(f"== {path.name}\n{path.read_text()[-1500:]}" for path in paths)

    def stop(self) -> None:
        """End the daemons, and what is left of the cluster."""
        for daemon in self.daemons:
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_for(ready: Callable[[], _T], explain: Callable[[], str] = lambda: "", *, seconds: float = PATIENCE) -> _T:
    """What `ready` gives once that is true.

    Raises:
        AssertionError: it takes too long; the text is what `explain` gives.
    """
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, explain()
        time.sleep(0.05)
    return found


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
