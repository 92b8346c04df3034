"""Whether this machine and the account are ready for runs, and what to do where they are not."""
