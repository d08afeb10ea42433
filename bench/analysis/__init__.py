"""Analysis of a campaign's rows: cells, ratios, capacity, the headline."""
