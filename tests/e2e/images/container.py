"""Runs an image's command as Docker would: its user, environment and folder, a read-only root, its own namespaces."""

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec

from tests.e2e.images.image import Image
from tests.e2e.images.network import LOOPBACK, Network

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
NSENTER, UNSHARE = (shutil.which(name) or name for name in ("nsenter", "unshare"))
# chroot, because the kernel then denies new user namespaces, as Docker's default seccomp profile does. pivot_root is
# for hosts that allow them.
ENTER = {"denied": 'exec chroot "$root"', "allowed": 'cd "$root" && pivot_root . mnt && umount -l /mnt && exec'}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a container runs: its network, a folder for its log and volumes, the server names it can resolve."""

    network: Network
    folder: Path
    hosts: Sequence[str] = ()


class Container:
    """One running container. `environment` comes on top of the image's, as Compose adds it."""

    def __init__(
        self,
        name: str,
        image: Image,
        place: Place,
        *,
        environment: Mapping[str, str],
        user_namespaces: str = "denied",
    ) -> None:
        # Like Docker's container ids, no two host names are the same: the health check of a worker looks for its own.
        self.name, self.image, self._place = f"{name}-{secrets.token_hex(4)}", image, place
        self._environment = {**image.environment, "HOME": "/nonexistent", "HOSTNAME": self.name, **environment}
        self._mode = user_namespaces
        self._log = place.folder / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = self._drop_privileges([*self.image.entry_point, *self.image.command])
        namespaces = [UNSHARE, "--mount", "--pid", "--ipc", "--uts", "--fork"]
        inside = [NSENTER, f"--net={self._place.network.path}", *namespaces, "/bin/sh", "-c", self._script(), self.name]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([*inside, *command], env=self._environment, stdout=log, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        """End every process of the container: the kernel ends a PID namespace with its first process.

        `unshare --kill-child` would not do: a change of user clears the signal at the death of the parent.
        """
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid(), signal.SIGKILL)
            self._process.wait()

    @property
    def log(self) -> str:
        """What the container printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_healthy(self, *, within_s: float = 60) -> None:
        """Run the image's health check until it passes; fails with the log when the container ends or time is up."""
        deadline = time.monotonic() + within_s
        while (checked := self.execute(self.image.health_check)).returncode:
            assert self.status() is None, f"{self.name} ended with {self.status()}:\n{self.log}"
            assert time.monotonic() < deadline, f"{self.name}: {checked.stdout}{checked.stderr}\n{self.log}"
            time.sleep(0.5)  # each check starts an interpreter, which a starting worker needs more

    def execute(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as `docker exec` does."""
        enter = [NSENTER, f"--target={self.pid()}", "--mount", "--pid", "--ipc", "--uts", "--net", "--root", "--wd"]
        return subprocess.run(
            [*enter, *self._drop_privileges(command)],
            env=self._environment, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip

    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll() if self._process else None

    def wait_ended(self, *, within_s: float = 60) -> int:
        """Wait for the end and return the exit status."""
        assert self._process is not None
        return self._process.wait(within_s)

    def stop(self) -> int:
        """Ask the process to stop, as `docker stop` does, and return its exit status."""
        os.kill(self.pid(), signal.SIGTERM)
        return self.wait_ended()

    def pid(self) -> int:
        """The machine's number of the process that is 1 inside."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        deadline = time.monotonic() + 10
        while not (listed := children.read_text().split()):
            assert self._process.poll() is None and time.monotonic() < deadline, self.log
        return int(listed[0])

    def _drop_privileges(self, command: Sequence[str]) -> list[str]:
        """`cap_drop: [ALL]`, `no-new-privileges` and the image's user and folder, with the image's own programs."""
        user, group = self.image.user.split(":")
        rights = [f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
        rights += ["--bounding-set=-all", "--inh-caps=-all"]
        return ["/usr/bin/setpriv", *rights, "/usr/bin/env", f"--chdir={self.image.folder}", *command]

    def _script(self) -> str:
        """The mounts, then the change of root; "$@" is the command."""
        root, quoted = self.image.root, shlex.quote(str(self.image.root))
        lines = ["set -e", f"root={quoted}", f"hostname {self.name}", 'mount --bind "$root" "$root"']
        lines += [
            f'mount --bind {shlex.quote(str(source))} "$root{target}"' for target, source in self._volumes().items()
        ]
        lines += ['mount -o remount,bind,ro "$root"', 'mount -t proc proc "$root/proc"']
        lines += ['mount --bind /sys "$root/sys"', 'mount -o remount,bind,ro "$root/sys"']
        lines += ['mount -t tmpfs -o size=256m,mode=1777 tmpfs "$root/tmp"', *self._device_mounts()]
        (root / "mnt").mkdir(exist_ok=True)
        return "\n".join([*lines, f'{ENTER[self._mode]} "$@"'])

    def _device_mounts(self) -> list[str]:
        paths = [f'"$root/dev/{name}"' for name in DEVICES]
        binds = [f'mount --bind /dev/{name} "$root/dev/{name}"' for name in DEVICES]
        shared = ['mkdir "$root/dev/shm"', 'mount -t tmpfs -o size=64m,mode=1777 tmpfs "$root/dev/shm"']
        links = ['ln -s /proc/self/fd "$root/dev/fd"']
        return [
            'mount -t tmpfs -o size=1m,mode=755 tmpfs "$root/dev"',
            f"touch {' '.join(paths)}",
            *binds,
            *shared,
            *links,
        ]

    def _volumes(self) -> dict[str, Path]:
        """New volumes with the content, owner and mode of the image's folder, and the files that Docker writes."""
        volumes = {path: self._place.folder / f"{self.name}{path.replace('/', '-')}" for path in self.image.volumes}
        for path, volume in volumes.items():
            subprocess.run(["cp", "--archive", f"{self.image.root}{path}", str(volume)], check=True)
        hosts = self._place.folder / f"{self.name}-hosts"
        hosts.write_text("".join(f"{LOOPBACK} {name}\n" for name in ("localhost", self.name, *self._place.hosts)))
        (self.image.root / "etc/hosts").touch()
        return {**volumes, "/etc/hosts": hosts}
