"""Installs what the stack needs: `python3 -m deploy.local.setup [--dev]`.

Standard library only: it runs before the rest. Safe to repeat: it looks first and does only what is missing, so that
nothing to do takes a fraction of a second.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from deploy.local import debian

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "converto-setup.json"
OLDEST_PYTHON = (3, 11)
# What to look for where there is no dpkg to ask.
PROGRAMS = ("rabbitmq-server", "soffice", "pdftoppm", "vips", "ffmpeg", "assimp", "bwrap", "prlimit")


class SetupFailed(Exception):
    """Something that this script cannot do by itself; the text says what the user has to do."""


def main() -> None:
    """Process entry: a failure is one message and exit status 1."""
    parser = argparse.ArgumentParser(prog="python3 -m deploy.local.setup", description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what checks and tests need")
    arguments = parser.parse_args()
    try:
        set_up("dev" if arguments.dev else "local")
    except (SetupFailed, debian.CannotInstall) as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: `{' '.join(map(str, error.cmd))}` failed with exit status {error.returncode}, see above")
    say("Everything is installed.")


def set_up(lock: str) -> None:
    """Install the machine's packages, the locked Python packages and the project, each where it is missing."""
    if sys.version_info < OLDEST_PYTHON:
        raise SetupFailed(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    install_packages()
    make_environment()
    install_locked(lock)
    install_project()
    compile_engines()


def install_packages() -> None:
    """The machine's own packages: by apt where there is apt, else only a look at what is there."""
    if not shutil.which("dpkg-query"):
        refuse_missing_programs()
        return
    wanted = debian.wanted_packages()
    if not PYTHON.exists() and not find_spec("ensurepip"):
        wanted.append([f"python3.{sys.version_info.minor}-venv"])
    missing = debian.missing_packages(wanted)
    if missing:
        say(f"Installing {len(missing)} packages: {' '.join(missing)}")
        debian.install(missing)


def refuse_missing_programs() -> None:
    """On other systems than Debian's kin the user installs the programs."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        raise SetupFailed(
            f"please install RabbitMQ, LibreOffice, poppler, libvips, ffmpeg, assimp, bubblewrap; not found: {missing}"
        )


def make_environment() -> None:
    """`.venv` with its own pip; made anew when the Python it was made with is gone."""
    if PYTHON.exists():
        return
    say(f"Making .venv with Python {sys.version.split()[0]}")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)


def install_locked(lock: str) -> None:
    """The locked packages, each checked against its hash; skipped when this very lock is installed already."""
    path = ROOT / "deploy" / "requirements" / f"{lock}.txt"
    # The developers' lock holds all of the other one.
    if is_stamped("dev", digest_of(path.with_name("dev.txt"))) or is_stamped(lock, digest_of(path)):
        return
    say(f"Installing the Python packages of {path.relative_to(ROOT)}, a minute or two")
    pip("--require-hashes", "--no-deps", "--requirement", str(path))
    stamp(lock, digest_of(path))


def install_project() -> None:
    """converto itself, in place: the sources stay where they are and `converto` is a command."""
    digest = digest_of(ROOT / "pyproject.toml")
    if is_stamped("project", digest) and (VENV / "bin" / "converto").exists():
        return
    say("Installing converto in place")
    pip("--no-deps", "--no-index", "--no-build-isolation", "--editable", str(ROOT))
    stamp("project", digest)


def compile_engines() -> None:
    """Write the bytecode of code that runs in the sandbox, which cannot write it; saves about 15 % of every start."""
    engines = ROOT / "libs" / "converto_engines"
    subprocess.run([str(PYTHON), "-m", "compileall", "-q", str(engines)], check=True)


def pip(*arguments: str) -> None:
    """`pip install` in `.venv`, quiet as long as all goes well."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    subprocess.run([*command, *arguments], cwd=ROOT, check=True)


def digest_of(path: Path) -> str:
    """Changes when the file does."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_stamped(name: str, digest: str) -> bool:
    """Whether this step was done for this very file, in this `.venv`."""
    return stamps().get(name) == digest


def stamp(name: str, digest: str) -> None:
    """Remember that a step is done. Another lock's stamp is void then: the packages may differ from it."""
    kept = {key: value for key, value in stamps().items() if key == "project" or name == "project"}
    STAMP.write_text(json.dumps(kept | {name: digest}))


def stamps() -> dict[str, str]:
    """What was done in this `.venv` so far."""
    return dict(json.loads(STAMP.read_text())) if STAMP.exists() else {}


def say(text: str) -> None:
    """To the terminal, before the program that works on it speaks."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
