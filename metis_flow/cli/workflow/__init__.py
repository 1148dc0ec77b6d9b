"""Commands about a workflow file, before it runs."""
