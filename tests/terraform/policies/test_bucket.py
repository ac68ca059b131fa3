"""The bucket's policy, tried with presigned URLs by HTTP and HTTPS."""

import json
from collections.abc import Callable

import pytest

from tests.terraform.aws import ACCOUNT
from tests.terraform.aws_double.evaluation import Call, Policies, decide
from tests.terraform.policies.account import REGION, SOURCE, Account

pytestmark = pytest.mark.timeout(300)


def presigned(account: Account, method: str = "get_object", *, is_tls: bool = True, **more: str) -> str:
    """A URL that the file service has signed."""
    client = account.aws.client(
        "s3", region=REGION, credentials=account.sessions["file_service"], is_tls=is_tls, signature_version="s3v4"
    )
    wanted = {"Bucket": account.bucket, "Key": SOURCE, **more}
    return str(client.generate_presigned_url(method, Params=wanted, ExpiresIn=900))


def status(account: Account, url: str, *, method: str = "GET", body: bytes | None = None, **headers: str) -> int:
    """Send one request while policies are on; return the status of the answer."""
    with account.aws.enforcing():
        return account.aws.exchange(url, method=method, body=body, **headers)[0]


def test_presigned_url_works_by_https_only(account: Account, record_property: Callable[[str, object], None]) -> None:
    assert status(account, presigned(account)) == 200
    assert status(account, presigned(account, is_tls=False)) == 403
    record_property("requested", "presigned URLs: https 200, http 403, forged 403, unsigned 403")


def test_changed_url_is_refused(account: Account) -> None:
    url = presigned(account)

    assert status(account, url.replace("/1/source", "/2/source")) == 403
    assert status(account, url, method="PUT", body=b"1") == 403
    assert status(account, url.split("?")[0]) == 403
    assert status(account, url.replace("X-Amz-Expires=900", "X-Amz-Expires=90000")) == 403


def test_upload_gets_the_key_of_the_bucket(account: Account) -> None:
    key = SOURCE.replace("/1/", "/7/")

    assert status(account, presigned(account, "put_object", Key=key), method="PUT", body=b"1") == 200
    stored = account.aws.client("s3", region=REGION).head_object(Bucket=account.bucket, Key=key)
    assert (stored["ServerSideEncryption"], stored["SSEKMSKeyId"]) == ("aws:kms", account.keys["objects"])


@pytest.mark.parametrize(
    "parameters",
    [
        {"ServerSideEncryption": "AES256"},
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/other"},
        {"ACL": "public-read"},
    ],
    ids=["other-encryption", "other-key", "public"],
)
def test_upload_that_weakens_the_bucket_is_refused(account: Account, parameters: dict[str, str]) -> None:
    names = {
        "ServerSideEncryption": "x_amz_server_side_encryption",
        "SSEKMSKeyId": "x_amz_server_side_encryption_aws_kms_key_id",
        "ACL": "x_amz_acl",
    }
    headers = {names[name]: value for name, value in parameters.items()}
    url = presigned(account, "put_object", **parameters)

    assert status(account, url, method="PUT", body=b"1", **headers) == 403


def test_document_denies_old_signatures_and_other_accounts(account: Account) -> None:
    document = Policies(identity=[everything()], resource=account.documents["bucket"])
    arn = f"arn:aws:s3:::{account.bucket}/{SOURCE}"
    good = {
        "aws:SecureTransport": "true",
        "s3:TlsVersion": "1.3",
        "aws:PrincipalAccount": ACCOUNT,
        "s3:signatureAge": "9",
    }

    assert decide(Call("s3:GetObject", arn, good), document).is_allowed
    for bad in ({"s3:signatureAge": "3600001"}, {"aws:PrincipalAccount": "999999999999"}, {"s3:TlsVersion": "1.1"}):
        assert not decide(Call("s3:GetObject", arn, {**good, **bad}), document).is_allowed


def everything() -> str:
    return json.dumps({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
