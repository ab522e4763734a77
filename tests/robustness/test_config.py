import math

import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.schema import changed, from_user
from mixlens.robustness.config import ATTACKS, EPSILONS, RobustnessConfig, check_epsilons, check_within_range


def test_the_defaults_are_the_published_analysis():
    config = RobustnessConfig()
    assert config.attacks == ATTACKS == ("fgsm", "pgd", "bim", "uniform-noise", "deepfool")
    assert config.epsilons == EPSILONS
    assert len(EPSILONS) == 14
    assert (EPSILONS[0], EPSILONS[-1]) == (0.0, 1.0)
    assert config.protocol == "paper"
    assert config.images is None
    assert not changed(config)


@pytest.mark.parametrize(
    ("epsilons", "words"),
    [
        ((), "epsilons is empty"),
        ((-0.1, 0.1), r"at least 0, got -0\.1"),
        ((0.0, math.nan), "finite and at least 0, got nan"),
        ((math.inf,), "finite and at least 0, got inf"),
        ((0.0, 0.2, 0.1), r"must ascend, but 0\.1 follows 0\.2"),
        ((0.0, 0.1, 0.1), r"lists 0\.1 twice"),
    ],
)
def test_epsilons_that_are_refused(epsilons, words):
    for check in (check_epsilons, lambda given: RobustnessConfig(epsilons=given)):
        with pytest.raises(InputError, match=words):
            check(epsilons)


@pytest.mark.parametrize("epsilons", [(0.0,), (0.5,), (0.0, 1e-9, 8 / 255, 1.0, 20.0)])
def test_epsilons_that_are_taken(epsilons):
    assert RobustnessConfig(epsilons=epsilons).epsilons == epsilons


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"attacks": ()}, "attacks is empty"),
        ({"images": 1}, "images must be at least 2, got 1"),
        ({"images": -5}, "images must be at least 2, got -5"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_other_settings_that_are_refused(values, words):
    with pytest.raises(InputError, match=words):
        RobustnessConfig(**values)


def test_the_least_that_is_taken():
    config = RobustnessConfig(images=2, batch_size=1, seed=0, attacks=("fgsm",))
    assert (config.images, config.batch_size, config.seed) == (2, 1, 0)


def test_from_a_study_file():
    config = from_user(RobustnessConfig, {"epsilons": [0, "1e-3"], "attacks": "pgd", "batch-size": 7}, "robustness")
    assert config.epsilons == (0.0, 0.001)
    assert all(isinstance(epsilon, float) for epsilon in config.epsilons)
    assert config.attacks == ("pgd",)
    assert config.batch_size == 7
    with pytest.raises(InputError, match=r"papre.*Did you mean 'paper'"):
        from_user(RobustnessConfig, {"protocol": "papre"}, "robustness")


def test_an_epsilon_of_bytes_is_told_with_what_is_meant():
    """Under L∞ alone: an L2 norm of 8 is a small part of an image."""
    with pytest.raises(InputError, match=r"ε = 8 under L∞: .* Did you mean 8/255, 0\.0314\?"):
        check_within_range((0.0, 8.0))
    with pytest.raises(InputError, match=r"ε = 1\.5 under L∞"):
        check_within_range((1.0, 1.5))
    with pytest.raises(
        InputError, match=r"ε = 300 under L∞: images lie in \[0, 1\], and ε = 1 allows every one\. Give"
    ):
        check_within_range((300.0,))
    check_within_range((0.0, 1.0))
