"""How likeness is computed: vectors, BM25, late interaction, fusion, relevance."""
