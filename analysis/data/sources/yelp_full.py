"""Yelp's reviews by their stars, one to five (Zhang et al. 2015)."""

from ..yelp import Yelp

ABOUT = "700,000 reviews of businesses, by their stars; 196 MB"
MEGABYTES = 196.0
SHAPE = None  # texts are of any length

_SET = Yelp(
    "yelp_full",
    "yelp_review_full_csv",
    "56006b0a17a370f1e366504b1f2c3e3754e4a3dda17d3e718a885c552869a559",
    MEGABYTES,
    (650_000, 50_000),
    ("1 star", "2 stars", "3 stars", "4 stars", "5 stars"),
)
status, fetch, load = _SET.status, _SET.fetch, _SET.load
