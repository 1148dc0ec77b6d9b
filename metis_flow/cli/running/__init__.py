"""Commands that run workflows."""
