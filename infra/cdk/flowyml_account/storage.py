"""The bucket, the image repository and the log group."""

from __future__ import annotations

from aws_cdk import CfnDeletionPolicy
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from flowyml_account.names import Names
from flowyml_account.shared import IMAGES_LIFECYCLE, policy

__all__ = ["make_storage"]


def make_storage(scope: Construct, names: Names) -> None:
    """Create the storage of runs, images and logs.

    AWS refuses to delete a bucket or a repository that is not empty, so runs and images are kept.
    """
    encryption = s3.CfnBucket.ServerSideEncryptionByDefaultProperty(sse_algorithm="AES256")
    bucket = s3.CfnBucket(
        scope,
        "Store",
        bucket_name=names.bucket,
        bucket_encryption=s3.CfnBucket.BucketEncryptionProperty(
            server_side_encryption_configuration=[
                s3.CfnBucket.ServerSideEncryptionRuleProperty(
                    server_side_encryption_by_default=encryption
                )
            ]
        ),
        public_access_block_configuration=s3.CfnBucket.PublicAccessBlockConfigurationProperty(
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
        ),
        ownership_controls=s3.CfnBucket.OwnershipControlsProperty(
            rules=[
                s3.CfnBucket.OwnershipControlsRuleProperty(object_ownership="BucketOwnerEnforced")
            ]
        ),
        # Only `flowyml-aws gc` deletes objects, as it knows which of them are still referenced.
        lifecycle_configuration=s3.CfnBucket.LifecycleConfigurationProperty(
            rules=[
                s3.CfnBucket.RuleProperty(
                    id="incomplete-uploads",
                    status="Enabled",
                    abort_incomplete_multipart_upload=s3.CfnBucket.AbortIncompleteMultipartUploadProperty(
                        days_after_initiation=3
                    ),
                )
            ]
        ),
        tags=names.cfn_tags(),
    )
    bucket.cfn_options.deletion_policy = CfnDeletionPolicy.DELETE
    bucket.cfn_options.update_replace_policy = CfnDeletionPolicy.RETAIN
    s3.CfnBucketPolicy(
        scope, "StorePolicy", bucket=bucket.ref, policy_document=policy("bucket", names.named)
    )
    images = ecr.CfnRepository(
        scope,
        "Images",
        repository_name=names.prefix,
        empty_on_delete=names.options.force_destroy,
        image_tag_mutability="IMMUTABLE",
        image_scanning_configuration=ecr.CfnRepository.ImageScanningConfigurationProperty(
            scan_on_push=True
        ),
        encryption_configuration=ecr.CfnRepository.EncryptionConfigurationProperty(
            encryption_type="AES256"
        ),
        lifecycle_policy=ecr.CfnRepository.LifecyclePolicyProperty(
            lifecycle_policy_text=IMAGES_LIFECYCLE
        ),
        tags=names.cfn_tags(),
    )
    images.cfn_options.deletion_policy = CfnDeletionPolicy.DELETE
    images.cfn_options.update_replace_policy = CfnDeletionPolicy.RETAIN
    log_group = logs.CfnLogGroup(
        scope,
        "Log",
        log_group_name=names.log_group,
        retention_in_days=names.options.log_retention_days,
        tags=names.cfn_tags(),
    )
    log_group.cfn_options.deletion_policy = CfnDeletionPolicy.DELETE
    log_group.cfn_options.update_replace_policy = CfnDeletionPolicy.RETAIN
