"""Where the tests' real servers are, whoever runs them: the environment, the laptop stack, or containers."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import msgspec

from deploy.local.stack.programs import BUCKET
from deploy.local.stack.stack import Stack

MONGODB_IMAGE = "mongo:8"
RABBITMQ_IMAGE = "rabbitmq:4"
S3_IMAGE = "rclone/rclone:1"
S3_KEY = ("converto-test", "converto-test-secret")


class Servers(msgspec.Struct, frozen=True):
    """What a test needs to reach the three servers."""

    mongodb_url: str
    rabbitmq_url: str
    s3_endpoint_url: str
    s3_access_key_id: str
    s3_secret_access_key: str

    @property
    def environment(self) -> dict[str, str]:
        """The same as CONVERTO_… variables for the services."""
        settings = {f"CONVERTO_{name.upper()}": value for name, value in msgspec.structs.asdict(self).items()}
        return settings | {"CONVERTO_S3_BUCKET": BUCKET, "CONVERTO_S3_CREATE_BUCKET": "true"}


def from_environment(environment: Mapping[str, str]) -> Servers | None:
    """Servers named by `CONVERTO_TEST_…`; None when none is named, an error when only some are."""
    variables = {name: f"CONVERTO_TEST_{name.upper()}" for name in Servers.__struct_fields__}
    missing = [variable for variable in variables.values() if not environment.get(variable)]
    if len(missing) == len(variables):
        return None
    if missing:
        raise LookupError(f"some servers for the tests are named, but not {', '.join(missing)}")
    return Servers(**{name: environment[variable] for name, variable in variables.items()})


def from_stack(stack: Stack) -> Servers:
    """Servers that a stack runs."""
    settings = stack.environment
    return Servers(**{name: settings[f"CONVERTO_{name.upper()}"] for name in Servers.__struct_fields__})


@contextmanager
def from_containers() -> Iterator[Servers | str]:
    """Servers in containers; a text that says why when Docker is not to be had."""
    import docker
    from docker.errors import DockerException
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy
    from testcontainers.mongodb import MongoDbContainer
    from testcontainers.rabbitmq import RabbitMqContainer

    try:
        docker.from_env().ping()
    except DockerException as error:
        yield f"Docker does not answer either: {error}"
        return
    s3 = (
        DockerContainer(S3_IMAGE)
        .with_command(f"serve s3 /data --addr :9000 --auth-key {','.join(S3_KEY)}")
        .with_exposed_ports(9000)
        .waiting_for(LogMessageWaitStrategy("Starting s3 server"))
    )
    with ExitStack() as containers:
        mongodb = containers.enter_context(MongoDbContainer(MONGODB_IMAGE))
        rabbitmq = containers.enter_context(RabbitMqContainer(RABBITMQ_IMAGE))
        containers.enter_context(s3)
        login = f"{rabbitmq.username}:{rabbitmq.password}"
        broker = f"{rabbitmq.get_container_host_ip()}:{rabbitmq.get_exposed_port(rabbitmq.port)}"
        store = f"{s3.get_container_host_ip()}:{s3.get_exposed_port(9000)}"
        yield Servers(
            mongodb_url=mongodb.get_connection_url(),
            rabbitmq_url=f"amqp://{login}@{broker}/",
            s3_endpoint_url=f"http://{store}",
            s3_access_key_id=S3_KEY[0],
            s3_secret_access_key=S3_KEY[1],
        )
