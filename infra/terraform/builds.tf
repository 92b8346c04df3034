# Builds the images of projects, for `flowyml-aws image build --remote`. Clients choose the context and the commands of
# a build, which can do only what the role `builds` allows.
resource "aws_codebuild_project" "images" {
  #checkov:skip=CKV_AWS_316:Images are built with Docker, which CodeBuild offers only in privileged mode
  #checkov:skip=CKV_AWS_147:Builds have no artifacts; a key for all of them costs money each month

  count = var.remote_builds ? 1 : 0

  name           = local.build_project
  description    = "Builds images of flowyml-aws"
  service_role   = aws_iam_role.this["builds"].arn
  build_timeout  = 60
  queued_timeout = 60
  tags           = local.tags

  source {
    type      = "S3"
    location  = "${local.bucket}/flowyml/code/contexts/"
    buildspec = file("${path.module}/../account/buildspec.json")
  }

  artifacts {
    type = "NO_ARTIFACTS"
  }

  environment {
    type            = "LINUX_CONTAINER"
    image           = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
    compute_type    = "BUILD_GENERAL1_MEDIUM"
    privileged_mode = true
  }

  logs_config {
    cloudwatch_logs {
      group_name  = local.log_group
      stream_name = "image-builds"
    }
  }
}
