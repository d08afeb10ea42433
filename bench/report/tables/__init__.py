"""Tables of a report as Markdown, HTML and terminal text."""
