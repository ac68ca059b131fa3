"""An image that lacks a package, a copied folder or a locked module is found out when its own command runs."""

import shutil

import pytest

from tests.e2e.images.conftest import StartContainer, text_of
from tests.e2e.images.image import Builder, Image, inside

# The first test builds the images; it takes half a minute on an idle machine.
pytestmark = pytest.mark.timeout(600)

FILE_SERVICE = text_of("Dockerfile.file-service")
WORKER = text_of("Dockerfile.worker")


@pytest.fixture
def image(images: Builder) -> Image:
    """A copy of the file service's image, for a test that removes parts of it."""
    return images.copy(images.build(FILE_SERVICE, "final"))


def without(text: str, part: str) -> str:
    """Leave one occurrence of a part out of a Dockerfile."""
    assert text.count(f"{part} \\\n") == 1
    return text.replace(f"{part} \\\n", " \\\n")


def test_missing_debian_package_stops_the_file_service(images: Builder, start_container: StartContainer) -> None:
    image = images.build(without(FILE_SERVICE, " libmagic1"), "final")

    assert_ends(start_container, "file-service", image, reason="failed to find libmagic")


def test_missing_program_stops_the_worker(images: Builder, start_container: StartContainer) -> None:
    image = images.build(without(WORKER, " ffmpeg"), "media")

    assert_ends(start_container, "worker-media", image, reason="worker_cannot_work")


def test_missing_copy_stops_the_file_service(image: Image, start_container: StartContainer) -> None:
    shutil.rmtree(inside(image, "/opt/converto/libs/converto_infra"))

    assert_ends(start_container, "file-service", image, reason="No module named 'converto_infra'")


def test_missing_lock_entry_stops_the_file_service(image: Image, start_container: StartContainer) -> None:
    (packages,) = image.root.glob("opt/converto/venv/lib/python3*/site-packages")
    shutil.rmtree(packages / "uvicorn")

    assert_ends(start_container, "file-service", image, reason="No module named 'uvicorn'")


def assert_ends(start_container: StartContainer, service: str, image: Image, *, reason: str) -> None:
    """The container ends by itself, with a failure that names the reason."""
    with start_container(service, image=image) as container:
        assert container.wait_ended() != 0
        assert reason in container.log
