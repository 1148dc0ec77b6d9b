"""What becomes of an executor whose blocks of nodes end."""

from __future__ import annotations

from collections.abc import Mapping

from parsl.executors.status_handling import BlockProviderExecutor
from parsl.jobs.errors import TooManyJobFailuresError
from parsl.jobs.states import JobState, JobStatus

FAILURES = 3
"""Blocks in a row that may fail to start where an earlier one did."""
TAIL_LINES = 12


def give_up_early(executor: BlockProviderExecutor, status: Mapping[str, JobStatus]) -> None:
    """Parsl's hook for ended blocks: fail what waits for an executor whose blocks cannot start.

    A block that never came to work (a refused queue, a worker_init that fails) will not do so the next time. One that
    did work and then went away is replaced.
    """
    blocks = [status[block] for block in sorted(status, key=int)]
    failed = 0
    for block in reversed(blocks):
        if not _never_started(block):
            break
        failed += 1
    if failed and failed >= min(len(blocks), FAILURES):
        executor.set_bad_state_and_fail_all(TooManyJobFailuresError(_words(executor, blocks[-1])))


def _never_started(block: JobStatus) -> bool:
    """Whether a block ended before its workers told the driver that they are there, or could not be submitted."""
    return block.state == JobState.MISSING or (block.state == JobState.FAILED and block.exit_code is None)


def _words(executor: BlockProviderExecutor, block: JobStatus) -> str:
    """What the last block said."""
    lines = [f"the nodes of '{executor.label}' did not start"]
    if block.exit_code is not None:
        lines.append(f"exit code {block.exit_code}")
    said = (block.stderr_summary or block.stdout_summary or "").rstrip()
    return "\n".join([*lines, *(said.splitlines()[-TAIL_LINES:] if said else filter(None, [block.message]))])
