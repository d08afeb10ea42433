"""The torch monolith: sentence-transformers behind the contract."""
