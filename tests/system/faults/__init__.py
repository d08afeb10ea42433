"""What real processes do when they are killed, or their upstream is."""
