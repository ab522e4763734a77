"""Estimators and bounds of mutual information."""

from .critics import SeparableCritic, fit_critic, fit_critics
from .encodings import Encoding
from .gaussian import gaussian, gaussian_bias
from .ksg import ksg
from .marginal_gap import marginal_gap
from .neural import evaluate_critic, neural, neural_together
from .rate import rate
from .rate_defensive import rate_defensive
from .rate_gaussian import rate_gaussian
from .rate_mixture import rate_mixture
from .sandwich import index_code, infonce, leave_one_out, sandwich
from .smallest_rate import smallest_rate
from .world import GaussianWorld, LinearEncoder, mmse_decoder

__all__ = [
    "Encoding",
    "GaussianWorld",
    "LinearEncoder",
    "SeparableCritic",
    "evaluate_critic",
    "fit_critic",
    "fit_critics",
    "gaussian",
    "gaussian_bias",
    "index_code",
    "infonce",
    "ksg",
    "leave_one_out",
    "marginal_gap",
    "mmse_decoder",
    "neural",
    "neural_together",
    "rate",
    "rate_defensive",
    "rate_gaussian",
    "rate_mixture",
    "sandwich",
    "smallest_rate",
]
