"""A real SLURM of one node on this machine, started for some tests and stopped after them."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "srun")
# Where Debian has the daemons, whatever the PATH of a user is.
PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
SECONDS = 20.0

# Nothing of the kernel is asked for (control groups), times are short, and two ranks fit on one core.
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={first_port}
SlurmdPort={second_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge/socket,cred_expire=5
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1
SlurmdParameters=config_overrides
KillWait=10
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class NoSlurm(Exception):
    """Why SLURM cannot be had here."""


class Slurm:
    """A cluster; its commands find it by the environment."""

    def __init__(self):
        missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
        if missing:
            raise NoSlurm(f"SLURM is not installed: {missing[0]} is missing")
        if os.geteuid() != 0:
            raise NoSlurm("SLURM is started by root alone")
        # Sockets have short names, and munged wants no folder above that others may write.
        self.home = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(self.home / "slurm.conf")}
        try:
            self._start()
        except (OSError, subprocess.CalledProcessError, TimeoutError) as error:
            logs = "".join(path.read_text()[-500:] for path in self.home.glob("*.log"))
            self.stop()
            raise NoSlurm(f"SLURM does not start here: {error} {logs}") from None

    def _start(self):
        home = self.home
        home.chmod(0o755)
        for name in ("munge", "state", "spool"):
            (home / name).mkdir(mode=0o700)
        (home / "munge" / "key").write_bytes(os.urandom(1024))
        (home / "munge" / "key").chmod(0o400)
        ports = free_ports(2)
        (home / "slurm.conf").write_text(
            CONFIGURATION.format(
                host=socket.gethostname().partition(".")[0],
                home=home,
                first_port=ports[0],
                second_port=ports[1],
            )
        )
        # "slurm-wlm 22.05.8": only later ones can be told to leave control groups alone.
        if int(self.call("slurmd", "-V").split()[-1].partition(".")[0]) >= 23:
            (home / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        names = {
            "key-file": "key",
            "socket": "socket",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        self.call("munged", "--force", *[f"--{key}={home}/munge/{name}" for key, name in names.items()])
        self.call("slurmctld", "-c")
        self.call("slurmd")
        deadline = time.monotonic() + SECONDS
        while self.call("sinfo", "--noheader", "--format=%t") != "idle":
            if time.monotonic() > deadline:
                raise TimeoutError("its node does not come up")
            time.sleep(0.1)

    def call(self, *command):
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True, timeout=SECONDS
        )
        return done.stdout.strip()

    def restarts(self, number):
        text = self.call("scontrol", "show", "job", number)
        return int(text.partition("Restarts=")[2].split()[0])

    def stop(self):
        """End all jobs, then the daemons, each by its number."""
        try:
            self.call("scancel", "--user=root")
            deadline = time.monotonic() + SECONDS
            while self.call("squeue", "--noheader") and time.monotonic() < deadline:
                time.sleep(0.1)
        except (OSError, subprocess.SubprocessError):
            pass
        for name in ("slurmctld.pid", "slurmd.pid", "munge/pid"):
            try:
                number = int((self.home / name).read_text())
                os.kill(number, signal.SIGTERM)
                self._wait(number)
            except (OSError, ValueError):
                continue
        shutil.rmtree(self.home, ignore_errors=True)

    def _wait(self, number):
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and running(number):
            time.sleep(0.05)


def running(number):
    """Whether a process does anything; one that nobody waits for stays in the table."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports
