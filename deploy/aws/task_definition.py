"""Makes the next revision of a task definition: the latest settings with another image."""

from collections.abc import Mapping, Sequence
from typing import Any

from deploy.aws.errors import Refused
from deploy.aws.release import is_by_digest

RELEASE_TAG = "converto:release"
ANSWER_ONLY = frozenset(
    {
        *("taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities"),
        *("registeredAt", "registeredBy", "deregisteredAt", "deleteRequestedAt"),
    }
)
"""What DescribeTaskDefinition returns and RegisterTaskDefinition does not take."""

Definition = Mapping[str, Any]


def with_image(described: Definition, container: str, image: str) -> dict[str, Any]:
    """Return the request that registers the described definition with another image; raise `Refused`."""
    request = settings_of(described)
    containers = [dict(one) for one in request["containerDefinitions"]]
    named = [one for one in containers if one["name"] == container]
    if not named:
        raise Refused(f"task definition {request['family']} has no container {container}")
    named[0]["image"] = image
    if by_tag := [one["image"] for one in containers if not is_by_digest(one["image"])]:
        raise Refused(f"task definition {request['family']} names images by tag: {', '.join(by_tag)}. Use digests")
    return {**request, "containerDefinitions": containers}


def settings_of(described: Definition) -> dict[str, Any]:
    """Return the part of a definition that was registered, without empty fields, for comparison and for a copy."""
    registered = {name: value for name, value in described.items() if name not in ANSWER_ONLY}
    return {name: value for name, value in registered.items() if value not in ("", [], {}, None)}


def image_of(described: Definition, container: str) -> str:
    """Return the image of one container, "" if there is no such container."""
    return next((str(one["image"]) for one in described["containerDefinitions"] if one["name"] == container), "")


def tags_with_release(tags: Sequence[Mapping[str, str]], release: str) -> list[dict[str, str]]:
    """Return the tags of a definition with the release; names that AWS reserves cannot be set."""
    kept = [dict(tag) for tag in tags if tag["key"] != RELEASE_TAG and not tag["key"].startswith("aws:")]
    return [*kept, {"key": RELEASE_TAG, "value": release}]


def family_of(arn: str) -> str:
    """Return the family in the ARN of a task definition."""
    return arn.rpartition("/")[2].partition(":")[0]


def short(arn: str) -> str:
    """Return `family:revision` of an ARN, for reports."""
    return arn.rpartition("/")[2]
