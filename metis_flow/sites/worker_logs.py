"""What Parsl writes into its logs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from parsl.logconfigs.file import FileLogging

_OF_THE_DRIVER = "parsl"


class WorkerLogs(FileLogging):
    """Warnings of workers, managers and the interchange, in files; nothing of the driver.

    Left alone, Parsl has each worker write several lines for each task, which doubles what a task costs.
    """

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)

    def initialize_logging(self, *, log_dir: Path, log_name: str) -> Callable[[], None]:
        """Open the log of a process."""
        if log_name == _OF_THE_DRIVER:  # whose errors come back as outcomes; Parsl would never close the file
            return lambda: None
        return super().initialize_logging(log_dir=log_dir, log_name=log_name)
