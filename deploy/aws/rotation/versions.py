"""The versions of one secret in Secrets Manager, by their staging labels."""

from typing import Any

from botocore.exceptions import ClientError

from deploy.aws.rotation.errors import RotationFailed

CURRENT, PENDING = "AWSCURRENT", "AWSPENDING"


class SecretVersions:
    """Reads and writes the versions of one secret; `client` is boto3's `secretsmanager`."""

    def __init__(self, client: Any, arn: str) -> None:
        self._client, self._arn = client, arn

    def labels(self, version_id: str) -> list[str]:
        """The staging labels of the version that a rotation is about; raises `RotationFailed` when there is none."""
        versions = self._versions()
        if version_id not in versions:
            raise RotationFailed(f"{self._arn} has no version {version_id}; only Secrets Manager may start a rotation")
        return versions[version_id]

    def current(self) -> str:
        """The value that services read; raises `RotationFailed` when there is none."""
        value = self._value(VersionStage=CURRENT)
        if value is None:
            raise RotationFailed(f"{self._arn} has no current value")
        return value

    def pending(self, version_id: str | None = None) -> str | None:
        """The value that a rotation is about to make current; None before it has been written."""
        version = {"VersionId": version_id} if version_id else {}
        return self._value(VersionStage=PENDING, **version)

    def put_pending(self, version_id: str, value: str) -> None:
        """Write the value of a version."""
        self._client.put_secret_value(
            SecretId=self._arn, ClientRequestToken=version_id, SecretString=value, VersionStages=[PENDING]
        )

    def make_current(self, version_id: str) -> None:
        """Let services read this version from now on."""
        for known, labels in self._versions().items():
            if CURRENT in labels and known != version_id:
                self._client.update_secret_version_stage(
                    SecretId=self._arn, VersionStage=CURRENT, MoveToVersionId=version_id, RemoveFromVersionId=known
                )
        # A pending label that stays would look like a rotation that still runs.
        if PENDING in self.labels(version_id):
            self._client.update_secret_version_stage(
                SecretId=self._arn, VersionStage=PENDING, RemoveFromVersionId=version_id
            )

    def _versions(self) -> dict[str, list[str]]:
        described = self._client.describe_secret(SecretId=self._arn)
        versions: dict[str, list[str]] = described.get("VersionIdsToStages", {})
        return versions

    def _value(self, **version: str) -> str | None:
        try:
            value: str = self._client.get_secret_value(SecretId=self._arn, **version)["SecretString"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise
        return value
