"""Writes `.env` for docker compose from `.env.example` with new secrets: `python3 deploy/docker/write_env.py`.

Standard library only, because it runs before anything is installed. An existing `.env` is never changed.
"""

import os
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = re.compile(r"^([A-Z0-9_]+)=$", re.MULTILINE)


def filled(example: str) -> str:
    """Fill each empty value with a random one, made of characters that URLs accept."""
    return PLACEHOLDER.sub(lambda match: f"{match[1]}={_secret(match[1])}", example)


def _secret(name: str) -> str:
    if name.endswith("API_KEY"):
        return f"cvt_{secrets.token_hex(6)}_{secrets.token_hex(32)}"
    if name.endswith("SEALING_KEY"):
        return secrets.token_hex(32)
    return secrets.token_hex(10 if name.endswith("KEY_ID") else 24)


def main() -> int:
    """0 when written, 1 when `.env` exists."""
    target = ROOT / ".env"
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.stderr.write(f"{target} already exists and was not changed. Move it away to get new secrets.\n")
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as written:
        written.write(filled((ROOT / ".env.example").read_text(encoding="utf-8")))
    sys.stdout.write(f"Wrote {target}. Next: docker compose up --build --wait\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
