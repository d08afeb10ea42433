"""Real text to ingest and to ask, with what is relevant to what."""
