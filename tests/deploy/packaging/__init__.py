"""What an installation brings, and that it serves."""
