"""The two files that a rollout reads: the release says what to run, the environment (from Terraform) where."""

import re
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from deploy.aws.errors import Refused

BY_DIGEST = re.compile(r"[a-z0-9][\w.:/-]*@sha256:[0-9a-f]{64}")
Minutes = Annotated[int, msgspec.Meta(ge=0, le=24 * 60)]
Name = Annotated[str, msgspec.Meta(min_length=1)]


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version and the image of each service, by digest."""

    release: Name
    images: dict[str, str]

    def __post_init__(self) -> None:
        """Raise ValueError for an image that a tag names: a tag can be moved after it was scanned and approved."""
        for service, image in self.images.items():
            if not is_by_digest(image):
                raise ValueError(f"the image of {service} must be named by digest (…@sha256:…), not as {image!r}")


class TargetGroups(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """ARNs of the two target groups; which of them serves changes with each deployment."""

    blue: Name
    green: Name


class Smoke(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The smoke test against the test listener."""

    url: Name
    server_name: str = ""
    """The name in the listener's certificate, when the URL has another one."""
    minutes: Minutes = 10
    command: tuple[str, ...] = ("python", "/opt/converto/smoke.py")


class FileService(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The service behind the load balancer."""

    service: Name
    container: Name
    port: int
    target_groups: TargetGroups
    production_rule: Name
    test_rule: Name
    infrastructure_role: Name
    smoke: Smoke
    alarms: tuple[str, ...] = ()
    bake_minutes: Minutes = 5
    timeout_minutes: Minutes = 60


class WorkerService(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One service of workers."""

    service: Name
    container: Name
    alarms: tuple[str, ...] = ()
    timeout_minutes: Minutes = 30


class ScheduledTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task definition family that a schedule starts by its name, so that it always runs the latest revision."""

    family: Name
    container: Name
    image_of: str = "file-service"


class Environment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a release runs."""

    region: Name
    cluster: Name
    file_service: FileService
    workers: tuple[WorkerService, ...] = ()
    scheduled: tuple[ScheduledTask, ...] = ()
    drain_minutes: Minutes = 20
    """How long old workers may finish what they run; then they hand it back to the queue."""

    @property
    def services(self) -> tuple[FileService | WorkerService, ...]:
        """All services, in the order of a rollback."""
        return (self.file_service, *self.workers)


Input = TypeVar("Input", Release, Environment)


def is_by_digest(image: str) -> bool:
    """Return whether an image is named by its content."""
    return BY_DIGEST.fullmatch(image) is not None


def read(path: Path, kind: type[Input]) -> Input:
    """Read one of the two files; raise `Refused` with the field that is wrong."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise Refused(f"{path}: {error}") from error
    except ValueError as error:
        raise Refused(f"{path}: {error}") from error


def check_match(environment: Environment, release: Release) -> None:
    """Raise `Refused` unless the release has an image for each service; it may have more, for other environments."""
    wanted = {one.service for one in environment.services} | {one.image_of for one in environment.scheduled}
    if missing := sorted(wanted - set(release.images)):
        raise Refused(f"release {release.release} has no image for {', '.join(missing)}")
