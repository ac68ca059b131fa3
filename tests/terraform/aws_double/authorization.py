"""Puts the evaluation of policies into moto, which on its own ignores conditions, boundaries and most resources.

moto's switch stays in charge: `POST /moto-api/reset-auth` with "0" turns the checks on, with "inf" off.
"""

import json
import threading
from datetime import UTC, datetime
from typing import Any

from moto import settings
from moto.core.exceptions import AccessDeniedError, JsonRESTError
from moto.core.responses import BaseResponse
from moto.iam.access_control import PermissionResult
from moto.iam.models import iam_backends
from moto.s3.exceptions import S3AccessDeniedError
from moto.s3.models import FakeBucket, s3_backends
from moto.s3.responses import ACTION_MAP
from moto.sqs.models import sqs_backends

from tests.terraform.aws_double.calls import PARTITION, Request, needed, values_of
from tests.terraform.aws_double.evaluation import Call, Decision, Policies, decide
from tests.terraform.aws_double.signatures import Invalid, Signer, signer_of

PREFIXES = {"monitoring": "cloudwatch"}
"""IAM's name of a service where it differs from the name in signatures."""

SUBRESOURCES = {
    "GET": {
        "encryption": "GetEncryptionConfiguration",
        "ownershipControls": "GetBucketOwnershipControls",
        "publicAccessBlock": "GetBucketPublicAccessBlock",
        "replication": "GetReplicationConfiguration",
    },
    "PUT": {
        "encryption": "PutEncryptionConfiguration",
        "ownershipControls": "PutBucketOwnershipControls",
        "publicAccessBlock": "PutBucketPublicAccessBlock",
        "replication": "PutReplicationConfiguration",
    },
}
"""Calls that moto would check as ListBucket or CreateBucket."""


BODY = "converto.body"
"""Where a request keeps its body as it came; Flask has it no more once it has parsed a form."""


class Journal:
    """Every decision since the last reset, in order."""

    def __init__(self) -> None:
        self._lock, self._entries = threading.Lock(), []  # type: ignore[var-annotated]

    def add(self, call: Call, decision: Decision, role: str | None) -> None:
        with self._lock:
            self._entries.append(
                {
                    "role": role,
                    "action": call.action,
                    "resource": call.resource,
                    "allowed": decision.is_allowed,
                    "reason": decision.reason,
                }
            )

    def take(self) -> str:
        """All entries as JSON; the journal is empty afterwards."""
        with self._lock:
            taken, self._entries = self._entries, []
        return json.dumps(taken)


journal = Journal()


def install() -> None:
    """Replace moto's own checks."""
    BaseResponse._authenticate_and_authorize_action = _authorize  # type: ignore[method-assign]
    # moto applies a bucket's denials without their conditions, even while its checks are off.
    FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL  # type: ignore[method-assign]
    for method, actions in SUBRESOURCES.items():
        ACTION_MAP["BUCKET"][method].update(actions)


def _authorize(response: Any, _moto_request: type, _resource: str = "*") -> None:
    """Raise the service's error unless every call that the request needs is allowed."""
    flask_request = _request_of(response)
    is_preflight = flask_request.method == "OPTIONS"  # browsers send these without a signature
    if settings.INITIAL_NO_AUTH_ACTION_COUNT > 0 or is_preflight:
        return
    try:
        signer = signer_of(flask_request, flask_request.environ[BODY], response.current_account)
    except Invalid as invalid:
        journal.add(Call(str(response._get_action()), "*", {}), Decision(False, str(invalid)), None)
        _refuse(response, str(invalid))
        return
    request = _needs_of(response, flask_request, signer)
    for call in needed(request):
        if call.action == "sts:GetCallerIdentity":
            continue
        decision = decide(call, _policies(request, signer, call))
        journal.add(call, decision, signer.role_name if signer else None)
        if not decision.is_allowed:
            _refuse(response, f"{call.action} on {call.resource}: {decision.reason}")


def _request_of(response: Any) -> Any:
    from flask import request  # the request of this thread

    return request


def _needs_of(response: Any, flask_request: Any, signer: Signer | None) -> Request:
    service = signer.service if signer else response.service_name
    region = signer.region if signer else response.region
    action = response._get_action()
    is_s3 = service == "s3"
    body = flask_request.environ[BODY]
    path_values = getattr(response, "uri_match", None) or {}
    return Request(
        service=PREFIXES.get(service, service),
        action=action[0] if isinstance(action, list) else action,
        region=region,
        account=response.current_account,
        values=values_of(_parameters(response, flask_request, is_s3=is_s3), b"" if is_s3 else body, dict(path_values)),
        context=_context(flask_request, signer, region, response.current_account),
        principal=signer.session_arn if signer else None,
        bucket=response.bucket_name if is_s3 else None,
        key=_key(response) if is_s3 else None,
        headers=flask_request.headers,
        body=body,
    )


def _parameters(response: Any, flask_request: Any, *, is_s3: bool) -> dict[str, Any]:
    return flask_request.args.to_dict(flat=False) if is_s3 else dict(response.querystring)


def _key(response: Any) -> str | None:
    return response.parse_key_name() or None


def _context(flask_request: Any, signer: Signer | None, region: str, account: str) -> dict[str, str]:
    is_tls = flask_request.scheme == "https"
    found = {"aws:SecureTransport": str(is_tls).lower(), "aws:RequestedRegion": region}
    if is_tls:
        found["s3:TlsVersion"] = _tls_version(flask_request)
    if signer is not None:
        found["aws:PrincipalAccount"] = account
        found["aws:PrincipalArn"] = f"arn:{PARTITION}:iam::{account}:role/{signer.role_name}"
        found["aws:PrincipalIsAWSService"] = "false"
        found["s3:signatureAge"] = str(int((datetime.now(UTC) - signer.signed_at).total_seconds() * 1000))
    return found


def _tls_version(flask_request: Any) -> str:
    """`TLSv1.3` → 1.3, from the socket of the connection."""
    return str(flask_request.environ["werkzeug.socket"].version()).removeprefix("TLSv")


def _policies(request: Request, signer: Signer | None, call: Call) -> Policies:
    if signer is None:
        return Policies(identity=(), resource=_resource_policy(request, call))
    backend = iam_backends[request.account][PARTITION]
    role = backend.get_role(signer.role_name)
    attached = [_default_version(policy) for policy in role.managed_policies.values()]
    boundary = role.permissions_boundary_arn
    return Policies(
        identity=[*role.policies.values(), *attached],
        boundary=_default_version(backend.managed_policies[boundary]) if boundary else None,
        resource=_resource_policy(request, call),
    )


def _default_version(policy: Any) -> str:
    return next(version.document for version in policy.versions if version.is_default)


def _resource_policy(request: Request, call: Call) -> str | None:
    service, name = call.action.split(":")[0], call.resource.rpartition(":")[2]
    if service == "s3":
        bucket = s3_backends[request.account][PARTITION].buckets.get(name.partition("/")[0])
        return bucket.policy.decode() if bucket is not None and bucket.policy else None
    if service == "sqs":
        queue = sqs_backends[request.account][request.region].queues.get(name)
        return queue.policy if queue is not None and queue.policy else None
    return None


def _refuse(response: Any, message: str) -> None:
    if response.service_name == "s3":
        raise S3AccessDeniedError
    if response.headers.get("X-Amz-Target") or "json" in response.headers.get("Content-Type", ""):
        error = JsonRESTError("AccessDeniedException", message)
        error.code = 403
        raise error
    raise AccessDeniedError(user_arn=message, action=str(response._get_action()))
