"""The contract, as a black box: everything here knows one URL."""
