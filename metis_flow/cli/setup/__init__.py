"""Commands about sites, tasks and the gateway for tests."""
