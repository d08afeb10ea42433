"""Vector stores, a package each: `STORE=<name>` opens `gateways.core.stores.<name>.store`."""
