# Events with the messages that are sent about them, by the name of their rule. infra/cdk reads the same file.
locals {
  queue_arns = { for key in keys(local.job_queues) : key => "arn:${local.partition}:batch:${local.region}:${local.account}:job-queue/${local.prefix}-${key}" }

  rules = jsondecode(templatefile("${path.module}/../account/alerts.json", merge(local.named, {
    all_queue_arns   = jsonencode(sort(values(local.queue_arns)))
    job_queue_arns   = jsonencode(sort([for key in keys(local.queues) : local.queue_arns[key]]))
    driver_queue_arn = local.queue_arns["driver"]
  })))

  # Variables are JSON values, so EventBridge adds their quotes and escapes them. jsonencode would escape `<` and `>`.
  templates = {
    for name, rule in local.rules :
    name => "{${join(",", [for key, text in rule.message : "\"${key}\":${startswith(text, "<") ? text : "\"${text}\""}"])}}"
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
    input_template = local.templates[each.key]
  }
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

  name         = "${local.iam_prefix}-monthly"
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

  # AWS checks that the budget may publish.
  depends_on = [aws_sns_topic_policy.alerts]
}
