"""What the harness says of gateways that are broken on purpose: real processes, a proxy that spoils what they say."""
