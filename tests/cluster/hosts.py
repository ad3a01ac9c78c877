"""Hosts of one machine's own, for tests of a Ray cluster. Not a test itself.

Each host is a process tree with a network, process ids, hostname, home, /tmp/ray, /dev/shm and /run
of its own. The rest of the file system is the machine's, and so serves as what the hosts share.
Host 0 is the user's desk, from which `ray up` is called; the others run sshd. Their network hangs
on the desk: nothing is named on the machine itself, nothing of it can be reached from there, and
all of it is gone once the processes are, whatever ended the test.

Needs Linux, root, iproute2, util-linux, openssh-server and rsync.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

NETWORK = "10.87.41"
#: Debian's packages of the tools that a host needs.
TOOLS = {
    "ip": "iproute2",
    "ss": "iproute2",
    "/usr/sbin/sshd": "openssh-server",
    "ssh": "openssh-client",
    "rsync": "rsync",
}
#: Seconds to wait for a host to answer.
PATIENCE = 60

#: Where Ray's launcher keeps its SSH connections, whatever TMPDIR says.
RAY_SSH = Path("/tmp") / f"ray_ssh_{hashlib.sha256(b'root').hexdigest()[:10]}"
#: What a host does first, so that what it writes is its own: `$1` is its folder, `$2` its number,
#: `$3` is RAY_SSH.
BOOT = """
set -e
hostname "dae$2"
mount --make-rprivate /
mkdir -p "$1/home" "$1/ray" "$1/ssh" /tmp/ray "$3"
mount --bind "$1/ray" /tmp/ray
mount --bind "$1/ssh" "$3"
sed "s|^\\(root:.*:\\).*\\(:.*\\)|\\1$1/home\\2|" /etc/passwd > "$1/passwd"
mount --bind "$1/passwd" /etc/passwd
mount -t tmpfs -o size=2g tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd
mount -t proc proc /proc
touch "$1/booted"
"""
SSHD = """
Port 22
HostKey {folder}/hostkey
AuthorizedKeysFile {folder}/id.pub
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
PidFile none
SetEnv PYTHONPATH={home}/dae-study
Subsystem sftp internal-sftp
"""


def missing() -> str:
    """Why there can be no hosts here, or nothing; missing tools are installed if possible."""
    if os.geteuid() != 0:
        return "three hosts on one machine need root"
    if _absent() and shutil.which("apt-get"):
        _install(sorted({TOOLS[tool] for tool in _absent()}))
    if _absent():
        packages = ", ".join(sorted({TOOLS[tool] for tool in _absent()}))
        return f"three hosts on one machine need {packages}"
    probe = "ip link add name br type bridge && ip link add name v type veth peer name w"
    probe += " && mount -t tmpfs tmpfs /mnt"
    done = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "bash", "-c", probe], capture_output=True
    )
    return f"no namespaces here: {done.stderr.decode().strip()}" if done.returncode else ""


def _absent() -> list[str]:
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def _install(packages: list[str]) -> None:
    """Install without starting a service: Debian's policy script forbids it for as long."""
    policy, made = Path("/usr/sbin/policy-rc.d"), False
    if not policy.exists():
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        made = True
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = {
        "env": environment,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "timeout": 300,
    }
    try:
        subprocess.run(["apt-get", "-qq", "update"], **quiet)
        subprocess.run(
            ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages], **quiet
        )
    except subprocess.TimeoutExpired:
        pass  # the tools are looked for again
    finally:
        if made:
            policy.unlink()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Hosts:
    """Host 0, the desk, and hosts 1 to `n`, at 10.87.41.1 and so on; all end with the context."""

    def __init__(self, n: int = 3):
        self.n = n
        self.folder = Path(
            tempfile.mkdtemp(prefix="dae-hosts-")
        )  # short: Ray's sockets have paths of 107 bytes at most
        self.processes: dict[int, subprocess.Popen] = {}

    def __enter__(self) -> Hosts:
        try:
            for name in ("id", "hostkey"):
                subprocess.run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name],
                    check=True,
                )
            self._boot(0, "exec sleep infinity")
            for command in (
                "link add hub type bridge",
                f"addr add {NETWORK}.254/24 dev hub",
                "link set hub up",
            ):
                self._ip(0, command)
            self._ip(0, "link set lo up")
            for i in range(1, self.n + 1):
                self.start(i)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        for process in reversed(self.processes.values()):
            process.kill()
        for process in self.processes.values():
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # not where somebody else uses it
            RAY_SSH.rmdir()

    def address(self, i: int) -> str:
        """Its address, without a port."""
        return f"{NETWORK}.{i or 254}"

    def home(self, i: int) -> Path:
        """The home of root there."""
        return self.folder / str(i) / "home"

    def ray(self, i: int) -> Path:
        """What is /tmp/ray there."""
        return self.folder / str(i) / "ray"

    def start(self, i: int) -> None:
        """Start a host, or start one again that was killed: with nothing of what it had."""
        shutil.rmtree(self.folder / str(i), ignore_errors=True)
        config = self.folder / f"sshd_config{i}"
        config.write_text(SSHD.format(folder=self.folder, home=self.home(i)))
        self._boot(i, f"exec /usr/sbin/sshd -D -f {config} -E {self.folder}/sshd{i}.log")
        # the same after a new start, or the others would look for the old one
        mac = f"02:00:00:00:00:{i:02x}"
        self._ip(0, f"link add to{i} type veth peer name eth0 address {mac} netns {self.pid(i)}")
        for command in (f"link set to{i} master hub", f"link set to{i} up"):
            self._ip(0, command)
        for command in (
            f"addr add {self.address(i)}/24 dev eth0",
            "link set eth0 up",
            "link set lo up",
        ):
            self._ip(i, command)
        self._ip(
            i, f"route add default via {self.address(0)}"
        )  # Ray asks for the way out to learn its own address
        check = ["ssh", *self.ssh_options(), f"root@{self.address(i)}", "true"]
        _wait(
            lambda: self.run(0, shlex.join(check), check=False).returncode == 0,
            f"host {i} does not answer",
        )

    def ssh_options(self) -> list[str]:
        """For ssh from the desk."""
        key = ["-i", str(self.folder / "id")]
        return [
            *key,
            "-q",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "ConnectTimeout=2",
        ]

    def _boot(self, i: int, last: str) -> None:
        own = self.folder / str(i)
        own.mkdir()
        command = [
            "unshare",
            "--net",
            "--mount",
            "--uts",
            "--pid",
            "--ipc",
            "--fork",
            "--kill-child",
            "bash",
            "-c",
        ]
        with open(self.folder / f"boot{i}.log", "wb") as log:
            self.processes[i] = subprocess.Popen(
                [*command, BOOT + last, "bash", str(own), str(i), str(RAY_SSH)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        _wait((own / "booted").exists, f"host {i} does not boot")

    def pid(self, i: int) -> int:
        """The host's first process, as the machine counts them."""
        parent = self.processes[i].pid
        return int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0])

    def pids(self, i: int) -> list[int]:
        """All of the host's processes, as the machine counts them."""
        own = os.readlink(f"/proc/{self.pid(i)}/ns/pid")
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and os.readlink(entry / "ns" / "pid") == own:
                    found.append(int(entry.name))
            except OSError:  # it has ended
                continue
        return found

    def commands(self, i: int) -> list[str]:
        """The command lines of the host's processes."""
        found = []
        for pid in self.pids(i):
            with suppress(OSError):
                found.append(
                    Path(f"/proc/{pid}/cmdline")
                    .read_bytes()
                    .replace(b"\0", b" ")
                    .decode(errors="replace")
                )
        return found

    def _ip(self, i: int, command: str) -> None:
        subprocess.run(
            ["nsenter", f"--net=/proc/{self.pid(i)}/ns/net", "ip", *command.split()], check=True
        )

    def popen(self, i: int, command: str, **options) -> subprocess.Popen:
        """Start a shell command on a host, not through SSH: it ends with the host or the test."""
        home = str(self.home(i))
        environment = {
            "HOME": home,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{home}/dae-study",
            "LANG": "C.UTF-8",
        }
        environment |= {"TMPDIR": str(self.folder / str(i)), "LOGNAME": "root"}
        enter = [
            "nsenter",
            f"--target={self.pid(i)}",
            "--net",
            "--mount",
            "--uts",
            "--pid",
            "--ipc",
        ]
        options = {"stdin": subprocess.DEVNULL, "text": True, "start_new_session": True, **options}
        environment |= options.pop("env", {})
        return subprocess.Popen(
            [*enter, "--", "bash", "-c", f"cd {home}; {command}"],
            env=environment,
            preexec_fn=_die_with_parent,
            **options,
        )

    def run(
        self, i: int, command: str, timeout: float = 300, check: bool = True, **options
    ) -> subprocess.CompletedProcess:
        """Run a shell command on a host; with `check`, a failure fails the test with its output."""
        process = self.popen(i, command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        try:
            out, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, errors = process.communicate()
            errors += f"\n(ended after {timeout} s)"
        assert process.returncode == 0 or not check, f"host {i}: {command}\n{out}\n{errors}"
        return subprocess.CompletedProcess(command, process.returncode, out, errors)

    def cut(self, i: int) -> None:
        """Take a host off the network."""
        self._ip(0, f"link set to{i} down")

    def join(self, i: int) -> None:
        """Bring it back."""
        self._ip(0, f"link set to{i} up")

    def kill(self, i: int) -> None:
        """End a host at once, with all its processes."""
        process = self.processes.pop(i)
        process.kill()
        process.wait()


def _wait(condition, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)
