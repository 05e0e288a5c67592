"""A real Slurm on this machine for the tests that ask for it: two nodes of two cores, installed from Debian where it is
missing, started and stopped here."""

import os
import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CONFIGURATION = """
ClusterName=one
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobRequeue=1
KillWait=10
FirstJobId={first}
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 State=UNKNOWN
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""
PACKAGES = ("slurm-wlm", "slurmctld", "slurmd", "slurm-client", "munge")


@dataclass
class Slurm:
    """A running Slurm; `environment` points its commands, and submitit, at it."""

    environment: dict[str, str]

    def run(self, *words: str) -> str:
        """A Slurm command -> what it prints."""
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, check=True).stdout

    def state(self, job: str) -> str:
        """``PENDING``, ``RUNNING``, ``COMPLETED``, ``FAILED`` ...; a requeued job is not left waiting its 2 minutes."""
        shown = self.run("scontrol", "show", "job", job)
        if "JobState=PENDING" in shown and "Reason=BeginTime" in shown:
            subprocess.run(["scontrol", "update", f"jobid={job}", "StartTime=now"], env=self.environment, check=False)
        found = re.search(r"JobState=(\w+)", shown)
        return found[1] if found else ""

    def restarts(self, job: str) -> int:
        """How often the job was requeued."""
        found = re.search(r"Restarts=(\d+)", self.run("scontrol", "show", "job", job))
        return int(found[1]) if found else 0

    def wait(self, job: str, seconds: float = 120.0, wanted: tuple[str, ...] = ("COMPLETED",)) -> str:
        """The state of the job once it is `wanted` or it has failed; "TIMEOUT" after `seconds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.state(job)
            if state in (*wanted, "FAILED", "CANCELLED", "NODE_FAIL"):
                return state
            time.sleep(0.3)
        return "TIMEOUT"


def _ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _install() -> None:
    if shutil.which("slurmctld") and shutil.which("munged"):
        return
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip("no Slurm here: want slurmctld and munged, or root and apt-get to install them")
    words = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES]
    for command in (["apt-get", "update", "-qq"], words):
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=150)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"no Slurm here, and {' '.join(command[:2])} failed: {error}")


def _munge() -> None:
    """The daemon that both ends trust; one that runs already serves."""
    if subprocess.run(["munge", "-n"], capture_output=True).returncode == 0:
        return
    for folder in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
        os.makedirs(folder, exist_ok=True)
        shutil.chown(folder, "munge", "munge")
    os.chmod("/run/munge", 0o755)
    subprocess.run(["runuser", "-u", "munge", "--", "/usr/sbin/munged"], check=True, capture_output=True)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A Slurm with the nodes n1 and n2, two cores each; the test is skipped, with the reason, where none can start."""
    _install()
    if os.geteuid():
        pytest.skip("a Slurm of one's own wants root")
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "state").mkdir()
    configuration = folder / "slurm.conf"
    first = random.SystemRandom().randrange(1000, 60000)  # Lightning takes its port from the job's number
    configuration.write_text(CONFIGURATION.format(folder=folder, ports=_ports(3), first=first))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    environment = {**kept, "SLURM_CONF": str(configuration), "MASTER_ADDR": "127.0.0.1"}
    slurm = Slurm(environment)
    try:
        _munge()
        for command in (["slurmctld"], ["slurmd", "-N", "n1"], ["slurmd", "-N", "n2"]):
            subprocess.run([*command, "-f", configuration], env=environment, check=True, capture_output=True)
        end = time.monotonic() + 30
        while slurm.run("sinfo", "-h", "-N", "-o", "%T").split() != ["idle", "idle"]:
            if time.monotonic() > end:
                raise TimeoutError("its nodes do not come up")
            time.sleep(0.3)
    except (subprocess.SubprocessError, OSError) as error:
        _stop(folder)
        pytest.skip(f"Slurm does not start here: {error}")
    yield slurm
    subprocess.run(["scancel", "--full", "--signal=KILL", "-u", "root"], env=environment, capture_output=True)
    end = time.monotonic() + 20
    while slurm.run("squeue", "-h") and time.monotonic() < end:  # else steps of a failed test would outlive it
        time.sleep(0.3)
    _stop(folder)


def _stop(folder: Path) -> None:
    for path in folder.glob("*.pid"):
        try:
            os.kill(int(path.read_text()), 15)
        except (ValueError, ProcessLookupError):
            continue
