"""The function that AWS Lambda calls: it builds the rotation of one secret and does one step of it."""

import logging
import os
from functools import partial
from typing import Any

import boto3
import msgspec
from botocore.config import Config

from deploy.aws.rotation.administrator import Administrator
from deploy.aws.rotation.api_key import FirstApiKey
from deploy.aws.rotation.broker import BrokerAdministrator, BrokerLogin
from deploy.aws.rotation.configuration import ApiKey, Broker, BrokerBootstrap, Database, SealingKey, Secret, load
from deploy.aws.rotation.database import DatabaseLogin
from deploy.aws.rotation.deployments import start_deployments
from deploy.aws.rotation.sealing_key import SealingKeys
from deploy.aws.rotation.steps import Rotated, Rotation, Step
from deploy.aws.rotation.versions import SecretVersions

log = logging.getLogger(__name__)
AWS = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 6})


class Request(msgspec.Struct, frozen=True, rename="pascal"):
    """What Secrets Manager sends."""

    step: Step
    secret_id: str
    client_request_token: str


def handle(event: dict[str, Any], _context: object = None) -> None:
    """Do one step; an exception tells Secrets Manager that it failed."""
    request = msgspec.convert(event, Request)
    configuration = load(os.environ)
    secret = configuration.secret(request.secret_id)
    secrets_client: Any = boto3.client("secretsmanager", config=AWS)
    ecs: Any = boto3.client("ecs", config=AWS)
    rotation = Rotation(
        SecretVersions(secrets_client, request.secret_id),
        rotated(secret, secrets_client),
        partial(start_deployments, ecs, configuration.cluster, secret.services),
    )
    rotation.run(request.step, request.client_request_token)
    log.info("%s of %s is done", request.step, request.secret_id)


def rotated(secret: Secret, secrets_client: Any) -> Rotated:
    """The code for this kind of secret."""
    match secret:
        case Database():
            return DatabaseLogin(secret, Administrator(SecretVersions(secrets_client, secret.admin_secret_arn)))
        case Broker():
            return BrokerLogin(secret, Administrator(SecretVersions(secrets_client, secret.admin_secret_arn)))
        case BrokerBootstrap():
            return BrokerAdministrator(secret)
        case ApiKey():
            return FirstApiKey()
        case SealingKey():
            return SealingKeys()
