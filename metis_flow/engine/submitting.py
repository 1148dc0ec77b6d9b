"""Makes the record of a run that a batch job will drive, and sends the job."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field

from metis_flow.engine.answerer import Answerer
from metis_flow.engine.locking import lock_run
from metis_flow.engine.options import RunOptions
from metis_flow.engine.run import make_choices
from metis_flow.errors import MetisFlowError
from metis_flow.plan.plan import Plan, called
from metis_flow.record.folder import RunFolder
from metis_flow.record.jobs import SentJob
from metis_flow.sites.choice import executors_in_use
from metis_flow.sites.config import SiteConfig
from metis_flow.sites.job_script import JobRequest, job_request, job_script
from metis_flow.sites.parsl_config import host_parts
from metis_flow.sites.submission import check_login, remarks, send_job, write_job
from metis_flow.workflow.bodies import ShellDef


@dataclass(frozen=True)
class JobPlan:
    """A job that could be sent.

    Attributes:
        chain: how many jobs may drive the run one after the other.
        remarks: what may go wrong with it.
    """

    plan: Plan
    options: RunOptions
    answerer: Answerer | None
    site: SiteConfig
    request: JobRequest
    chain: int
    remarks: list[str] = field(default_factory=list)

    def script(self) -> str:
        """The job script, with a name in place of the run that is not made yet."""
        folder = RunFolder(self.options.runs_dir.absolute() / f"{self.plan.workflow.name}-NEW")
        return job_script(self.request, self.site, folder, chained=self.chain > 1)

    def send(self) -> tuple[RunFolder, SentJob]:
        """Make the record and send the job. Where the scheduler refuses it, there is no record.

        Raises:
            ConfigError: it refuses it.
        """
        folder = RunFolder.create(self.options.runs_dir, self.plan.workflow.name)
        try:
            lock_run(self.plan, folder, self.answerer, self.site, self.options)
            write_job(folder, self.request, self.site, chain=self.chain)
            return folder, send_job(folder)
        except MetisFlowError:
            shutil.rmtree(folder.path, ignore_errors=True)
            raise


def plan_job(plan: Plan, options: RunOptions, *, chain: int = 1) -> JobPlan:
    """See whether a job can drive a workflow; nothing is written or sent.

    Raises:
        ConfigError: endpoint, site or its settings do not fit, or a step fits none of its executors.
        LoginRequired: the calls need a login that is not there, or that ends before the job could.
    """
    answerer, site = make_choices(plan, options)
    request = job_request(site, plan.workflow.name)
    uses = executors_in_use(site, plan.workflow)
    host_parts(site, uses, hosts=[f"node-{number}" for number in range(request.nodes)])
    endpoint = answerer.endpoint if answerer is not None else None
    found = [remark] if endpoint is not None and (remark := check_login(endpoint, request)) else []
    found += remarks(endpoint, request, _secrets(plan))
    return JobPlan(plan, options, answerer, site, request, chain, found)


def _secrets(plan: Plan) -> list[str]:
    bodies = [step.body for one in (plan.workflow, *called(plan.workflow)) for step in one.steps.values()]
    return [name for body in bodies if isinstance(body, ShellDef) for name in body.secrets]
