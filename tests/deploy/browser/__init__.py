"""The report, opened in a real browser."""
