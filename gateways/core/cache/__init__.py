"""LRU caches: embeddings of single texts, token vectors of reranked texts."""
