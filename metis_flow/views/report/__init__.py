"""A run as one HTML file: read from its record, drawn, and put together."""
