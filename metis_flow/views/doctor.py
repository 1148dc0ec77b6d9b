"""What the doctor found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, TextIO

from metis_flow.sites.doctor.finding import Finding
from metis_flow.views.safe_text import safe

_WIDTH = 16


def print_findings(findings: Iterable[Finding], out: TextIO) -> list[Finding]:
    """A line for each as it is found, and one for its mend; all of them."""
    found = []
    for finding in findings:
        found.append(finding)
        first, *rest = safe(finding.what).splitlines() or [""]
        out.write(f"{finding.level:<5} {finding.check:<{_WIDTH}} {first}\n")
        out.writelines(f"{'':{_WIDTH + 7}}{line}\n" for line in rest)
        if finding.mend is not None:
            out.write(f"{'':6}{'mend:':<{_WIDTH}} {safe(finding.mend)}\n")
        out.flush()
    return found


def summary(findings: Sequence[Finding]) -> str:
    """How many there are of what has to be mended."""
    counts = {level: sum(finding.level == level for finding in findings) for level in ("fail", "warn")}
    if not any(counts.values()):
        return "all is well"
    return f"{counts['fail']} to mend, {counts['warn']} to look at"


def findings_as_json(findings: Sequence[Finding], site: str) -> dict[str, Any]:
    """The document of ``doctor --json``."""
    healthy = not any(finding.level == "fail" for finding in findings)
    return {"site": site, "healthy": healthy, "findings": [asdict(finding) for finding in findings]}
