"""Facts that a run has for the pipelines of its dynamic steps."""

from __future__ import annotations

from flowyml_aws.client.preflight import CheckedRequest
from flowyml_aws.client.preview import limits_of
from flowyml_aws.core.environment import merge_environments
from flowyml_aws.core.time_spans import seconds_of
from flowyml_aws.planning.expansion_facts import CatalogFacts, ExpansionFacts

__all__ = ["expansion_facts"]


def expansion_facts(checked: CheckedRequest) -> ExpansionFacts:
    """Return the facts of a request without mistakes."""
    request, settings, services = checked.request, checked.settings, checked.services
    options, host = request.options, services.host
    placement = request.placement(request.project.root)
    pins = request.pins(settings)
    idle = options.stop_idle_gpu
    return ExpansionFacts(
        rest=placement.rest,
        named=dict(placement.named),
        origin=placement.origin,
        targets=tuple(services.targets()),
        catalog=CatalogFacts.of(host.catalog),
        image=checked.planned.plan.image,
        environment=dict(request.environment(settings)),
        secrets=merge_environments(request.secrets),
        cache=options.cache,
        cache_versions=settings.cache_versions,
        pins=dict(pins.versions),
        pins_source=pins.source,
        stores_all=options.checkpoint_steps,
        spot=options.spot,
        max_price_usd_hour=limits_of(settings, request.limits).price_usd_hour,
        stop_idle_gpu_s=settings.stop_idle_gpu if idle is None else seconds_of(idle),
        debug_shell=checked.planned.plan.debug_shell,
    )
