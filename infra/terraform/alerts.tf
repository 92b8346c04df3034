locals {
  queue_names = [for key in keys(local.job_queues) : "${local.prefix}-${key}"]
  queue_arns  = sort([for name in local.queue_names : "arn:${local.partition}:batch:${local.region}:${local.account}:job-queue/${name}"])

  # Events by the name of their rule, with the message that is sent about them.
  rules = {
    job-failed = {
      description = "A Batch job failed in its last attempt"
      pattern = {
        source      = ["aws.batch"]
        detail-type = ["Batch Job State Change"]
        detail      = { jobQueue = local.queue_arns, status = ["FAILED"] }
      }
      paths    = { job = "$.detail.jobName", reason = "$.detail.statusReason" }
      template = "\"Job <job> failed: <reason>\""
    }
    training-failed = {
      description = "A training job failed"
      pattern = {
        source      = ["aws.sagemaker"]
        detail-type = ["SageMaker Training Job State Change"]
        detail      = { RoleArn = [local.role_arn["sagemaker"]], TrainingJobStatus = ["Failed"] }
      }
      paths    = { job = "$.detail.TrainingJobName", reason = "$.detail.FailureReason" }
      template = "\"Training job <job> failed: <reason>\""
    }
    queue-blocked = {
      description = "The first job of a queue can't start"
      pattern = {
        source      = ["aws.batch"]
        detail-type = ["Batch Job Queue Blocked"]
        detail      = { jobQueue = local.queue_arns }
      }
      paths    = { queue = "$.detail.jobQueue", job = "$.detail.jobName", reason = "$.detail.statusReason" }
      template = "\"Queue <queue> is blocked by job <job>: <reason>\""
    }
  }
}

resource "aws_sns_topic" "alerts" {
  #checkov:skip=CKV_AWS_26:Rules, alarms and budgets can't publish with AWS's key, and a customer key has a monthly price; messages contain only names and reasons

  name = "${local.prefix}-alerts"
  tags = local.tags
}

resource "aws_sns_topic_policy" "alerts" {
  arn    = aws_sns_topic.alerts.arn
  policy = templatefile("${local.policies}/topic.json", local.named)
}

resource "aws_sns_topic_subscription" "email" {
  count = var.alert_email == null ? 0 : 1

  topic_arn = aws_sns_topic.alerts.arn
  protocol  = "email"
  endpoint  = var.alert_email
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.rules

  name          = "${local.prefix}-${each.key}"
  description   = each.value.description
  event_pattern = jsonencode(each.value.pattern)
  tags          = local.tags
}

resource "aws_cloudwatch_event_target" "alerts" {
  for_each = local.rules

  rule      = aws_cloudwatch_event_rule.this[each.key].name
  target_id = "alerts"
  arn       = aws_sns_topic.alerts.arn

  input_transformer {
    input_paths    = each.value.paths
    input_template = each.value.template
  }
}

# The rule reports a blocked queue immediately; the alarm is raised if the queue stays blocked, until its jobs start again.
resource "aws_cloudwatch_metric_alarm" "stuck" {
  alarm_name          = "${local.prefix}-queue-stuck"
  alarm_description   = "Batch reported a blocked queue more than once within an hour"
  namespace           = "AWS/Events"
  metric_name         = "MatchedEvents"
  dimensions          = { RuleName = aws_cloudwatch_event_rule.this["queue-blocked"].name }
  statistic           = "Sum"
  period              = 900
  evaluation_periods  = 4
  datapoints_to_alarm = 2
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]
  tags                = local.tags
}

# EventBridge reports a message that it could not deliver in this metric only.
resource "aws_cloudwatch_metric_alarm" "undelivered" {
  for_each = local.rules

  alarm_name          = "${local.prefix}-${each.key}-undelivered"
  alarm_description   = "EventBridge could not deliver an alert: look at the policy of the topic"
  namespace           = "AWS/Events"
  metric_name         = "FailedInvocations"
  dimensions          = { RuleName = aws_cloudwatch_event_rule.this[each.key].name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alerts.arn]
  tags                = local.tags
}

resource "aws_budgets_budget" "monthly" {
  count = var.monthly_budget_usd == null ? 0 : 1

  name         = "${local.prefix}-monthly"
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"
  tags         = local.tags

  notification {
    comparison_operator       = "GREATER_THAN"
    notification_type         = "ACTUAL"
    threshold                 = 80
    threshold_type            = "PERCENTAGE"
    subscriber_sns_topic_arns = [aws_sns_topic.alerts.arn]
  }

  notification {
    comparison_operator       = "GREATER_THAN"
    notification_type         = "FORECASTED"
    threshold                 = 100
    threshold_type            = "PERCENTAGE"
    subscriber_sns_topic_arns = [aws_sns_topic.alerts.arn]
  }
}
