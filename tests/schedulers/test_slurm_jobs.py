"""What holds inside of a real Slurm job."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from slurm_kit import Slurm

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_time_left_in_a_job(slurm: Slurm, tmp_path: Path) -> None:
    code = (
        "import dataclasses, json; from metis_flow.sites.walltime import remaining_walltime\n"
        "print(json.dumps(dataclasses.asdict(remaining_walltime())))"
    )
    out = tmp_path / "out"
    wrapped = f"env PYTHONPATH={ROOT} {sys.executable} -c '{code}'"
    said = slurm("sbatch", "--wait", "-t", "2", "-o", str(out), "--wrap", wrapped)
    found = json.loads(out.read_text())
    remaining = found.pop("remaining")
    assert found == {"scheduler": "Slurm", "job": said.split()[3], "total": 120.0, "problem": None}
    assert 60 < remaining <= 120
    assert "SLURM_JOB_ID" not in os.environ
