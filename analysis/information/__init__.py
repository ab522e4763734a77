"""Estimators and bounds of mutual information. Each public name loads its module on first use (PEP 562)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .canonical import gaussian, gaussian_bias
    from .contrastive import index_code, infonce
    from .critics import SeparableCritic, fit_critic
    from .defensive import rate_defensive
    from .gap import marginal_gap
    from .gaussian_marginal import rate_gaussian
    from .loo import leave_one_out
    from .nearest import ksg
    from .prior_rate import rate
    from .smallest import smallest_rate
    from .two_sided import sandwich
    from .variational import evaluate_critic, neural
    from .world import GaussianWorld, LinearEncoder, mmse_decoder

# Modules are not named after their functions: a package cannot hold both under one name.
_HOMES = {
    "GaussianWorld": "world",
    "LinearEncoder": "world",
    "SeparableCritic": "critics",
    "evaluate_critic": "variational",
    "fit_critic": "critics",
    "gaussian": "canonical",
    "gaussian_bias": "canonical",
    "index_code": "contrastive",
    "infonce": "contrastive",
    "ksg": "nearest",
    "leave_one_out": "loo",
    "marginal_gap": "gap",
    "mmse_decoder": "world",
    "neural": "variational",
    "rate": "prior_rate",
    "rate_defensive": "defensive",
    "rate_gaussian": "gaussian_marginal",
    "sandwich": "two_sided",
    "smallest_rate": "smallest",
}
__all__ = [
    "GaussianWorld",
    "LinearEncoder",
    "SeparableCritic",
    "evaluate_critic",
    "fit_critic",
    "gaussian",
    "gaussian_bias",
    "index_code",
    "infonce",
    "ksg",
    "leave_one_out",
    "marginal_gap",
    "mmse_decoder",
    "neural",
    "rate",
    "rate_defensive",
    "rate_gaussian",
    "sandwich",
    "smallest_rate",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
