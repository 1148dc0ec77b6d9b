"""``python -m metis_flow.cli``: the command line, without an installed script."""

from __future__ import annotations

import sys

from metis_flow.cli.entry import main

sys.exit(main())
