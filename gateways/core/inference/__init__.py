"""How requests become forward passes: admission, batching, worker threads, late reranking."""
