"""Runs rabbitmqctl on the broker of a laptop stack."""

import subprocess
from pathlib import Path

from deploy.local.stack.programs import rabbitmq_server
from deploy.local.stack.stack import Stack

CONTROL_WITHIN_S = 60.0  # rabbitmqctl starts an Erlang VM: half a second of work on an idle core


def control_broker(stack: Stack, *command: str) -> None:
    """Run one command of rabbitmqctl; raises `RuntimeError` with its output when it fails."""
    started_with = Path(f"/proc/{stack.pids['rabbitmq']}/environ").read_text().split("\0")
    done = subprocess.run(
        [Path(rabbitmq_server()).with_name("rabbitmqctl"), "-n", "converto@localhost", *command],
        env=dict(variable.split("=", 1) for variable in started_with if "=" in variable),
        check=False,
        timeout=CONTROL_WITHIN_S,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise RuntimeError(f"rabbitmqctl {' '.join(command)}: {done.stdout[-500:]}")
