"""Writes `.env` for docker compose from `.env.example`, with fresh secrets: `python3 deploy/docker/write_env.py`.

Standard library only: it runs before anything of converto is installed. An `.env` that is there is never touched.
"""

import os
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = re.compile(r"^([A-Z0-9_]+)=$", re.MULTILINE)


def filled(example: str) -> str:
    """The example with a random value for every name that has none; only letters and digits, so URLs can hold them."""
    return PLACEHOLDER.sub(lambda match: f"{match[1]}={_secret(match[1])}", example)


def _secret(name: str) -> str:
    if name.endswith("API_KEY"):
        return f"cvt_{secrets.token_hex(6)}_{secrets.token_hex(32)}"
    return secrets.token_hex(10 if name.endswith("KEY_ID") else 24)


def main() -> int:
    """0 when written, 1 when there is one already."""
    target = ROOT / ".env"
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.stderr.write(f"{target} is there already and stays as it is. Move it away to get new secrets.\n")
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as written:
        written.write(filled((ROOT / ".env.example").read_text(encoding="utf-8")))
    sys.stdout.write(f"Wrote {target}. Next: docker compose up --build --wait\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
