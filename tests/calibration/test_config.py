import math

import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.schema import changed, from_user
from mixlens.calibration.config import CalibrationConfig


def test_the_defaults_are_those_the_readme_names():
    config = CalibrationConfig()
    assert config.smoothing == (0.05, 0.1, 0.5)
    assert config.bins == 15
    assert (config.counts, config.resamples, config.seed) == ("", 1000, 0)
    assert not changed(config)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"smoothing": ()}, r"smoothing must list different pseudo-counts, got \[\]"),
        ({"smoothing": (0.1, 0.5, 0.1)}, r"different pseudo-counts, got \[0\.1, 0\.5, 0\.1\]"),
        ({"smoothing": (0.1, 0.0)}, r"smoothing must be positive, got 0\.0"),
        ({"smoothing": (-0.5,)}, r"smoothing must be positive, got -0\.5"),
        ({"smoothing": (math.nan,)}, "smoothing must be positive, got nan"),
        ({"smoothing": (math.inf,)}, "smoothing must be positive, got inf"),
        ({"bins": 0}, "bins must be at least 1, got 0"),
        ({"resamples": 99}, "resamples must be at least 100, got 99"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
    ids=str,
)
def test_settings_that_are_refused(values, words):
    with pytest.raises(InputError, match=words):
        CalibrationConfig(**values)


def test_the_least_that_is_taken():
    config = CalibrationConfig(smoothing=(1e-9,), bins=1, resamples=100, seed=0)
    assert (config.smoothing, config.bins, config.resamples, config.seed) == ((1e-9,), 1, 100, 0)


def test_from_a_study_file():
    config = from_user(CalibrationConfig, {"smoothing": [1, "1e-3"], "bins": 10, "counts": "votes.npy"}, "calibration")
    assert config.smoothing == (1.0, 0.001)
    assert all(isinstance(pseudo, float) for pseudo in config.smoothing)
    assert (config.bins, config.counts) == (10, "votes.npy")
    assert from_user(CalibrationConfig, {"smoothing": 0.2}, "calibration").smoothing == (0.2,)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"smoothings": [0.1]}, "unknown setting in calibration: 'smoothings'. Did you mean 'smoothing'"),
        ({"bins": 1.5}, "calibration.bins must be a whole number, got 1.5"),
        ({"bins": True}, "calibration.bins must be a whole number, got True"),
        ({"smoothing": ["much"]}, "calibration.smoothing must be a number, got 'much'"),
        ({"smoothing": [math.inf]}, "calibration.smoothing must be a number, got inf"),
        ({"counts": 3}, "calibration.counts must be text, got 3"),
        ({"bins": -2}, "calibration: bins must be at least 1, got -2"),
    ],
    ids=str,
)
def test_mistakes_in_a_study_file_name_their_place(values, words):
    with pytest.raises(InputError) as caught:
        from_user(CalibrationConfig, values, "calibration")
    assert words in str(caught.value)
