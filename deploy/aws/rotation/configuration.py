"""What the function rotates; Terraform writes it into CONVERTO_ROTATION (terraform/modules/secrets/rotation.tf)."""

from collections.abc import Mapping

import msgspec

from deploy.aws.rotation.errors import RotationFailed

VARIABLE = "CONVERTO_ROTATION"


class Database(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="database"):
    """The services' user in the database. `url` is the services' URL, `services` the ECS services that use it."""

    url: str
    admin_secret_arn: str
    database: str
    user: str
    services: tuple[str, ...] = ()


class Broker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="broker"):
    """The services' user on the broker. `url` is the services' URL."""

    url: str
    management_url: str
    admin_secret_arn: str
    user: str
    services: tuple[str, ...] = ()


class BrokerBootstrap(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="broker_bootstrap"
):
    """The broker's administrator, which only this function uses."""

    management_url: str
    services: tuple[str, ...] = ()


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="api_key"):
    """The first API key, which the file service stores when it starts."""

    services: tuple[str, ...] = ()


class SealingKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="sealing_key"):
    """The keys that seal passwords of sources, which the services read when they start."""

    services: tuple[str, ...] = ()


Secret = Database | Broker | BrokerBootstrap | ApiKey | SealingKey


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All secrets by ARN, and the ECS cluster of the services."""

    cluster: str
    secrets: dict[str, Secret]

    def secret(self, arn: str) -> Secret:
        """What this secret is; raises `RotationFailed` for one that is not ours."""
        if arn not in self.secrets:
            raise RotationFailed(f"{arn} is not in {VARIABLE}")
        return self.secrets[arn]


def load(environment: Mapping[str, str]) -> Configuration:
    """Read the configuration; raises `RotationFailed`."""
    try:
        return msgspec.json.decode(environment.get(VARIABLE, ""), type=Configuration)
    except msgspec.DecodeError as error:
        raise RotationFailed(f"{VARIABLE} is not usable: {error}") from error
