"""The torch monolith: a gateway that computes with torch and sentence-transformers."""
