"""The outcome of a run as text, Markdown, HTML, JUnit XML and JSON. May never change a grade."""
