"""With ``wait``, a run whose login dies does not end: it says so, and goes on when somebody has logged in."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from metis_flow import Workflow
from metis_flow.engine.progress import Progress
from metis_flow.testing import Gateway

TEXT = """
version: 1
name: patient
endpoint: local
model: gpt-oss-120b-131072
limits: {concurrency: 2}
steps:
  ask: {foreach: "${{ range(12) }}", chat: "number ${{ item }}"}
outputs: {answers: "${{ steps.ask.outputs }}"}
"""


def test_a_run_waits_in_place_for_a_login(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(TEXT)
    seen: list[Progress] = []
    with Gateway(limits=None, latency=0.05) as gateway:
        gateway.write_endpoint(tmp_path, "local", limits={"timeout": "120s"})

        def end_the_login_and_log_in_again() -> None:
            gateway.wait_for(lambda counts: counts.answered >= 4, seconds=60)
            gateway.expire_tokens()
            end = time.monotonic() + 60
            while not (seen and any("waiting for a login" in note for note in seen[0].notes)):
                assert time.monotonic() < end, "the run never said that it waits"
                time.sleep(0.02)
            (tmp_path / "local.token").write_text(gateway.issue_token() + "\n")

        other = threading.Thread(target=end_the_login_and_log_in_again)
        other.start()
        run = Workflow.load(tmp_path / "w.yaml").run(wait="coming", runs_dir=tmp_path / "runs", on_start=seen.append)
        other.join()
        assert run.status == "done"
        assert run.outputs["answers"] == [f"You said: number {n}" for n in range(12)]
        assert gateway.counts.repeated == 0
