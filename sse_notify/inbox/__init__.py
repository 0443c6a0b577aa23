"""What users did with what was sent."""
