"""What operators see: who is connected, and how every process is."""
