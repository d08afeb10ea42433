"""The embed service by itself, and the thin gateway in front of services of other makes."""
