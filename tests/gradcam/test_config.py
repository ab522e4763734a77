import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.schema import changed, from_user
from mixlens.gradcam.config import PREDICTED, TRUE, GradCAMConfig


def test_the_defaults():
    config = GradCAMConfig()
    assert (config.layers, config.method, config.norm, config.upsample) == ((), "gradcam", "max", False)
    assert (config.target, config.images, config.batch_size, config.shown) == (PREDICTED, None, None, 6)
    assert not changed(config)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"layers": ("stem", "stages.0", "stem")}, r"layers lists a name twice: \['stem', 'stages\.0', 'stem'\]"),
        ({"target": "most likely"}, "target must be predicted, true or the index of a class, got 'most likely'"),
        ({"target": "-1"}, "got '-1'"),
        ({"target": "1.5"}, r"got '1\.5'"),
        ({"target": ""}, "got ''"),
        ({"target": "True"}, "got 'True'"),
        ({"images": 1}, "images must be at least 2, got 1"),
        ({"images": 0}, "images must be at least 2, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"shown": 0}, "shown must be at least 1, got 0"),
        ({"shown": -3}, "shown must be at least 1, got -3"),
    ],
    ids=str,
)
def test_settings_that_are_refused(values, words):
    with pytest.raises(InputError, match=words):
        GradCAMConfig(**values)


@pytest.mark.parametrize("target", [PREDICTED, TRUE, "0", "3", "1000"])
def test_targets_that_are_taken(target):
    assert GradCAMConfig(target=target).target == target


def test_the_least_that_is_taken():
    config = GradCAMConfig(images=2, batch_size=1, shown=1)
    assert (config.images, config.batch_size, config.shown) == (2, 1, 1)


def test_from_a_study_file():
    values = {"layers": "stem", "batch-size": 7, "upsample": True, "target": "2", "norm": "none", "images": None}
    config = from_user(GradCAMConfig, values, "gradcam")
    assert config == GradCAMConfig(layers=("stem",), batch_size=7, upsample=True, target="2", norm="none")
    assert from_user(GradCAMConfig, {"layers": ["a", "b"]}, "gradcam").layers == ("a", "b")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"method": 3}, r"gradcam\.method must be text, got 3"),
        ({"norm": "min-max"}, r"gradcam\.norm: 'min-max'\. Did you mean 'minmax'\? Known: max, minmax, none"),
        ({"layer": "stem"}, r"setting in gradcam: 'layer'\. Did you mean 'layers'"),
        ({"images": 1}, "gradcam: images must be at least 2"),
        ({"upsample": 1}, r"gradcam\.upsample must be true or false, got 1"),
        ({"batch_size": 2.5}, r"gradcam\.batch_size must be a whole number, got 2\.5"),
    ],
    ids=str,
)
def test_mistakes_in_a_study_file(values, words):
    with pytest.raises(InputError, match=words):
        from_user(GradCAMConfig, values, "gradcam")
