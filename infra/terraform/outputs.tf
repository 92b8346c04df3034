output "account" {
  description = "What the setting `account` of flowyml-aws says."
  value       = var.name
  depends_on  = [aws_ssm_parameter.account]
}

output "store" {
  description = "Where runs are kept."
  value       = local.store
}

output "repository" {
  description = "Where images are pushed to."
  value       = local.repository
}

output "queues" {
  description = "The Batch queues."
  value       = [for queue in aws_batch_job_queue.this : queue.name]
}

output "user_policy_arn" {
  description = "The policy of people who run pipelines."
  value       = aws_iam_policy.user.arn
}

output "user_role_arn" {
  description = "A role with that policy."
  value       = aws_iam_role.user.arn
}

output "topic_arn" {
  description = "Where alerts go."
  value       = aws_sns_topic.alerts.arn
}
