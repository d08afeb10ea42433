"""What every gateway shares; it imports no inference runtime."""
