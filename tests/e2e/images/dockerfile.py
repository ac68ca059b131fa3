"""Reads a Dockerfile into its stages, each a list of instructions in order."""

import json
import re
import shlex
from typing import NamedTuple

NO_EFFECT = ("apt-get update", "rm -rf /var/lib/apt/lists/*")
"""Commands that only serve the download of packages."""
INSTALL = ["apt-get", "install", "-y", "--no-install-recommends"]


class Instruction(NamedTuple):
    """One instruction with its arguments as written; continued lines are joined."""

    name: str
    rest: str

    @property
    def source_stage(self) -> str:
        """The stage that COPY takes its files from; empty for the repository and for other instructions."""
        return self.rest.split()[0].removeprefix("--from=") if self.rest.startswith("--from=") else ""

    @property
    def commands(self) -> list[list[str]]:
        """The commands of RUN, without those that only serve the download of packages."""
        if self.name != "RUN":
            return []
        parts = [part.strip() for part in self.rest.split("&&")]
        return [shlex.split(part) for part in parts if part not in NO_EFFECT]

    @property
    def values(self) -> dict[str, str]:
        """The names and values of ENV and LABEL, not yet interpolated."""
        return dict(pair.split("=", 1) for pair in shlex.split(self.rest))

    @property
    def command(self) -> list[str]:
        """The JSON list in CMD, ENTRYPOINT, VOLUME or HEALTHCHECK, which starts no shell; `NONE` is an empty one."""
        if self.rest == "NONE":
            return []
        return list(json.loads(self.rest[self.rest.index("[") :]))


class Stage(NamedTuple):
    """One FROM and what follows it. `base` is an image of a registry or an earlier stage."""

    name: str
    base: str
    instructions: list[Instruction]


def read(text: str) -> dict[str, Stage]:
    """Return the stages by name in order; the last one is also found as "final" when it has no name."""
    stages: dict[str, Stage] = {}
    for instruction in instructions_of(text):
        if instruction.name == "FROM":
            base, _, name = instruction.rest.partition(" AS ")
            stage = Stage(name or "final", base, [])
            stages[stage.name] = stage
        else:
            stage.instructions.append(instruction)
    return stages


def needed_by(stages: dict[str, Stage], name: str) -> list[str]:
    """Return the stages that this one is built from, itself included."""
    stage = stages[name]
    sources = [instruction.source_stage for instruction in stage.instructions]
    below = [needed for needed in (stage.base, *sources) if needed in stages]
    return [*(deeper for needed in below for deeper in needed_by(stages, needed)), name]


def packages(stages: dict[str, Stage]) -> set[str]:
    """Return the names of all Debian packages that the stages install."""
    commands = [command for stage in stages.values() for run in stage.instructions for command in run.commands]
    return {name for command in commands if command[: len(INSTALL)] == INSTALL for name in command[len(INSTALL) :]}


def instructions_of(text: str) -> list[Instruction]:
    """Return the instructions in order, without comments."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    return [Instruction(*line.split(" ", 1)) for line in joined.splitlines() if line.strip()]
