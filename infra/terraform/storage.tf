resource "aws_s3_bucket" "store" {
  #checkov:skip=CKV_AWS_18:Access logs cost by the request; an organisation that needs them has CloudTrail's data events
  #checkov:skip=CKV_AWS_21:Objects are named by their content or written once, so versions would only keep objects that gc deletes
  #checkov:skip=CKV_AWS_144:A copy in another region doubles the cost of data that can be computed again
  #checkov:skip=CKV_AWS_145:S3's own keys encrypt without a monthly price
  #checkov:skip=CKV2_AWS_62:No consumer needs events about single objects

  bucket        = local.bucket
  force_destroy = var.force_destroy
  tags          = local.tags
}

resource "aws_s3_bucket_ownership_controls" "store" {
  bucket = aws_s3_bucket.store.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "store" {
  bucket                  = aws_s3_bucket.store.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "store" {
  bucket = aws_s3_bucket.store.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

# Only `flowyml-aws gc` deletes objects, as it knows which of them are still referenced.
resource "aws_s3_bucket_lifecycle_configuration" "store" {
  bucket = aws_s3_bucket.store.id

  rule {
    id     = "incomplete-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 3
    }
  }
}

resource "aws_s3_bucket_policy" "store" {
  bucket     = aws_s3_bucket.store.id
  policy     = templatefile("${local.policies}/bucket.json", local.named)
  depends_on = [aws_s3_bucket_public_access_block.store]
}

resource "aws_ecr_repository" "images" {
  #checkov:skip=CKV_AWS_136:ECR's own keys encrypt without a monthly price

  name                 = local.prefix
  image_tag_mutability = "IMMUTABLE"
  force_delete         = var.force_destroy
  tags                 = local.tags

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "AES256"
  }
}

resource "aws_ecr_lifecycle_policy" "images" {
  repository = aws_ecr_repository.images.name
  policy     = file("${path.module}/../account/images-lifecycle.json")
}

resource "aws_cloudwatch_log_group" "jobs" {
  #checkov:skip=CKV_AWS_158:CloudWatch's own keys encrypt without a monthly price
  #checkov:skip=CKV_AWS_338:log_retention_days limits the retention of job logs; a year of logs would be expensive

  name              = local.log_group
  retention_in_days = var.log_retention_days
  tags              = local.tags
}
