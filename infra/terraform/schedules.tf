# Schedules of users are in this group. Their jobs are submitted with the role `scheduler`.
resource "aws_scheduler_schedule_group" "this" {
  count = var.schedules ? 1 : 0

  name = local.prefix
  tags = local.tags
}
