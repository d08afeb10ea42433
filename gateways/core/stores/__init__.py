"""Vector stores, one file each: `STORE=<name>` opens `gateways.core.stores.<name>`."""
