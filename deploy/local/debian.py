"""Installs Debian packages without starting their services. Standard library only."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

LIST = Path(__file__).with_name("packages.txt")
# Debian asks this script whether a package may start its service; exit status 101 denies it.
POLICY = Path("/usr/sbin/policy-rc.d")
NEVER_START = "#!/bin/sh\nexit 101\n"
# Services that these packages would start now and at boot, listening on all interfaces. The stack has its own broker.
SERVICES = {"rabbitmq-server": ("rabbitmq-server.service", "epmd.service", "epmd.socket")}


class CannotInstall(Exception):
    """The user has to install packages; the message contains the command."""


def wanted_packages() -> list[list[str]]:
    """Each package of the list, with its names in different releases."""
    lines = [line.strip() for line in LIST.read_text(encoding="utf-8").splitlines()]
    return [[name.strip() for name in line.split("|")] for line in lines if line and not line.startswith("#")]


def missing_packages(wanted: Iterable[list[str]]) -> list[str]:
    """Names to install: the first name known to apt, for each entry without an installed name."""
    entries = list(wanted)
    installed = installed_packages({name for names in entries for name in names} | {"libreoffice-core"})
    return [names[0] if len(names) == 1 else _first_known(names) for names in still_missing(entries, installed)]


def still_missing(wanted: Iterable[list[str]], installed: set[str]) -> list[list[str]]:
    """Entries without an installed name, with the names that do not conflict with installed packages."""
    missing = [names for names in wanted if not installed & set(names)]
    if "libreoffice-core" in installed:
        # The -nogui packages would remove an installed LibreOffice desktop.
        missing = [[name for name in names if not name.endswith("-nogui")] or names for names in missing]
    return missing


def installed_packages(names: Iterable[str]) -> set[str]:
    """Which of these packages are installed."""
    command = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *sorted(names)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # exits with 1 for unknown names
    rows = [line.split() for line in answer.stdout.splitlines()]
    return {row[0] for row in rows if row[1:] == ["installed"]}


def install(names: list[str]) -> None:
    """Install packages as root; raises `CannotInstall` with the command to run when not permitted."""
    root = as_root()
    if root is None:
        raise CannotInstall(f"packages are missing and this user may not install them. Run:\n  {by_hand(names)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--quiet"]
    subprocess.run([*apt, "update"], env=environment, check=True)
    with services_kept_down(root):
        # --no-remove: fail rather than remove the user's packages.
        options = ["--yes", "--no-install-recommends", "--no-remove"]
        subprocess.run([*apt, "install", *options, *names], env=environment, check=True)
    for name in names:
        keep_off(root, SERVICES.get(name, ()))


def as_root() -> list[str] | None:
    """The command prefix to become root; None when not permitted."""
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ["sudo", "-n"]
    return None


def by_hand(names: list[str]) -> str:
    """The command that the user has to run."""
    return f"sudo apt-get install --no-install-recommends {' '.join(names)}"


@contextmanager
def services_kept_down(root: list[str]) -> Iterator[None]:
    """Prevent packages from starting services; an existing policy is kept."""
    if POLICY.exists():
        yield
        return
    subprocess.run([*root, "tee", str(POLICY)], input=NEVER_START, text=True, stdout=subprocess.DEVNULL, check=True)
    subprocess.run([*root, "chmod", "755", str(POLICY)], check=True)
    try:
        yield
    finally:
        subprocess.run([*root, "rm", "-f", str(POLICY)], check=True)


def keep_off(root: list[str], services: Iterable[str]) -> None:
    """Disable services at boot; only for packages installed just now. Without systemd nothing would start."""
    if Path("/run/systemd/system").exists():
        for service in services:
            subprocess.run(
                [*root, "systemctl", "disable", "--now", "--quiet", service], capture_output=True, check=False
            )


def _first_known(names: list[str]) -> str:
    """The first name known to apt; the first of all when apt has no package lists."""
    for name in names:
        answer = subprocess.run(["apt-cache", "show", name], capture_output=True, check=False)
        if answer.returncode == 0 and answer.stdout:
            return name
    return names[0]
