"""Installs Debian packages and leaves no new server running. Standard library only; it knows no Python packages."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

LIST = Path(__file__).with_name("packages.txt")
# Debian's answer to "may a package start its service?"; 101 says no.
POLICY = Path("/usr/sbin/policy-rc.d")
NEVER_START = "#!/bin/sh\nexit 101\n"
# What these packages would start now and at every boot, listening on all networks. The stack runs its own broker.
SERVICES = {"rabbitmq-server": ("rabbitmq-server.service", "epmd.service", "epmd.socket")}


class CannotInstall(Exception):
    """The user has to install something; the text says what and how."""


def wanted_packages() -> list[list[str]]:
    """Each package of the list with the names that other releases give it."""
    lines = [line.strip() for line in LIST.read_text(encoding="utf-8").splitlines()]
    return [[name.strip() for name in line.split("|")] for line in lines if line and not line.startswith("#")]


def missing_packages(wanted: Iterable[list[str]]) -> list[str]:
    """Names to install: for each entry none of whose names is installed, the first one that apt knows."""
    entries = list(wanted)
    installed = installed_packages({name for names in entries for name in names} | {"libreoffice-core"})
    return [names[0] if len(names) == 1 else _first_known(names) for names in still_missing(entries, installed)]


def still_missing(wanted: Iterable[list[str]], installed: set[str]) -> list[list[str]]:
    """Entries none of whose names is installed, each with the names that fit beside what is."""
    missing = [names for names in wanted if not installed & set(names)]
    if "libreoffice-core" in installed:
        # The packages without a desktop would remove LibreOffice's desktop ones.
        missing = [[name for name in names if not name.endswith("-nogui")] or names for names in missing]
    return missing


def installed_packages(names: Iterable[str]) -> set[str]:
    """Which of these packages are installed."""
    command = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *sorted(names)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # unknown names give status 1
    rows = [line.split() for line in answer.stdout.splitlines()]
    return {row[0] for row in rows if row[1:] == ["installed"]}


def install(names: list[str]) -> None:
    """Install packages as root; raises `CannotInstall` with the command to type when we may not."""
    root = as_root()
    if root is None:
        raise CannotInstall(
            f"these packages are missing, and this user may not install them. Please run:\n  {by_hand(names)}"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--quiet"]
    subprocess.run([*apt, "update"], env=environment, check=True)
    with services_kept_down(root):
        # --no-remove: rather fail than take away what the user has.
        options = ["--yes", "--no-install-recommends", "--no-remove"]
        subprocess.run([*apt, "install", *options, *names], env=environment, check=True)
    for name in names:
        keep_off(root, SERVICES.get(name, ()))


def as_root() -> list[str] | None:
    """What to put before a command to run it as root; None when we may not."""
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ["sudo", "-n"]
    return None


def by_hand(names: list[str]) -> str:
    """The command for the user."""
    return f"sudo apt-get install --no-install-recommends {' '.join(names)}"


@contextmanager
def services_kept_down(root: list[str]) -> Iterator[None]:
    """No package starts its service meanwhile; a policy that stands already is left alone."""
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
    """Not at the next boot either. Only called for what we have just installed; without systemd nothing would start."""
    if Path("/run/systemd/system").exists():
        for service in services:
            subprocess.run(
                [*root, "systemctl", "disable", "--now", "--quiet", service], capture_output=True, check=False
            )


def _first_known(names: list[str]) -> str:
    """The first name that apt has a package for; the first of all when apt has never been updated."""
    for name in names:
        answer = subprocess.run(["apt-cache", "show", name], capture_output=True, check=False)
        if answer.returncode == 0 and answer.stdout:
            return name
    return names[0]
