"""The first hour on a real account: tiny jobs that compare AWS with the plan and the emulator."""
