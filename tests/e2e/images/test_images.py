"""The images' own commands run natively, each with nothing but what its image holds (behaviour I14).

Every container gets the user, environment, read-only root and health check of its Dockerfile and Compose service, the
Debian packages and locked Python packages of its image, and only the files that it copies.
"""

import pytest

from tests.e2e.images.conftest import StartContainer
from tests.e2e.images.container import Container
from tests.e2e.images.conversions import CONVERSIONS, Converting

# The first test builds the images; it takes half a minute on an idle machine.
pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("service", [name for name in CONVERSIONS if name != "worker-image"])
async def test_worker_converts_with_its_own_packages(
    service: str, start_container: StartContainer, image_worker: Container, converting: Converting
) -> None:
    with start_container(service) as container:
        container.wait_healthy()
        await converting.expect_all_converters(container)
        converting.convert(CONVERSIONS[service])
        assert container.stop() == 0, container.log


async def test_image_worker_converts_with_its_own_packages(image_worker: Container, converting: Converting) -> None:
    await converting.expect_all_converters(image_worker)
    converting.convert(CONVERSIONS["worker-image"])


async def test_worker_uses_bubblewrap_where_the_host_allows(
    start_container: StartContainer, image_worker: Container, converting: Converting
) -> None:
    with start_container("worker-media", user_namespaces="allowed") as container:
        container.wait_healthy()
        assert (await converting.record_of(container)).sandbox == "bubblewrap"
        assert (await converting.record_of(image_worker)).sandbox == "seccomp", (
            "chroot denies namespaces, as Docker does"
        )
        converting.convert([("tone.wav", "flac")])  # not from the cache: no other test asks for it


def test_containers_have_no_privileges(file_service: Container) -> None:
    status = file_service.execute(["cat", "/proc/1/status", "/proc/self/status"]).stdout
    assert status.count("CapBnd:\t0000000000000000") == 2
    assert status.count("NoNewPrivs:\t1") == 2
    assert file_service.execute(["touch", "/opt/converto/new"]).returncode != 0


def test_file_service_image_also_keeps_house(file_service: Container) -> None:
    assert file_service.execute(["python", "-m", "file_service.housekeeping", "--once"]).returncode == 0
