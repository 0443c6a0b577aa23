"""What every level may count, log and trace."""
