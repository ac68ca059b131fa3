"""The images of deploy/docker built without Docker, the servers by their Compose names, and a running file service."""

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import msgspec
import pytest

from converto_infra.mongo.stores import MongoStores
from converto_infra.settings import Settings
from deploy.local.errors import ProgramMissing
from deploy.local.home import REPOSITORY
from deploy.local.stack.stack import SERVERS
from tests import compose_file
from tests.assets.make_samples import make_samples
from tests.conftest import running_stack, skip_or_fail
from tests.distributions import UV
from tests.e2e.images import debian, dockerfile
from tests.e2e.images.container import Container, Place
from tests.e2e.images.conversions import Converting
from tests.e2e.images.image import PYTHON_PACKAGES, Builder, Image
from tests.e2e.images.network import Network
from tests.servers import Servers, from_stack

FOLDER = REPOSITORY / "deploy/docker"
IMAGES = {
    "file-service": ("Dockerfile.file-service", "final"),
    **{f"worker-{target}": ("Dockerfile.worker", target) for target in ("image", "media", "model", "office")},
    "object-store": ("Dockerfile.object-store", "final"),
    "rotation": ("Dockerfile.rotation", "final"),
}
PROGRAMS = ("apt-get", "chroot", "dpkg-query", "nsenter", "setpriv", "tar", "unshare")
API_PORT = 8080

StartContainer = Callable[..., Container]


class Shared(msgspec.Struct, frozen=True):
    """What all containers of this run share: servers, the addresses they are reached by, and new secrets."""

    servers: Servers
    place: Place
    values: dict[str, str]
    overrides: dict[str, str]

    def environment_of(self, service: str) -> dict[str, str]:
        """What Compose would add to the environment of this service."""
        return compose_file.environment(service, self.values) | self.overrides


def text_of(name: str) -> str:
    """Return the content of a Dockerfile."""
    return (FOLDER / name).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def images() -> Iterator[Builder]:
    """A builder whose images live as long as this run."""
    if reason := why_not_here():
        pytest.skip(f"{reason}; the `containers` job in CI builds and runs the real images")
    folder = REPOSITORY / ".converto/tests"
    folder.mkdir(parents=True, exist_ok=True)
    built = Path(tempfile.mkdtemp(prefix="images-", dir=folder))
    try:
        builder = Builder(built)
        wanted = {name for file, _ in IMAGES.values() for name in dockerfile.packages(dockerfile.read(text_of(file)))}
        if missing := builder.missing({*wanted, *PYTHON_PACKAGES}):
            skip_or_fail(f"packages of the images are not installed here: apt-get install {' '.join(missing)}")
        yield builder
    finally:
        debian.run(["rm", "--recursive", "--force", str(built)])  # 150,000 files, four times faster than shutil


def why_not_here() -> str:
    """Say why this machine cannot build the images; empty when it can."""
    release = Path("/etc/os-release")
    if not release.exists() or not re.search(r"^VERSION_CODENAME=bookworm$", release.read_text(), re.MULTILINE):
        return "needs Debian 12, which the images are based on"
    if os.geteuid() != 0:
        return "needs root, to own files as in an image and to change the root folder"
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        return f"needs {', '.join(missing)}"
    return "" if UV.exists() else "needs uv from deploy/requirements/dev.txt"


@pytest.fixture(scope="session")
def image_servers() -> Iterator[Servers]:
    """Servers of their own: the services of the images take the messages of every test that shares their broker."""
    try:
        with running_stack("images", SERVERS) as stack:
            yield from_stack(stack)
    except ProgramMissing as missing:
        skip_or_fail(str(missing))


@pytest.fixture(scope="session")
def shared(images: Builder, image_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """The network with the servers in it, a database and a bucket of their own."""
    database, broker, store = (
        urlsplit(url) for url in (image_servers.mongodb_url, image_servers.rabbitmq_url, image_servers.s3_endpoint_url)
    )
    with Network() as network:
        for port, server in ((27017, database), (5672, broker), (9000, store)):
            network.reach_out(port, server.hostname or "", server.port or port)
        folder = tmp_path_factory.mktemp("containers")
        folder.chmod(0o755)
        login = f"{database.netloc.rpartition('@')[0]}@" if "@" in database.netloc else ""
        name = f"images-{secrets.token_hex(4)}"
        yield Shared(
            image_servers,
            Place(network=network, folder=folder, hosts=("mongodb", "rabbitmq", "object-store")),
            compose_file.example()
            | {
                "RABBITMQ_USER": broker.username or "guest",
                "RABBITMQ_PASSWORD": broker.password or "guest",
                "S3_ACCESS_KEY_ID": image_servers.s3_access_key_id,
                "S3_SECRET_ACCESS_KEY": image_servers.s3_secret_access_key,
                "S3_PORT": str(store.port),
            },
            # The database of the tests has other users than the one of Compose. One slot is enough to convert one file.
            {
                "CONVERTO_WORKER_SLOTS": "1",
                "CONVERTO_MONGODB_URL": f"mongodb://{login}mongodb:27017/?{database.query}",
                "CONVERTO_MONGODB_DATABASE": name,
                "CONVERTO_S3_BUCKET": name,
            },
        )


@pytest.fixture(scope="session")
def start_container(images: Builder, shared: Shared) -> StartContainer:
    """Returns a container of a Compose service, which runs as long as its context."""

    def start(service: str, *, image: Image | None = None, user_namespaces: str = "denied") -> Container:
        file, target = IMAGES[service]
        built = image or images.build(text_of(file), target)
        environment = shared.environment_of(service)
        return Container(service, built, shared.place, environment=environment, user_namespaces=user_namespaces)

    return start


@pytest.fixture(scope="session")
def file_service(images: Builder, start_container: StartContainer) -> Iterator[Container]:
    """The running file service; it stops in order at the end."""
    images.build_together((text_of("Dockerfile.file-service"), "final"), (text_of("Dockerfile.worker"), "image"))
    with start_container("file-service") as container:
        container.wait_healthy()
        yield container
        assert container.stop() == 0, container.log


@pytest.fixture(scope="session")
def image_worker(start_container: StartContainer, file_service: Container) -> Iterator[Container]:
    """The running image worker: plans of other workers end with its converters."""
    with start_container("worker-image") as container:
        container.wait_healthy()
        yield container
        assert container.stop() == 0, container.log


@pytest.fixture(scope="session")
def http(file_service: Container, shared: Shared) -> Iterator[httpx2.Client]:
    """A client of the file service in its container."""
    url = f"http://127.0.0.1:{shared.place.network.publish(API_PORT)}"
    key = shared.values["CONVERTO_BOOTSTRAP_API_KEY"]
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
async def converting(shared: Shared, http: httpx2.Client, samples: dict[str, Path]) -> AsyncIterator[Converting]:
    """The parts of a conversion through the containers, and the database that they use."""
    settings = Settings(
        mongodb_url=shared.servers.mongodb_url,
        mongodb_database=shared.overrides["CONVERTO_MONGODB_DATABASE"],
    )
    stores = MongoStores.connect(settings)
    yield Converting(http, stores, samples)
    await stores.close()


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One real file of each kind."""
    return make_samples(tmp_path_factory.mktemp("samples"))
