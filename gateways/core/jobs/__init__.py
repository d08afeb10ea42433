"""Job queues, a file each: `JOBS=<name>` opens `gateways.core.jobs.<name>`."""
