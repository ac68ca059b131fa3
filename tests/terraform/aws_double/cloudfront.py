"""What the edge module asks of CloudFront and moto lacks: VPC origins, functions, response headers policies."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.cloudfront import models, urls
from moto.cloudfront.exceptions import CloudFrontException
from moto.cloudfront.responses import CloudFrontResponse
from moto.core.responses import ActionResult, EmptyResult

PATH = "{0}/2020-05-31"

kept: dict[tuple[str, str], dict[str, Any]] = {}
"""VPC origins and policies by kind and id."""


def install() -> None:
    """Add the answers to moto."""
    urls.url_paths.update(
        {
            f"{PATH}/vpc-origin$": CloudFrontResponse.dispatch,
            f"{PATH}/vpc-origin/(?P<origin_id>[^/]+)$": CloudFrontResponse.dispatch,
            f"{PATH}/response-headers-policy$": CloudFrontResponse.dispatch,
            f"{PATH}/response-headers-policy/(?P<policy_id>[^/]+)$": CloudFrontResponse.dispatch,
            f"{PATH}/function/(?P<function_name>[^/]+)/publish$": CloudFrontResponse.dispatch,
        }
    )
    for name, answer in ANSWERS.items():
        setattr(CloudFrontResponse, name, answer)
    _keep(models.Origin, "VpcOriginConfig", "vpc_origin_config")
    _keep(models.DefaultCacheBehaviour, "FunctionAssociations", "function_associations")
    _leave_out(models.DefaultCacheBehaviour, "ForwardedValues", "forwarded_values")
    _leave_out(models.ViewerCertificate, "IAMCertificateId", "iam_certificate_id")
    _leave_out(models.ViewerCertificate, "ACMCertificateArn", "acm_certificate_arn")


def _keep(model: type, setting: str, attribute: str) -> None:
    """Let a part of a distribution remember a setting that moto forgets."""
    original: Callable[[Any, dict[str, Any]], None] = model.__init__  # type: ignore[misc]

    def remember(self: Any, config: dict[str, Any]) -> None:
        original(self, config)
        if setting in config:
            setattr(self, attribute, config[setting])

    model.__init__ = remember  # type: ignore[misc]


def _leave_out(model: type, setting: str, attribute: str) -> None:
    """Answer nothing for a setting nobody made; moto makes one up, and Terraform would change the distribution."""
    original: Callable[[Any, dict[str, Any]], None] = model.__init__  # type: ignore[misc]

    def forget(self: Any, config: dict[str, Any]) -> None:
        is_set = bool(config.get(setting))
        original(self, config)
        if not is_set:
            setattr(self, attribute, None)

    model.__init__ = forget  # type: ignore[misc]


def _publish_function(response: CloudFrontResponse) -> ActionResult:
    function = response.backend.describe_function(name=response._get_param("Name"))
    function.stage, function.status = "LIVE", "DEPLOYED"
    return ActionResult({"FunctionSummary": function.function_summary})


def _create_vpc_origin(response: CloudFrontResponse) -> ActionResult:
    config = response._get_param("VpcOriginEndpointConfig", {})
    identity = f"vo_{len(kept):022d}"
    arn = f"arn:aws:cloudfront::{response.current_account}:vpcorigin/{identity}"
    made = {
        "Id": identity,
        "Arn": arn,
        "Status": "Deployed",
        "CreatedTime": datetime.now(UTC),
        "LastModifiedTime": datetime.now(UTC),
        "VpcOriginEndpointConfig": config,
    }
    kept["vpc origin", identity] = made
    response.backend.tagger.tag_resource(arn, response._get_param("Tags.Items", []))
    return ActionResult({"VpcOrigin": made, "ETag": "1", "Location": arn})


def _get_vpc_origin(response: CloudFrontResponse) -> ActionResult:
    return ActionResult({"VpcOrigin": _found("vpc origin", response, "EntityNotFound"), "ETag": "1"})


def _delete_vpc_origin(response: CloudFrontResponse) -> ActionResult:
    found = _found("vpc origin", response, "EntityNotFound")
    del kept["vpc origin", found["Id"]]
    return ActionResult({"VpcOrigin": found, "ETag": "1"})


def _create_policy(response: CloudFrontResponse) -> ActionResult:
    config = response._get_param("ResponseHeadersPolicyConfig", {})
    identity = f"policy-{len(kept)}"
    made = {"Id": identity, "LastModifiedTime": datetime.now(UTC), "ResponseHeadersPolicyConfig": config}
    kept["policy", identity] = made
    return ActionResult({"ResponseHeadersPolicy": made, "ETag": "1", "Location": identity})


def _get_policy(response: CloudFrontResponse) -> ActionResult:
    found = _found("policy", response, "NoSuchResponseHeadersPolicy")
    return ActionResult({"ResponseHeadersPolicy": found, "ETag": "1"})


def _delete_policy(response: CloudFrontResponse) -> EmptyResult:
    del kept["policy", _found("policy", response, "NoSuchResponseHeadersPolicy")["Id"]]
    return EmptyResult()


def _found(kind: str, response: CloudFrontResponse, error: str) -> dict[str, Any]:
    identity = str(response._get_param("Id"))
    if (kind, identity) not in kept:
        raise CloudFrontException(error, f"{identity} does not exist")  # Terraform waits for it after a deletion
    return kept[kind, identity]


ANSWERS = {
    "publish_function": _publish_function,
    "create_vpc_origin": _create_vpc_origin,
    "get_vpc_origin": _get_vpc_origin,
    "delete_vpc_origin": _delete_vpc_origin,
    "create_response_headers_policy": _create_policy,
    "get_response_headers_policy": _get_policy,
    "delete_response_headers_policy": _delete_policy,
}
