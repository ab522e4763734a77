"""Yelp's reviews as bad or good (Zhang et al. 2015): of one or two stars, or of three or four."""

from ..yelp import Yelp

ABOUT = "598,000 reviews of businesses, bad or good; 166 MB"
MEGABYTES = 166.0
SHAPE = None  # texts are of any length

_SET = Yelp(
    "yelp_polarity",
    "yelp_review_polarity_csv",
    "528f22e286cad085948acbc3bea7e58188416546b0e364d0ae4ca0ce666abe35",
    MEGABYTES,
    (560_000, 38_000),
    ("bad", "good"),
)
status, fetch, load = _SET.status, _SET.fetch, _SET.load
