"""The object store's command and health check run with what Compose gives them (behaviour I14)."""

from pathlib import Path

import msgspec
import pytest

from tests import compose_file
from tests.e2e.images.conftest import text_of
from tests.e2e.images.container import Container, Place
from tests.e2e.images.image import Builder
from tests.e2e.images.network import Network

pytestmark = pytest.mark.timeout(600)  # see test_images.py


def test_object_store_answers_its_health_check(images: Builder, tmp_path: Path) -> None:
    service = compose_file.SERVICES["object-store"]
    image = images.build(text_of("Dockerfile.object-store"), "final")
    composed = msgspec.structs.replace(
        image, command=service["command"], health_check=service["healthcheck"]["test"][1:]
    )
    environment = compose_file.environment("object-store", compose_file.example())
    with (
        Network() as network,
        Container("store", composed, Place(network=network, folder=tmp_path), environment=environment) as container,
    ):
        container.wait_healthy()
        assert image.health_check == composed.health_check
        assert container.execute(["rclone", "mkdir", "itself:bucket"]).returncode == 0
        assert container.execute(["rclone", "lsf", "itself:"]).stdout == "bucket/\n"
