"""Ingest job queues, one file each: `JOBS=<name>` opens `gateways.core.jobs.<name>`."""
