"""What operators type: the commands, and what they share."""
