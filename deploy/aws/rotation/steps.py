"""The four steps in which Secrets Manager rotates a secret. Each may be repeated."""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from deploy.aws.rotation.errors import RotationFailed
from deploy.aws.rotation.versions import CURRENT, PENDING, SecretVersions


class Step(StrEnum):
    """The steps, by the names that Secrets Manager gives them, in their order."""

    CREATE = "createSecret"
    SET = "setSecret"
    TEST = "testSecret"
    FINISH = "finishSecret"


class Rotated(Protocol):
    """A kind of secret."""

    def next_value(self, current: str) -> str:
        """A new value to follow the current one."""

    def set(self, current: str, pending: str) -> None:
        """Make the server accept the new value, while it still accepts the current one where that is in use."""

    def test(self, pending: str) -> None:
        """Raise unless the server accepts the new value."""


class Rotation:
    """One rotation of one secret; `start_deployments` lets the services read the new value."""

    def __init__(self, versions: SecretVersions, rotated: Rotated, start_deployments: Callable[[], None]) -> None:
        self._versions, self._rotated, self._start_deployments = versions, rotated, start_deployments

    def run(self, step: Step, version_id: str) -> None:
        """Do one step; raises `RotationFailed`, or the error of the server."""
        labels = self._versions.labels(version_id)
        if CURRENT in labels:
            # All done but perhaps the deployments, which the repeated last step starts again.
            if step is Step.FINISH:
                self._finish(version_id)
            return
        if PENDING not in labels:
            raise RotationFailed(f"version {version_id} is not pending; the rotation was cancelled")
        match step:
            case Step.CREATE:
                self._create(version_id)
            case Step.SET:
                self._rotated.set(self._versions.current(), self._pending(version_id))
            case Step.TEST:
                self._rotated.test(self._pending(version_id))
            case Step.FINISH:
                self._finish(version_id)

    def _create(self, version_id: str) -> None:
        if self._versions.pending(version_id) is None:
            self._versions.put_pending(version_id, self._rotated.next_value(self._versions.current()))

    def _finish(self, version_id: str) -> None:
        self._versions.make_current(version_id)
        self._start_deployments()

    def _pending(self, version_id: str) -> str:
        value = self._versions.pending(version_id)
        if value is None:
            raise RotationFailed(f"version {version_id} has no value; the step createSecret comes first")
        return value
