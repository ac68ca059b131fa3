"""`/health` for load balancers and people; needs no API key."""

from litestar import Response, get
from litestar.di import NamedDependency

from file_service.health import HealthCheck
from file_service.http.schemas.health import Alive, Health

TAGS = ["health"]


@get("/health/live", tags=TAGS, summary="Is the process alive?")
async def live() -> Alive:
    """Does not check dependencies: restarting this process would not bring a database back."""
    return Alive()


@get("/health/ready", tags=TAGS, summary="Can the service take requests?")
async def ready(health: NamedDependency[HealthCheck]) -> Response[Health]:
    """Responds 503 without database or object store. Without the broker, or with a fault in a part of a
    dependency, work is stored: 200 and `degraded`."""
    report = await health.check()
    return Response(report, status_code=503 if report.status == "unavailable" else 200)


@get("/health", tags=TAGS, summary="Are all dependencies healthy?")
async def whole(health: NamedDependency[HealthCheck]) -> Response[Health]:
    """Responds 503 unless the status is `ok`.

    `degraded`: requests are answered and stored, but the broker is away, or a part of a dependency has a fault; its
    `faults` say what to do. `unavailable`: the database or the object store is away. `engines_not_answering` names
    installed conversion programs that do not answer yet; it does not change the status.
    """
    report = await health.check()
    return Response(report, status_code=200 if report.status == "ok" else 503)
