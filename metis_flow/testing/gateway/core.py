"""All parts of one gateway."""

from __future__ import annotations

from metis_flow.testing.gateway.access import Access
from metis_flow.testing.gateway.clock import Clock
from metis_flow.testing.gateway.faults import FaultPlan
from metis_flow.testing.gateway.globus_auth import GlobusAuth
from metis_flow.testing.gateway.ledger import Ledger
from metis_flow.testing.gateway.models import Models
from metis_flow.testing.gateway.options import Options
from metis_flow.testing.gateway.rates import Rates
from metis_flow.testing.gateway.replies import default_rule
from metis_flow.testing.gateway.upstream import Upstream


class Core:
    """The state of a gateway. It belongs to one event loop, and only that touches it.

    Args:
        options: how it was asked for.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.clock = Clock(options.speed)
        self.rates = Rates(self.clock, options.limits)
        self.models = Models(self.clock, self.rates, options.models, any_model=options.any_model)
        self.access = Access(self.clock)
        self.ledger = Ledger(options.keep)
        self.globus = GlobusAuth(self.access, self.ledger, options.person, options.token_lifetime)
        self.plan = FaultPlan(options.faults)
        self.latency = options.latency
        self.rule = options.rule or default_rule
        self.upstream = Upstream(options.upstream, options.upstream_key, options.timeout) if options.upstream else None
        self.arrivals = 0  # chat requests that came in
        self.answers = 0  # those that the rule was asked
        self.rule_errors: list[BaseException] = []
        self.token = self.access.issue(options.person, lifetime=options.token_lifetime, value=options.token)

    async def close(self) -> None:
        """End the connections to the upstream."""
        if self.upstream is not None:
            await self.upstream.close()
