# Schedules of users are in this group, and submit their jobs with this role.
resource "aws_scheduler_schedule_group" "this" {
  count = var.schedules ? 1 : 0

  name = local.prefix
  tags = local.tags
}

resource "aws_iam_role" "scheduler" {
  count = var.schedules ? 1 : 0

  name               = "${local.iam_prefix}-scheduler"
  assume_role_policy = templatefile("${local.policies}/trust-scheduler.json", local.named)
  tags               = local.tags
}

resource "aws_iam_role_policy" "scheduler" {
  count = var.schedules ? 1 : 0

  name   = "scheduler"
  role   = aws_iam_role.scheduler[0].id
  policy = templatefile("${local.policies}/optional/scheduler.json", local.named)
}
