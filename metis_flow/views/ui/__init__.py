"""A local web application that shows runs as they go on: read-only, for one person, behind a secret address."""
