"""Health for load balancers and people; needs no API key."""

from litestar import Response, get
from litestar.di import NamedDependency

from file_service.health import HealthCheck
from file_service.http.schemas import Alive, Health

TAGS = ["health"]


@get("/health/live", tags=TAGS, summary="Does the process answer?")
async def live() -> Alive:
    """Says nothing about what is behind it: restarting this process would not bring a database back."""
    return Alive()


@get("/health/ready", tags=TAGS, summary="Can requests be served?")
async def ready(doctor: NamedDependency[HealthCheck]) -> Response[Health]:
    """503 without database or object store; without the broker alone 200 and `degraded`: work is kept for later."""
    health = await doctor.examine()
    return Response(health, status_code=503 if health.status == "unavailable" else 200)


@get("/health", tags=TAGS, summary="Is everything well?")
async def whole(doctor: NamedDependency[HealthCheck]) -> Response[Health]:
    """503 when any dependency is away."""
    health = await doctor.examine()
    return Response(health, status_code=200 if health.status == "ok" else 503)
