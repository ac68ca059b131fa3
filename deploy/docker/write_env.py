"""Writes `.env` for docker compose from `.env.example`, with new secrets: `python3 deploy/docker/write_env.py`.

Standard library only, because it runs before converto is installed. An existing `.env` is never changed.
"""

import os
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = re.compile(r"^([A-Z0-9_]+)=$", re.MULTILINE)


def filled(example: str) -> str:
    """Return the example with a random value for every empty name; only characters that are safe in URLs."""
    return PLACEHOLDER.sub(lambda match: f"{match[1]}={_secret(match[1])}", example)


def _secret(name: str) -> str:
    if name.endswith("API_KEY"):
        return f"cvt_{secrets.token_hex(6)}_{secrets.token_hex(32)}"
    return secrets.token_hex(10 if name.endswith("KEY_ID") else 24)


def main(folder: Path = ROOT) -> int:
    """Write `.env` in the folder of `.env.example`; return 0, or 1 if it exists already."""
    target = folder / ".env"
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.stderr.write(f"{target} already exists and was not changed. Move it away to get new secrets.\n")
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as written:
        written.write(filled((folder / ".env.example").read_text(encoding="utf-8")))
    sys.stdout.write(f"Wrote {target}. Next: docker compose up --build --wait\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
