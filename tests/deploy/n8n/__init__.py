"""n8n itself; run by `make n8n`."""
