"""Attacks are tried before anything is trained: one step of each on two images. What they find is in test_sweep.py."""

import pytest
import torch
from helpers import checkerboards, tiny_dataset

from mixlens.analysis.errors import InputError
from mixlens.robustness.attacks import SHORT, _known, parse_attacks
from mixlens.robustness.probe import try_attacks

DATA = tiny_dataset(checkerboards(8, 0), checkerboards(8, 1))


@pytest.mark.parametrize(
    "text",
    [
        "pgd(rel_stepsize='a')",
        "pgd(abs_stepsize='a')",
        "deepfool(candidates=1)",
        "deepfool(loss='foo')",
        "L2CarliniWagnerAttack(stepsize='a')",
    ],
)
def test_an_argument_that_foolbox_refuses_only_when_it_runs_is_known_before(text):
    with pytest.raises(InputError) as caught:
        try_attacks(parse_attacks([text]), DATA)
    assert str(caught.value).startswith(f"attack {text!r} failed: ")


def test_every_attack_passes_with_its_defaults_in_a_moment_and_draws_nothing_of_the_callers():
    state, tried = torch.random.get_rng_state(), 0
    for name in [*SHORT, *_known()]:
        try:
            attacks = parse_attacks([name])
        except InputError:  # another package, an argument without a default
            continue
        with torch.inference_mode():  # whatever the caller is in
            try_attacks(attacks, DATA)
        tried += 1
    assert tried > 50
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_million_steps_are_tried_in_two():
    (attack,) = parse_attacks(["pgd(steps=1000000)"])
    try_attacks([attack], DATA)
    assert attack.steps == 1_000_000
