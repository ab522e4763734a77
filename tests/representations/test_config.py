import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.schema import changed, from_user
from mixlens.representations.config import RepresentationsConfig


def test_the_defaults():
    config = RepresentationsConfig()
    assert (config.layers, config.noise, config.dimensions, config.images) == ((), (0.1, 0.3), 64, None)
    assert not changed(config)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"noise": (0.0,)}, "noise must be positive, got 0.0"),
        ({"noise": (1.0, -2.0)}, "noise must be positive, got -2.0"),
        ({"noise": ()}, r"noise must list different standard deviations, got \[\]"),
        ({"noise": (2.0, 2.0)}, "noise must list different"),
        ({"layers": ("a", "a")}, "layers lists a name twice"),
        ({"dimensions": 0}, "dimensions must be at least 1, got 0"),
        ({"images": 3}, "images must be at least 5, got 3"),
        ({"training_images": 0}, "training_images must be at least 5, got 0"),
        ({"draws": 0}, "draws must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
    ids=str,
)
def test_settings_that_are_refused(values, words):
    with pytest.raises(InputError, match=words):
        RepresentationsConfig(**values)


def test_from_a_study_file():
    values = {"noise": [1, 0.4], "layers": "stem", "training-images": 7}
    expected = RepresentationsConfig(noise=(1.0, 0.4), layers=("stem",), training_images=7)
    assert from_user(RepresentationsConfig, values, "representations") == expected
