"""What each role may do and what it may not: the expectation that the executed policy documents must meet."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.terraform.policies.account import (
    ACCOUNT,
    NAME,
    OTHER,
    OUTPUT,
    REGION,
    SOURCE,
    STATE_BUCKET,
    Account,
    definition,
)

TRUST = '{"Version": "2012-10-17", "Statement": []}'
LITTLE = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}'
EVERYTHING = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/{NAME}-boundary"
NEW_OUTPUT = OUTPUT.replace("result", "new")
NEW_SOURCE = SOURCE.replace("/1/", "/2/")


class Attempt(NamedTuple):
    """One call of boto3; `region` differs for calls that leave the region of the environment."""

    service: str
    method: str
    arguments: dict[str, Any]
    region: str = REGION

    def __str__(self) -> str:
        return f"{self.service}.{self.method}({', '.join(f'{k}={v!r:.60}' for k, v in self.arguments.items())})"


class Expectation(NamedTuple):
    """Two lists for one role."""

    may: list[Attempt]
    may_not: list[Attempt]


def _call(service: str, method: str, /, *, in_region: str = REGION, **arguments: Any) -> Attempt:
    return Attempt(service, method, arguments, in_region)


def for_nobody(account: Account) -> list[Attempt]:
    """What no service of an environment has a reason to do."""
    return [
        _call("iam", "create_user", UserName="intruder"),
        _call("iam", "create_access_key", UserName="intruder"),
        _call("iam", "delete_role_permissions_boundary", RoleName=f"{NAME}-worker-office-task"),
        _call(
            "sts", "assume_role", RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{NAME}-github-deploy", RoleSessionName="test"
        ),
        _call(
            "kms", "decrypt", CiphertextBlob=bytes.fromhex(account.known["ciphertext"]), KeyId=account.keys["objects"]
        ),
        _call("s3", "get_object", Bucket="of-somebody-else", Key="one"),
        _call("s3", "get_object", Bucket=STATE_BUCKET, Key="production/terraform.tfstate"),
        _call("secretsmanager", "get_secret_value", SecretId=account.known["secret other"]),
        _call("secretsmanager", "delete_secret", SecretId=account.known["secret other"]),
        _call("sqs", "purge_queue", QueueUrl=account.known["other_queue_url"]),
        _call("ecs", "update_service", cluster=OTHER, service="file-service", desiredCount=0),
        _call("ecs", "run_task", cluster=OTHER, taskDefinition=f"{OTHER}-worker-office"),
        _call("logs", "delete_log_group", logGroupName=f"/{OTHER}/file-service"),
    ]


def for_services(account: Account) -> list[Attempt]:
    """What no running service does, though who deploys may."""
    return [
        _call("ec2", "describe_instances"),
        _call(
            "iam",
            "put_role_policy",
            RoleName=f"{NAME}-worker-office-task",
            PolicyName="more",
            PolicyDocument=EVERYTHING,
        ),
        _call("s3", "delete_bucket_policy", Bucket=account.bucket),
        _call("s3", "delete_bucket", Bucket=account.bucket),
        _call("kms", "schedule_key_deletion", KeyId=account.keys["objects"]),
        _call("ec2", "create_vpc", CidrBlock="10.9.0.0/16"),
        _call("rds", "describe_db_clusters"),
        _call("ecs", "register_task_definition", **definition(NAME, "file-service")),
        _call(
            "iam", "create_role", RoleName=f"{NAME}-more", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=BOUNDARY
        ),
        _call("s3", "list_buckets"),
        _call("sqs", "send_message", QueueUrl=account.queue_url, MessageBody="{}"),
        _call("secretsmanager", "list_secrets"),
        _call("ecr", "put_image", repositoryName="converto/file-service", imageManifest=account.known["manifest"]),
        _call("logs", "delete_log_group", logGroupName=f"/{NAME}/file-service"),
    ]


def _objects(account: Account, method: str, *keys: str, **more: Any) -> list[Attempt]:
    return [_call("s3", method, Bucket=account.bucket, Key=key, **more) for key in keys]


def file_keeper(account: Account) -> Expectation:
    b, reading = account.bucket, (SOURCE, OUTPUT, "converto/database")
    return Expectation(
        may=[
            _call("s3", "head_bucket", Bucket=b),
            _call("s3", "list_objects_v2", Bucket=b, Prefix="t/"),
            _call("s3", "list_multipart_uploads", Bucket=b, Prefix="t/"),
            *_objects(account, "head_object", *reading),
            *_objects(account, "get_object", *reading),
            *_objects(account, "put_object", NEW_SOURCE, NEW_OUTPUT, "converto/database", Body=b"1"),
            *_objects(account, "create_multipart_upload", NEW_SOURCE, NEW_OUTPUT),
            *_objects(account, "copy_object", NEW_OUTPUT, CopySource={"Bucket": b, "Key": OUTPUT}),
            *_objects(account, "delete_object", NEW_SOURCE, NEW_OUTPUT),
            _call("s3", "delete_objects", Bucket=b, Delete={"Objects": [{"Key": NEW_SOURCE}, {"Key": NEW_OUTPUT}]}),
        ],
        may_not=[
            *_objects(account, "get_object", "elsewhere/one"),
            *_objects(account, "put_object", "elsewhere/two", "t/owner/two", Body=b"1"),
            *_objects(account, "delete_object", "converto/database", "elsewhere/one"),
            *_objects(account, "put_object_acl", SOURCE, ACL="public-read"),
            *_objects(account, "put_object", SOURCE, Body=b"1", ACL="public-read"),
            *_objects(account, "put_object", SOURCE, Body=b"1", ServerSideEncryption="AES256"),
            *_objects(
                account,
                "put_object",
                SOURCE,
                Body=b"1",
                ServerSideEncryption="aws:kms",
                SSEKMSKeyId=account.keys["logs"],
            ),
            _call("s3", "list_objects_v2", Bucket=b, Prefix="elsewhere/"),
            _call("s3", "list_object_versions", Bucket=b),
            _call("s3", "put_bucket_versioning", Bucket=b, VersioningConfiguration={"Status": "Suspended"}),
            _call("secretsmanager", "get_secret_value", SecretId=account.known["secret database"]),
        ],
    )


def file_service(account: Account) -> Expectation:
    kept, queue = file_keeper(account), account.queue_url
    receipt = account.known["receipt"]
    return Expectation(
        may=[
            *kept.may,
            _call("sqs", "receive_message", QueueUrl=queue),
            _call("sqs", "change_message_visibility", QueueUrl=queue, ReceiptHandle=receipt, VisibilityTimeout=0),
            _call("sqs", "delete_message", QueueUrl=queue, ReceiptHandle=receipt),
        ],
        may_not=[
            *kept.may_not,
            _call("sqs", "receive_message", QueueUrl=account.known["other_queue_url"]),
            _call("sqs", "delete_queue", QueueUrl=queue),
            _call("sqs", "purge_queue", QueueUrl=queue),
            _call("ecs", "update_task_protection", cluster=NAME, tasks=[account.known["task"]], protectionEnabled=True),
        ],
    )


def housekeeping(account: Account) -> Expectation:
    kept = file_keeper(account)
    return Expectation(
        may=kept.may,
        may_not=[*kept.may_not, _call("sqs", "receive_message", QueueUrl=account.queue_url)],
    )


def worker(account: Account) -> Expectation:
    b, task = account.bucket, account.known["task"]
    return Expectation(
        may=[
            _call("s3", "head_bucket", Bucket=b),
            *_objects(account, "head_object", SOURCE, OUTPUT),
            *_objects(account, "get_object", SOURCE, OUTPUT),
            *_objects(account, "put_object", NEW_OUTPUT, Body=b"1"),
            *_objects(account, "create_multipart_upload", NEW_OUTPUT),
            *_objects(account, "copy_object", NEW_OUTPUT, CopySource={"Bucket": b, "Key": OUTPUT}),
            _call("s3", "delete_objects", Bucket=b, Delete={"Objects": [{"Key": NEW_OUTPUT}]}),
            _call("ecs", "update_task_protection", cluster=NAME, tasks=[task], protectionEnabled=True),
        ],
        may_not=[
            *_objects(account, "put_object", SOURCE, "converto/database", Body=b"1"),
            *_objects(account, "copy_object", NEW_SOURCE, CopySource={"Bucket": b, "Key": OUTPUT}),
            *_objects(account, "copy_object", NEW_OUTPUT, CopySource={"Bucket": b, "Key": "elsewhere/one"}),
            *_objects(account, "delete_object", SOURCE, "converto/database"),
            *_objects(account, "get_object", "converto/database", "elsewhere/one"),
            *_objects(account, "create_multipart_upload", SOURCE),
            _call("s3", "list_multipart_uploads", Bucket=b),
            _call("s3", "list_objects_v2", Bucket=b, Prefix="elsewhere/"),
            _call("sqs", "receive_message", QueueUrl=account.queue_url),
            _call("secretsmanager", "get_secret_value", SecretId=account.known["secret database"]),
            _call("secretsmanager", "get_secret_value", SecretId=account.known["secret bootstrap-api-key"]),
            _call(
                "ecs",
                "update_task_protection",
                cluster=OTHER,
                tasks=[task.replace(NAME, OTHER)],
                protectionEnabled=True,
            ),
            _call("ecs", "stop_task", cluster=NAME, task=task),
        ],
    )


def execution_worker(account: Account, service: str = "worker-office") -> Expectation:
    image = {"repositoryName": "converto/file-service", "imageIds": [{"imageTag": "one"}]}
    stream = {"logGroupName": f"/{NAME}/{service}", "logStreamName": "new"}
    return Expectation(
        may=[
            _call("ecr", "get_authorization_token"),
            _call("ecr", "batch_get_image", **image),
            _call("logs", "create_log_stream", **stream),
            _call("logs", "put_log_events", **stream, logEvents=[{"timestamp": 1, "message": "1"}]),
            _call("secretsmanager", "get_secret_value", SecretId=account.known["secret database"]),
            _call("secretsmanager", "get_secret_value", SecretId=account.known["secret broker"]),
            _call("secretsmanager", "get_secret_value", SecretId=account.known["secret sealing-key"]),
        ],
        may_not=[
            _call("ecr", "batch_get_image", **{**image, "repositoryName": "elsewhere/file-service"}),
            _call("ecr", "delete_repository", repositoryName="converto/file-service"),
            _call("ecr", "batch_delete_image", **image),
            _call("logs", "create_log_stream", logGroupName=f"/{OTHER}/file-service", logStreamName="new"),
            _call("logs", "get_log_events", logGroupName=f"/{NAME}/file-service", logStreamName="made"),
            _call("logs", "create_log_group", logGroupName=f"/{NAME}/more"),
            *[
                _call("secretsmanager", "get_secret_value", SecretId=account.known[f"secret {name}"])
                for name in ("bootstrap-api-key", "broker-bootstrap", "master")
            ],
            _call("secretsmanager", "put_secret_value", SecretId=account.known["secret database"], SecretString="{}"),
            *_objects(account, "get_object", SOURCE),
        ],
    )


def execution(account: Account) -> Expectation:
    key = _call("secretsmanager", "get_secret_value", SecretId=account.known["secret bootstrap-api-key"])
    same = execution_worker(account, "file-service")
    return Expectation(may=[*same.may, key], may_not=[attempt for attempt in same.may_not if attempt != key])


def rotation(account: Account) -> Expectation:
    names = ("database", "broker", "bootstrap-api-key", "broker-bootstrap", "sealing-key")
    own = [account.known[f"secret {name}"] for name in names]
    log, version = {"logGroupName": f"/{NAME}/rotation", "logStreamName": "new"}, account.known["version"]
    interface = {"SubnetId": account.known["subnet"]}
    return Expectation(
        may=[
            *[_call("secretsmanager", "describe_secret", SecretId=secret) for secret in own],
            *[_call("secretsmanager", "get_secret_value", SecretId=secret) for secret in own],
            *[_call("secretsmanager", "put_secret_value", SecretId=secret, SecretString="{}") for secret in own[1:]],
            _call(
                "secretsmanager",
                "update_secret_version_stage",
                SecretId=own[0],
                VersionStage="AWSPENDING",
                MoveToVersionId=version,
            ),
            _call("secretsmanager", "get_secret_value", SecretId=account.known["secret master"]),
            _call("ecs", "describe_services", cluster=NAME, services=["file-service"]),
            _call("ecs", "update_service", cluster=NAME, service="file-service", forceNewDeployment=True),
            _call("logs", "create_log_stream", **log),
            _call("logs", "put_log_events", **log, logEvents=[{"timestamp": 1, "message": "1"}]),
            _call("ec2", "describe_subnets"),
            _call("ec2", "describe_network_interfaces"),
            _call("ec2", "create_network_interface", **interface),
        ],
        may_not=[
            *[_call("secretsmanager", "delete_secret", SecretId=secret) for secret in own],
            _call("secretsmanager", "create_secret", Name=f"{NAME}/more", SecretString="{}"),
            _call("secretsmanager", "put_secret_value", SecretId=account.known["secret master"], SecretString="{}"),
            _call("secretsmanager", "put_secret_value", SecretId=account.known["secret other"], SecretString="{}"),
            _call("ecs", "delete_service", cluster=NAME, service="file-service"),
            _call("ecs", "describe_services", cluster=OTHER, services=["file-service"]),
            _call("logs", "create_log_stream", logGroupName=f"/{NAME}/file-service", logStreamName="new"),
            _call("ec2", "run_instances", ImageId="ami-1", MinCount=1, MaxCount=1),
            *_objects(account, "get_object", SOURCE),
        ],
    )


def ecs_infrastructure(account: Account) -> Expectation:
    known = account.known
    target = [{"Id": "10.0.0.9", "Port": 80}]
    forward = [{"Type": "forward", "TargetGroupArn": known[f"{NAME} group"]}]

    def moves(name: str) -> list[Attempt]:
        return [
            _call("elbv2", "register_targets", TargetGroupArn=known[f"{name} group"], Targets=target),
            _call("elbv2", "deregister_targets", TargetGroupArn=known[f"{name} group"], Targets=target),
            _call("elbv2", "modify_listener", ListenerArn=known[f"{name} listener"], DefaultActions=forward),
            _call("elbv2", "modify_rule", RuleArn=known[f"{name} rule"], Actions=forward),
        ]

    return Expectation(
        may=[
            _call("elbv2", "describe_listeners", LoadBalancerArn=known[f"{NAME} balancer"]),
            _call("elbv2", "describe_rules", ListenerArn=known[f"{NAME} listener"]),
            _call("elbv2", "describe_target_groups"),
            _call("elbv2", "describe_target_health", TargetGroupArn=known[f"{NAME} group"]),
            *moves(NAME),
        ],
        may_not=[
            *moves(OTHER),
            _call("elbv2", "delete_load_balancer", LoadBalancerArn=known[f"{NAME} balancer"]),
            _call("elbv2", "delete_listener", ListenerArn=known[f"{NAME} listener"]),
            _call("elbv2", "delete_target_group", TargetGroupArn=known[f"{NAME} group"]),
            _call("ecs", "update_service", cluster=NAME, service="file-service", desiredCount=0),
        ],
    )


def scheduler(account: Account) -> Expectation:
    network = {
        "awsvpcConfiguration": {"subnets": [account.known["subnet"]], "securityGroups": [account.known["group"]]}
    }
    run = {"launchType": "FARGATE", "networkConfiguration": network}
    return Expectation(
        may=[_call("ecs", "run_task", cluster=NAME, taskDefinition=f"{NAME}-housekeeping", **run)],
        may_not=[
            _call("ecs", "run_task", cluster=OTHER, taskDefinition=f"{NAME}-housekeeping", **run),
            _call("ecs", "run_task", cluster=NAME, taskDefinition=f"{NAME}-worker-office", **run),
            _call("ecs", "run_task", cluster=NAME, taskDefinition=f"{OTHER}-housekeeping", **run),
            _call("ecs", "stop_task", cluster=NAME, task=account.known["task"]),
            _call("ecs", "update_service", cluster=NAME, service="file-service", desiredCount=0),
            *_objects(account, "get_object", SOURCE),
        ],
    )


def flow_logs(_account: Account) -> Expectation:
    log = {"logGroupName": f"/{NAME}/flow-logs", "logStreamName": "new"}
    return Expectation(
        may=[
            _call("logs", "create_log_stream", **log),
            _call("logs", "put_log_events", **log, logEvents=[{"timestamp": 1, "message": "1"}]),
            _call("logs", "describe_log_streams", logGroupName=f"/{NAME}/flow-logs"),
            _call("logs", "describe_log_groups"),
        ],
        may_not=[
            _call("logs", "create_log_stream", logGroupName=f"/{NAME}/file-service", logStreamName="new"),
            _call("logs", "get_log_events", logGroupName=f"/{NAME}/flow-logs", logStreamName="made"),
            _call("logs", "delete_log_group", logGroupName=f"/{NAME}/flow-logs"),
        ],
    )


def github_plan(account: Account) -> Expectation:
    b, state = account.bucket, {"Bucket": STATE_BUCKET, "Key": "test/terraform.tfstate"}
    lock = {"Bucket": STATE_BUCKET, "Key": "test/terraform.tfstate.tflock"}
    return Expectation(
        may=[
            _call("s3", "get_object", **state),
            _call("s3", "list_objects_v2", Bucket=STATE_BUCKET, Prefix="test/"),
            _call("s3", "put_object", **lock, Body=b"{}"),
            _call("s3", "delete_object", **lock),
            _call("s3", "put_object", Bucket=STATE_BUCKET, Key="test/plans/1-1.tfplan", Body=b"plan"),
            _call("s3", "head_bucket", Bucket=b),
            _call("s3", "get_bucket_policy", Bucket=b),
            _call("s3", "get_bucket_versioning", Bucket=b),
            _call("s3", "get_bucket_encryption", Bucket=b),
            _call("sqs", "get_queue_attributes", QueueUrl=account.queue_url, AttributeNames=["All"]),
            _call("iam", "get_role", RoleName=f"{NAME}-worker-office-task"),
            _call("iam", "get_role_policy", RoleName=f"{NAME}-worker-office-task", PolicyName="worker"),
            _call("ecs", "describe_clusters", clusters=[NAME]),
            _call("ecs", "describe_services", cluster=NAME, services=["file-service"]),
            _call("ec2", "describe_vpcs"),
            _call("rds", "describe_db_clusters"),
            _call("elbv2", "describe_load_balancers"),
            _call("kms", "describe_key", KeyId=account.keys["objects"]),
            _call("secretsmanager", "describe_secret", SecretId=account.known["secret database"]),
            _call("secretsmanager", "get_random_password"),
            _call("logs", "describe_log_groups"),
        ],
        may_not=[
            _call("s3", "put_object", **state, Body=b"{}"),
            _call("s3", "delete_object", **state),
            _call("s3", "put_object", Bucket=STATE_BUCKET, Key="production/plans/1-1.tfplan", Body=b"plan"),
            _call("s3", "list_objects_v2", Bucket=STATE_BUCKET, Prefix="production/"),
            _call("s3", "list_objects_v2", Bucket=b, Prefix="t/"),
            *_objects(account, "get_object", SOURCE, OUTPUT),
            *_objects(account, "put_object", SOURCE, Body=b"1"),
            _call("secretsmanager", "get_secret_value", SecretId=account.known["secret database"]),
            _call("cognito-idp", "describe_user_pool_client", UserPoolId=f"{REGION}_1", ClientId="one"),
            _call("cognito-idp", "list_users", UserPoolId=f"{REGION}_1"),
            _call("sqs", "receive_message", QueueUrl=account.queue_url),
            _call("sqs", "set_queue_attributes", QueueUrl=account.queue_url, Attributes={"DelaySeconds": "1"}),
            _call("logs", "get_log_events", logGroupName=f"/{NAME}/file-service", logStreamName="made"),
            _call("ecs", "update_service", cluster=NAME, service="file-service", desiredCount=0),
            _call("ecs", "register_task_definition", **definition(NAME, "file-service")),
            _call("ec2", "create_vpc", CidrBlock="10.9.0.0/16"),
            _call(
                "iam", "create_role", RoleName=f"{NAME}-x", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=BOUNDARY
            ),
        ],
    )


def github_deploy(account: Account) -> Expectation:
    state, role = {"Bucket": STATE_BUCKET, "Key": "test/terraform.tfstate"}, f"{NAME}-new"
    new_role = {"RoleName": role, "AssumeRolePolicyDocument": TRUST}
    image = {"repositoryName": "converto/file-service", "imageIds": [{"imageTag": "one"}]}
    foreign = {
        **definition(NAME, "file-service"),
        "taskRoleArn": f"arn:aws:iam::{ACCOUNT}:role/{OTHER}-file-service-task",
    }
    return Expectation(
        may=[
            _call("s3", "get_object", **state),
            _call("s3", "put_object", **state, Body=b"{}"),
            _call("ecr", "get_authorization_token"),
            _call("ecr", "batch_get_image", **image),
            _call("s3", "get_bucket_policy", Bucket=account.bucket),
            _call("s3", "put_bucket_policy", Bucket=account.bucket, Policy=account.documents["bucket"]),
            _call("sqs", "create_queue", QueueName=f"{NAME}-upload-events-dead"),
            _call("ec2", "create_vpc", CidrBlock="10.9.0.0/16"),
            _call("ecs", "register_task_definition", **definition(NAME, "file-service")),
            _call("ecs", "update_service", cluster=NAME, service="file-service", desiredCount=0),
            _call("ecs", "describe_services", cluster=NAME, services=["file-service"]),
            _call("iam", "create_role", **new_role, PermissionsBoundary=BOUNDARY),
            _call("iam", "put_role_policy", RoleName=role, PolicyName="one", PolicyDocument=LITTLE),
            _call("iam", "delete_role_policy", RoleName=role, PolicyName="one"),
            _call("iam", "delete_role", RoleName=role),
            _call("secretsmanager", "create_secret", Name=f"{NAME}/new", SecretString="{}"),
            _call("secretsmanager", "get_random_password"),
            _call("kms", "create_key"),
            _call("kms", "create_alias", AliasName=f"alias/{NAME}-new", TargetKeyId=account.keys["logs"]),
            _call("logs", "create_log_group", logGroupName=f"/{NAME}/new"),
            *_log_group_of_cloudfront(f"/{NAME}/cloudfront"),
            *_log_group_of_cloudfront(f"aws-waf-logs-{NAME}-cloudfront"),
            _call("secretsmanager", "create_secret", Name="rds!cluster-new", SecretString="{}"),
            _call("secretsmanager", "tag_resource", SecretId="rds!cluster-new", Tags=[{"Key": "a", "Value": "b"}]),
            _call("elbv2", "modify_listener", ListenerArn=account.known[f"{NAME} listener"], Port=81),
        ],
        may_not=[
            *_objects(account, "get_object", SOURCE, OUTPUT),
            *_objects(account, "put_object", SOURCE, Body=b"1"),
            *_objects(account, "delete_object", SOURCE),
            _call("s3", "put_object", Bucket=STATE_BUCKET, Key="production/terraform.tfstate", Body=b"{}"),
            _call("s3", "put_bucket_policy", Bucket=STATE_BUCKET, Policy=LITTLE),
            _call("s3", "delete_bucket", Bucket=STATE_BUCKET),
            _call("ecr", "batch_get_image", **{**image, "repositoryName": "elsewhere/file-service"}),
            _call("ecr", "batch_delete_image", **image),
            _call("iam", "create_role", **new_role),
            _call("iam", "create_role", **new_role, PermissionsBoundary="arn:aws:iam::aws:policy/AdministratorAccess"),
            _call(
                "iam", "create_role", RoleName="anybody", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=BOUNDARY
            ),
            _call(
                "iam", "put_role_policy", RoleName=f"{NAME}-github-deploy", PolicyName="x", PolicyDocument=EVERYTHING
            ),
            _call(
                "iam",
                "put_role_policy",
                RoleName=f"{OTHER}-file-service-task",
                PolicyName="x",
                PolicyDocument=EVERYTHING,
            ),
            _call("iam", "create_policy_version", PolicyArn=BOUNDARY, PolicyDocument=EVERYTHING, SetAsDefault=True),
            _call("iam", "delete_policy", PolicyArn=BOUNDARY),
            _call("iam", "create_open_id_connect_provider", Url="https://example.com", ThumbprintList=["0" * 40]),
            _call("ecs", "register_task_definition", **foreign),
            *to_others(account),
            _call("ec2", "create_vpc", in_region="ap-south-1", CidrBlock="10.9.0.0/16"),
            _call("secretsmanager", "create_secret", Name=f"{OTHER}/new", SecretString="{}"),
            _call("sqs", "create_queue", QueueName=f"{OTHER}-new"),
            _call("logs", "create_log_group", logGroupName=f"/{OTHER}/new"),
            *_log_group_of_cloudfront(f"/{OTHER}/cloudfront"),
            *_log_group_of_cloudfront(f"aws-waf-logs-{OTHER}-cloudfront"),
            _call("logs", "create_log_group", in_region="ap-south-1", logGroupName=f"/{NAME}/cloudfront"),
            _call("secretsmanager", "get_secret_value", SecretId=account.known["secret master"]),
            _call("secretsmanager", "delete_secret", SecretId=account.known["secret master"]),
        ],
    )


def to_others(account: Account) -> list[Attempt]:
    """What would take over, read or break another environment of the account, or what all of them share."""
    keys, known = account.keys, account.known
    other_bucket, anywhere = f"{OTHER}-objects-{ACCOUNT}", [{"IpProtocol": "-1"}]
    image = {"repositoryName": "converto/file-service"}
    return [
        *[_call("kms", "put_key_policy", KeyId=keys[key], Policy=EVERYTHING) for key in ("other", "state")],
        *[_call("kms", "schedule_key_deletion", KeyId=keys[key]) for key in ("other", "state")],
        _call(
            "kms",
            "create_grant",
            KeyId=keys["other"],
            GranteePrincipal=f"arn:aws:iam::{ACCOUNT}:root",
            Operations=["Decrypt"],
        ),
        _call("kms", "create_alias", AliasName=f"alias/{OTHER}-new", TargetKeyId=keys["logs"]),
        _call("kms", "create_alias", AliasName=f"alias/{NAME}-more", TargetKeyId=keys["other"]),
        _call("kms", "decrypt", CiphertextBlob=bytes.fromhex(known["other ciphertext"]), KeyId=keys["other"]),
        _call("secretsmanager", "get_secret_value", SecretId=known["secret other master"]),
        _call("ec2", "authorize_security_group_ingress", GroupId=known["other group"], IpPermissions=anywhere),
        _call("ec2", "modify_instance_attribute", InstanceId="i-1234567890abcdef0", UserData={"Value": b"1"}),
        _call("ec2", "run_instances", ImageId="ami-1", MinCount=1, MaxCount=1),
        _call("ecs", "register_task_definition", family=f"{OTHER}-housekeeping", containerDefinitions=[]),
        _call("ecs", "stop_task", cluster=OTHER, task=known["task"].replace(NAME, OTHER)),
        _call("elbv2", "modify_rule", RuleArn=known[f"{OTHER} rule"], Actions=[]),
        _call("elbv2", "delete_load_balancer", LoadBalancerArn=known[f"{OTHER} balancer"]),
        *[
            _call("lambda", "update_function_code", FunctionName=name, ZipFile=b"1")
            for name in (f"{OTHER}-rotation", "of-somebody-else")
        ],
        _call("rds", "delete_db_cluster", DBClusterIdentifier=f"{OTHER}-database", SkipFinalSnapshot=True),
        _call("ecr", "put_image", **image, imageManifest=known["manifest"]),
        _call("ecr", "batch_delete_image", **image, imageIds=[{"imageTag": "one"}]),
        _call("ecr", "delete_repository", **image, force=True),
        *[_call("s3", "put_bucket_policy", Bucket=bucket, Policy=LITTLE) for bucket in (other_bucket, STATE_BUCKET)],
        _call("s3", "get_object", Bucket=other_bucket, Key=SOURCE),
        _call("s3", "put_object", Bucket=STATE_BUCKET, Key="production/terraform.tfstate", Body=b"{}"),
        _call("logs", "get_log_events", logGroupName=f"/{OTHER}/file-service", logStreamName="made"),
        *_on_roles(),
    ]


def _on_roles() -> list[Attempt]:
    """The ways to become more than the boundary allows."""
    role = {"RoleName": f"{NAME}-new", "AssumeRolePolicyDocument": TRUST}
    strangers = (f"{NAME}-github-deploy", f"{NAME}-github-plan", f"{OTHER}-worker-office-task", "anybody")
    return [
        _call("iam", "create_role", **role),
        _call("iam", "create_role", **role, PermissionsBoundary="arn:aws:iam::aws:policy/AdministratorAccess"),
        _call(
            "iam",
            "put_role_permissions_boundary",
            RoleName=f"{NAME}-rotation",
            PermissionsBoundary=BOUNDARY + "-of-mine",
        ),
        _call("iam", "delete_role_permissions_boundary", RoleName=f"{NAME}-rotation"),
        _call("iam", "create_policy_version", PolicyArn=BOUNDARY, PolicyDocument=EVERYTHING, SetAsDefault=True),
        _call("iam", "create_user", UserName="intruder"),
        *[
            _call("iam", "put_role_policy", RoleName=name, PolicyName="x", PolicyDocument=EVERYTHING)
            for name in strangers
        ],
        *[_call("iam", "update_assume_role_policy", RoleName=name, PolicyDocument=TRUST) for name in strangers],
        *[_call("iam", "delete_role", RoleName=name) for name in strangers],
        *[
            _call("sts", "assume_role", RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{name}", RoleSessionName="test")
            for name in strangers
        ],
    ]


def self_made(account: Account) -> Expectation:
    """A role that may do everything, as somebody with the deploy role can make it: only the boundary limits it."""
    return Expectation(
        may=[
            _call("iam", "get_role", RoleName=f"{NAME}-github-deploy"),
            _call("secretsmanager", "get_secret_value", SecretId=account.known["secret database"]),
            _call("kms", "describe_key", KeyId=account.keys["objects"]),
            _call("s3", "get_bucket_policy", Bucket=account.bucket),
            _call("ecr", "describe_repositories", repositoryNames=["converto/file-service"]),
        ],
        may_not=[
            *_objects(account, "get_object", SOURCE, OUTPUT),
            *_objects(account, "put_object", SOURCE, Body=b"1"),
            *_objects(account, "delete_object", SOURCE),
            *to_others(account),
        ],
    )


def _log_group_of_cloudfront(name: str) -> list[Attempt]:
    """What Terraform does with a log group in the region of CloudFront."""
    group: dict[str, Any] = {"in_region": "us-east-1", "logGroupName": name}
    return [
        _call("logs", "create_log_group", **group),
        _call("logs", "put_retention_policy", **group, retentionInDays=30),
        _call("logs", "tag_log_group", **group, tags={"a": "b"}),
        _call("logs", "list_tags_log_group", **group),
    ]


EXPECTATIONS: dict[str, Callable[[Account], Expectation]] = {
    "file_service": file_service,
    "housekeeping": housekeeping,
    "worker": worker,
    "execution": execution,
    "execution_worker": execution_worker,
    "rotation": rotation,
    "ecs_infrastructure": ecs_infrastructure,
    "scheduler": scheduler,
    "flow_logs": flow_logs,
    "github_plan": github_plan,
    "github_deploy": github_deploy,
    "self_made": self_made,
}
"""By the name of the document that a role carries; the self-made role carries none of ours, only the boundary."""

DELIVERY = {"github_plan", "github_deploy", "self_made"}


def of(document: str, account: Account) -> Expectation:
    """What a role may do, and what it may not: its own list and what nobody may."""
    own = EXPECTATIONS[document](account)
    if document == "self_made":  # within its own environment it is as strong as who made it
        return own
    others = [] if document in DELIVERY else for_services(account)
    return Expectation(own.may, [*own.may_not, *for_nobody(account), *others])


def all_attempts(account: Account) -> Iterator[tuple[str, Attempt]]:
    """Every attempt with its role."""
    for document in EXPECTATIONS:
        expectation = of(document, account)
        yield from ((document, attempt) for attempt in (*expectation.may, *expectation.may_not))
