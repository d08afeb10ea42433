"""The measurement of a window: sessions, samplers, and the client ceiling."""
