"""What travels to a job: the project's files, and the steps themselves."""
