"""The log: committed notifications and inbox changes, in one order."""
