"""Installs Debian packages into an empty folder from the files of the same packages on this machine.

It is the second stage of debootstrap: apt chooses the packages, their files are copied as if unpacked, and dpkg runs
their real maintainer scripts. Nothing is downloaded.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

DPKG = Path("/var/lib/dpkg")
# Debian's slim images tell dpkg to leave these out, so programs cannot rely on them.
LEFT_OUT = tuple(f"/usr/share/{name}/" for name in ("doc", "groff", "info", "lintian", "linda", "locale", "man"))
MERGED = ("bin", "lib", "lib64", "sbin")
"""Folders of the root that are links into /usr, made before any package is unpacked."""
TOP_FOLDERS = (
    *(f"usr/{name}" for name in MERGED),
    "usr/local/bin",
    "dev",
    "etc",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "var/lib/dpkg",
)
# Mounts exist in the script's own mount namespace only, so they disappear with it. dpkg flushes its records to disk
# several times for each package; in memory that costs nothing.
CONFIGURE = """
set -e
mount -t tmpfs tmpfs "$1/mnt"
cp --archive "$1/var/lib/dpkg/." "$1/mnt"
mount --bind "$1/mnt" "$1/var/lib/dpkg"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin DEBIAN_FRONTEND=noninteractive dpkg --configure --pending
umount "$1/var/lib/dpkg"
cp --archive "$1/mnt/." "$1/var/lib/dpkg"
"""


class Machine:
    """The packages of this machine, offered to apt as a repository in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._write_repository()

    @cached_property
    def _records(self) -> dict[str, str]:
        """dpkg's record of each installed package."""
        records = (DPKG / "status").read_text(encoding="utf-8").split("\n\n")
        installed = [record.strip() for record in records if "\nStatus: install ok installed\n" in record]
        return {record.split("\n", 1)[0].removeprefix("Package: "): record for record in installed}

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return which of these packages this machine does not have."""
        return sorted(set(names) - set(self._records))

    @property
    def minimal(self) -> list[str]:
        """The packages of debootstrap's smallest variant, which Debian's slim images are made of."""
        required = re.compile(r"^(Priority: required|Essential: yes)$", re.MULTILINE)
        return ["apt", *(name for name, record in self._records.items() if required.search(record))]

    def install(self, names: Sequence[str], root: Path) -> list[str]:
        """Install these packages and what they depend on, without recommendations; return what was added."""
        added = self._chosen_by_apt(names, root)
        unpack(added, root)
        self._register(added, root)
        configure(root)
        return added

    def _write_repository(self) -> None:
        for name in ("cache/archives/partial", "etc/preferences.d", "lists/partial", "packages"):
            (self._folder / name).mkdir(parents=True)
        # apt simulates only: the archives it would fetch need not exist.
        archive = f"Size: 1\nSHA256: {'0' * 64}\n"
        offers = [f"{_without_state(record)}\nFilename: {name}\n{archive}" for name, record in self._records.items()]
        (self._folder / "packages" / "Packages").write_text("\n".join(offers), encoding="utf-8")
        (self._folder / "sources.list").write_text(f"deb [trusted=yes] file:{self._folder}/packages ./\n")
        self._apt("update")

    def _chosen_by_apt(self, names: Sequence[str], root: Path) -> list[str]:
        status = root / "var/lib/dpkg/status"
        simulated = self._apt("--simulate", "--no-install-recommends", "install", *names, status=status)
        return re.findall(r"^Inst (\S+)", simulated, re.MULTILINE)

    def _apt(self, *arguments: str, status: Path = Path(os.devnull)) -> str:
        places = {
            "Dir::State": self._folder,
            "Dir::State::lists": self._folder / "lists",
            "Dir::State::status": status,
            "Dir::Cache": self._folder / "cache",
            "Dir::Etc": self._folder / "etc",
            "Dir::Etc::sourcelist": self._folder / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        return run(
            ["apt-get", "--quiet", "--yes", *(f"-o{name}={value}" for name, value in places.items()), *arguments]
        )

    def _register(self, names: Iterable[str], root: Path) -> None:
        """Tell dpkg in `root` that these packages are unpacked and not yet configured."""
        unpacked = [
            re.sub("^Status: .*$", "Status: install ok unpacked", self._records[name], flags=re.M) for name in names
        ]
        with (root / "var/lib/dpkg/status").open("a", encoding="utf-8") as status:
            status.writelines(f"{record}\n\n" for record in unpacked)
        wanted = set(names)
        for path in (DPKG / "info").iterdir():
            if path.name.rpartition(".")[0].partition(":")[0] in wanted:
                shutil.copy2(path, root / "var/lib/dpkg/info")


def make_root(root: Path) -> None:
    """Make an empty root file system with dpkg's folders."""
    for name in TOP_FOLDERS:
        (root / name).mkdir(parents=True)
    for name in MERGED:
        (root / name).symlink_to(f"usr/{name}")
    for name in ("alternatives", "info", "triggers", "updates"):
        (root / "var/lib/dpkg" / name).mkdir()
    (root / "var/lib/dpkg/status").touch()
    shutil.copy2(DPKG / "info/format", root / "var/lib/dpkg/info")
    for name in ("passwd", "group"):  # the first scripts already need the users
        shutil.copyfile(f"/usr/share/base-passwd/{name}.master", root / "etc" / name)


def files_of(names: Sequence[str]) -> list[str]:
    """Return the files and folders of packages that the slim images keep, by their real folders."""
    listed = run(["dpkg-query", "--listfiles", *names]).splitlines() if names else []
    real = {_in_real_folder(line) for line in listed if line.startswith("/") and line != "/."}
    return sorted(path for path in real if not path.startswith(LEFT_OUT) and os.path.lexists(path))


def unpack(names: Sequence[str], root: Path) -> None:
    """Copy the packages' files with owners, modes and links."""
    files = b"\0".join(os.fsencode(path.lstrip("/")) for path in files_of(names))
    packing = ["tar", "--create", "--directory=/", "--no-recursion", "--null", "--files-from=-"]
    extracting = ["tar", "--extract", "--preserve-permissions", f"--directory={root}"]
    with tempfile.TemporaryFile() as listed:
        listed.write(files)
        listed.seek(0)
        with subprocess.Popen(packing, stdin=listed, stdout=subprocess.PIPE) as packed:
            subprocess.run(extracting, stdin=packed.stdout, check=True, timeout=100)
    assert packed.returncode == 0, "tar could not read all files of the packages"


def configure(root: Path) -> None:
    """Run the packages' maintainer scripts and triggers inside `root`."""
    run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", CONFIGURE, "configure", str(root)])


def run(command: Sequence[str], *, timeout_s: float = 100) -> str:
    """Run a program and return its output; a failure shows what it printed."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout_s
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def _without_state(record: str) -> str:
    record = re.sub(r"^Status: .*\n", "", record, flags=re.M)
    return re.sub(r"^Conffiles:\n(?: .*\n?)*", "", record, flags=re.M).rstrip()


def _in_real_folder(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{os.path.realpath(folder or '/').rstrip('/')}/{name}"
