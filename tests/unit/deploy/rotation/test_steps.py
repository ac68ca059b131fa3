"""The four steps: in order, repeated, interrupted and out of place."""

import pytest

from deploy.aws.rotation.errors import RotationFailed
from deploy.aws.rotation.steps import Rotation, Step
from deploy.aws.rotation.versions import SecretVersions
from tests.unit.deploy.rotation.vault import FakeVault

ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:database"


class CountedSecret:
    """A secret whose values are numbers, and a server that remembers what it was given."""

    def __init__(self) -> None:
        self.made = 0
        self.set_values: list[tuple[str, str]] = []
        self.tested: list[str] = []

    def next_value(self, current: str) -> str:
        self.made += 1
        return f"{current}+{self.made}"

    def set(self, current: str, pending: str) -> None:
        self.set_values.append((current, pending))

    def test(self, pending: str) -> None:
        self.tested.append(pending)


@pytest.fixture
def vault() -> FakeVault:
    fake = FakeVault()
    fake.create(ARN, "old")
    fake.start_rotation(ARN, "v2")
    return fake


@pytest.fixture
def secret() -> CountedSecret:
    return CountedSecret()


@pytest.fixture
def deployments() -> list[str]:
    return []


@pytest.fixture
def rotation(vault: FakeVault, secret: CountedSecret, deployments: list[str]) -> Rotation:
    return Rotation(SecretVersions(vault, ARN), secret, lambda: deployments.append(vault.current(ARN)))


def test_four_steps_make_the_new_value_current(
    rotation: Rotation, vault: FakeVault, secret: CountedSecret, deployments: list[str]
) -> None:
    for step in Step:
        rotation.run(step, "v2")

    assert secret.set_values == [("old", "old+1")]
    assert secret.tested == ["old+1"]
    assert vault.labels[ARN] == {"first": [], "v2": ["AWSCURRENT"]}
    assert deployments == ["old+1"], "a deployment before the value is current would read the old one"


def test_repeated_create_keeps_the_value(rotation: Rotation, secret: CountedSecret) -> None:
    rotation.run(Step.CREATE, "v2")
    rotation.run(Step.CREATE, "v2")

    assert secret.made == 1


def test_old_value_stays_current_until_the_last_step(rotation: Rotation, vault: FakeVault) -> None:
    for step in (Step.CREATE, Step.SET, Step.TEST):
        rotation.run(step, "v2")

        assert vault.current(ARN) == "old"


def test_finished_rotation_does_no_step_again(rotation: Rotation, secret: CountedSecret) -> None:
    for step in (*Step, Step.CREATE, Step.SET, Step.TEST):
        rotation.run(step, "v2")

    assert (secret.made, len(secret.set_values), len(secret.tested)) == (1, 1, 1)


def test_repeated_finish_starts_deployments_again(rotation: Rotation, deployments: list[str]) -> None:
    for step in (*Step, Step.FINISH):
        rotation.run(step, "v2")

    assert len(deployments) == 2


def test_set_before_create_is_refused(rotation: Rotation) -> None:
    with pytest.raises(RotationFailed, match="createSecret comes first"):
        rotation.run(Step.SET, "v2")


def test_version_that_nobody_announced_is_refused(rotation: Rotation) -> None:
    with pytest.raises(RotationFailed, match="only Secrets Manager may start a rotation"):
        rotation.run(Step.CREATE, "v3")


def test_cancelled_rotation_is_refused(rotation: Rotation, vault: FakeVault) -> None:
    vault.labels[ARN]["v2"] = []

    with pytest.raises(RotationFailed, match="cancelled"):
        rotation.run(Step.SET, "v2")
