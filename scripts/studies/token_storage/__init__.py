"""The study of stored token vectors: their size and their search quality."""
