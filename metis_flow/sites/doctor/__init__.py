"""Finds out whether a site can be used from here, and what to mend where it cannot."""
