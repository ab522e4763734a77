"""How sure an interval is, and from how many seeds on one is given at all."""

LEVEL = 0.95  # of every interval; 1 − LEVEL is that of every test of a difference
ENOUGH_SEEDS = 3  # with fewer one cannot tell what another training would give
