"""The contract, one file per resource."""
