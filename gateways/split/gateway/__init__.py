"""The thin gateway: all of the contract, and no model of its own."""
