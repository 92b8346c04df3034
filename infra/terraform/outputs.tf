output "account" {
  description = "Name of the account, for the setting `account` of flowyml-aws."
  value       = var.name
  depends_on  = [aws_ssm_parameter.account]
}

output "store" {
  description = "URI of the store that contains the runs."
  value       = local.store
}

output "repository" {
  description = "URI of the image repository."
  value       = local.repository
}

output "queues" {
  description = "Names of the Batch queues."
  value       = [for key in keys(local.queues) : aws_batch_job_queue.this[key].name]
}

output "user_policy_arn" {
  description = "ARN of the policy for users who run pipelines."
  value       = aws_iam_policy.user.arn
}

output "user_role_arn" {
  description = "ARN of a role with that policy."
  value       = aws_iam_role.user.arn
}

output "topic_arn" {
  description = "ARN of the topic for alerts."
  value       = aws_sns_topic.alerts.arn
}
