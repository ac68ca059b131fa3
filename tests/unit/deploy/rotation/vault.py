"""A Secrets Manager in memory: versions and labels of one account, as far as a rotation uses them."""

from typing import Any

from botocore.exceptions import ClientError


class FakeVault:
    """Has the methods of boto3's client that a rotation calls."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, list[str]]] = {}
        self.values: dict[str, dict[str, str]] = {}

    def create(self, arn: str, value: str) -> None:
        self.labels[arn], self.values[arn] = {"first": ["AWSCURRENT"]}, {"first": value}

    def start_rotation(self, arn: str, version_id: str) -> None:
        self.labels[arn][version_id] = ["AWSPENDING"]

    def current(self, arn: str) -> str:
        value: str = self.get_secret_value(SecretId=arn)["SecretString"]
        return value

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return {"VersionIdsToStages": {version: list(labels) for version, labels in self.labels[SecretId].items()}}

    def get_secret_value(
        self,
        *,
        SecretId: str,  # noqa: N803
        VersionStage: str = "AWSCURRENT",  # noqa: N803
        VersionId: str | None = None,  # noqa: N803
    ) -> dict[str, Any]:
        for version, labels in self.labels[SecretId].items():
            if VersionStage in labels and VersionId in (None, version) and version in self.values[SecretId]:
                return {"SecretString": self.values[SecretId][version]}
        raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetSecretValue")

    def put_secret_value(
        self,
        *,
        SecretId: str,  # noqa: N803
        ClientRequestToken: str,  # noqa: N803
        SecretString: str,  # noqa: N803
        VersionStages: list[str],  # noqa: N803
    ) -> None:
        self.values[SecretId][ClientRequestToken] = SecretString
        self.labels[SecretId][ClientRequestToken] = VersionStages

    def update_secret_version_stage(
        self,
        *,
        SecretId: str,  # noqa: N803
        VersionStage: str,  # noqa: N803
        MoveToVersionId: str | None = None,  # noqa: N803
        RemoveFromVersionId: str | None = None,  # noqa: N803
    ) -> None:
        versions = self.labels[SecretId]
        if RemoveFromVersionId:
            versions[RemoveFromVersionId].remove(VersionStage)
        if MoveToVersionId:
            versions[MoveToVersionId].append(VersionStage)
