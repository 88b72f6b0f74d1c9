"""Where everything of a tenant lies: one key, the data bucket, the drop bucket and the one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from aws_cdk import Duration, Stack, aws_dynamodb, aws_iam, aws_kms, aws_s3
from constructs import Construct
from millrace.artifacts import EXPIRES, KEPT_DAYS

from .stage import Stage

_OWNER_ACTIONS = (
    "kms:CancelKeyDeletion kms:CreateAlias kms:CreateGrant kms:Decrypt kms:DeleteAlias kms:DescribeKey kms:DisableKey "
    "kms:DisableKeyRotation kms:EnableKey kms:EnableKeyRotation kms:Encrypt kms:GenerateDataKey "
    "kms:GenerateDataKeyWithoutPlaintext kms:GetKeyPolicy kms:GetKeyRotationStatus kms:ListAliases kms:ListGrants "
    "kms:ListKeyPolicies kms:ListResourceTags kms:PutKeyPolicy kms:ReEncryptFrom kms:ReEncryptTo kms:RetireGrant "
    "kms:RevokeGrant kms:ScheduleKeyDeletion kms:TagResource kms:UntagResource kms:UpdateAlias "
    "kms:UpdateKeyDescription"
).split()
"""What the account's own policies may hand out; named one by one, since a wildcard would hold tomorrow's too."""
_SENDERS = ("events.amazonaws.com", "cloudwatch.amazonaws.com", "budgets.amazonaws.com")
"""AWS services that put messages of their own into our encrypted queues and topic."""


class Corpus(Construct):
    """Storage. `drops` announces every new object on EventBridge."""

    def __init__(self, scope: Construct, id: str, stage: Stage) -> None:
        super().__init__(scope, id)
        self.stage = stage
        self.key = self._key()
        # By its ARN alone: given the key itself, some constructs add wildcard actions to its policy.
        self.fixed_key = aws_kms.Key.from_key_arn(self, "FixedKey", self.key.key_arn)
        self.access_log = self._bucket("AccessLog", encryption=aws_s3.BucketEncryption.S3_MANAGED, days=90)
        self.data = self._bucket("Data", server_access_logs_bucket=self.access_log, server_access_logs_prefix="data/")
        self.drops = self._bucket(
            "Drops", days=30, server_access_logs_bucket=self.access_log, server_access_logs_prefix="drops/"
        )
        _announce(self.drops)
        _announce(self.data)
        self._open_to_browsers()
        self.table = self._table()

    def _open_to_browsers(self) -> None:
        """A signed address is what permits, wherever the page that has it came from; no cookie is of any use here."""
        self.data.add_cors_rule(
            allowed_methods=[aws_s3.HttpMethods.GET, aws_s3.HttpMethods.HEAD, aws_s3.HttpMethods.PUT],
            allowed_origins=["*"],
            allowed_headers=["*"],
            exposed_headers=["ETag"],
            max_age=3600,
        )

    def _key(self) -> aws_kms.Key:
        stack = Stack.of(self)
        here = {"StringEquals": {"aws:SourceAccount": stack.account}}
        logs = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{stack.region}:{stack.account}:*"}}
        uses = ["kms:Decrypt", "kms:GenerateDataKey"]
        return aws_kms.Key(
            self,
            "Key",
            description=f"Everything that Millrace {self.stage.name} stores",
            enable_key_rotation=True,
            removal_policy=self.stage.removal,
            pending_window=Duration.days(7),
            policy=aws_iam.PolicyDocument(
                statements=[
                    _allow(aws_iam.AccountRootPrincipal(), _OWNER_ACTIONS),
                    _allow(
                        aws_iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com"), [*uses, "kms:Encrypt"], logs
                    ),
                    *(_allow(aws_iam.ServicePrincipal(sender), uses, here) for sender in _SENDERS),
                ]
            ),
        )

    def _bucket(
        self,
        id: str,
        *,
        days: int | None = None,
        encryption: aws_s3.BucketEncryption = aws_s3.BucketEncryption.KMS,
        server_access_logs_bucket: aws_s3.IBucket | None = None,
        server_access_logs_prefix: str | None = None,
    ) -> aws_s3.Bucket:
        """`days`: objects go after so many. Old versions always go after 30, unfinished uploads after 2."""
        return aws_s3.Bucket(
            self,
            id,
            versioned=True,
            encryption=encryption,
            encryption_key=self.key if encryption is aws_s3.BucketEncryption.KMS else None,
            bucket_key_enabled=True if encryption is aws_s3.BucketEncryption.KMS else None,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=self.stage.removal,
            server_access_logs_bucket=server_access_logs_bucket,
            server_access_logs_prefix=server_access_logs_prefix,
            lifecycle_rules=[
                aws_s3.LifecycleRule(
                    id="tidy",
                    expiration=Duration.days(days) if days else None,
                    noncurrent_version_expiration=Duration.days(30),
                    abort_incomplete_multipart_upload_after=Duration.days(2),
                ),
                *(
                    aws_s3.LifecycleRule(
                        id=f"after{kept}days", tag_filters={EXPIRES: str(kept)}, expiration=Duration.days(kept)
                    )
                    for kept in (() if days else KEPT_DAYS)
                ),
            ],
        )

    def _table(self) -> aws_dynamodb.TableV2:
        text = aws_dynamodb.AttributeType.STRING
        table = aws_dynamodb.TableV2(
            self,
            "Table",
            partition_key=aws_dynamodb.Attribute(name="pk", type=text),
            sort_key=aws_dynamodb.Attribute(name="sk", type=text),
            global_secondary_indexes=[
                aws_dynamodb.GlobalSecondaryIndexPropsV2(
                    index_name="by_time",
                    partition_key=aws_dynamodb.Attribute(name="list_pk", type=text),
                    sort_key=aws_dynamodb.Attribute(name="list_sk", type=text),
                    projection_type=aws_dynamodb.ProjectionType.ALL,
                )
            ],
            billing=aws_dynamodb.Billing.on_demand(),
            time_to_live_attribute="expires_at",
            dynamo_stream=aws_dynamodb.StreamViewType.NEW_IMAGE,
            point_in_time_recovery_specification=aws_dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            encryption=aws_dynamodb.TableEncryptionV2.aws_managed_key(),
            deletion_protection=self.stage.protect,
            removal_policy=self.stage.removal,
        )
        # Our own key, by the property: the construct refuses one where the region is not known before the deploy.
        resource = cast(aws_dynamodb.CfnGlobalTable, table.node.default_child)
        resource.add_property_override("Replicas.0.SSESpecification.KMSMasterKeyId", self.key.key_arn)
        return table


def _announce(bucket: aws_s3.Bucket) -> None:
    """By the property itself: the construct's own switch would bring a custom resource with a function of its own."""
    resource = cast(aws_s3.CfnBucket, bucket.node.default_child)
    resource.add_property_override("NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled", True)


def _allow(
    who: aws_iam.IPrincipal, actions: list[str], conditions: Mapping[str, object] | None = None
) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(principals=[who], actions=actions, resources=["*"], conditions=conditions)
