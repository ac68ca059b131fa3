"""The reader of Dockerfiles that tests/e2e/images builds images with."""

from tests.e2e.images import dockerfile

TEXT = """# syntax=docker/dockerfile:1
FROM debian:12.12-slim AS build
# hadolint ignore=DL3008
RUN apt-get update \\
    && apt-get install -y --no-install-recommends python3 \\
        python3-venv \\
    && rm -rf /var/lib/apt/lists/* \\
    && useradd --uid 10001 "a user"
FROM build AS image
COPY --from=build /opt/converto /opt/converto
ENV PATH=/opt/bin:$PATH \\
    NAME="two words"
HEALTHCHECK --interval=20s --retries=3 \\
    CMD ["python", "healthy.py"]
FROM image
HEALTHCHECK NONE
"""


def test_stages_are_found_with_what_they_need() -> None:
    stages = dockerfile.read(TEXT)

    assert [(stage.name, stage.base) for stage in stages.values()] == [
        ("build", "debian:12.12-slim"),
        ("image", "build"),
        ("final", "image"),
    ]
    assert dockerfile.needed_by(stages, "build") == ["build"]
    assert set(dockerfile.needed_by(stages, "final")) == {"build", "image", "final"}


def test_commands_of_run_leave_out_the_download_of_packages() -> None:
    (run,) = dockerfile.read(TEXT)["build"].instructions

    assert run.commands == [
        [*dockerfile.INSTALL, "python3", "python3-venv"],
        ["useradd", "--uid", "10001", "a user"],
    ]
    assert dockerfile.packages(dockerfile.read(TEXT)) == {"python3", "python3-venv"}


def test_arguments_of_other_instructions_are_read() -> None:
    stages = dockerfile.read(TEXT)
    copy, environment, health_check = stages["image"].instructions

    assert copy.source_stage == "build"
    assert environment.values == {"PATH": "/opt/bin:$PATH", "NAME": "two words"}
    assert health_check.command == ["python", "healthy.py"]
    assert stages["final"].instructions[0].command == []
