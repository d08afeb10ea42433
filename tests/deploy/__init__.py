"""What users install and open: images, packages, n8n, the report in a browser."""
