import pytest

from mixlens.analysis.presentation.names import _OTHERS, _PALETTE
from mixlens.analysis.presentation.shades import DARKEST, LIGHTEST, luminance, shades

PAGES = "#ffffff", "#15181d"  # of reports/templates/report.html.j2, light and dark


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_luminance_is_that_of_wcag():
    assert luminance("#ffffff") == pytest.approx(1)
    assert luminance("#000000") == 0
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # a well-known pair


@pytest.mark.parametrize("colour", [*_PALETTE.values(), *_OTHERS])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_shades_fall_from_light_to_dark_and_are_legible_on_both_pages(colour, count):
    levels = [luminance(shade) for shade in shades(colour, count)]
    assert levels == sorted(levels, reverse=True)
    assert len(set(levels)) == count
    assert levels[0] == pytest.approx(LIGHTEST, abs=0.01)
    assert levels[-1] == pytest.approx(DARKEST, abs=0.01)
    assert all(contrast(shade, page) > 2 for shade in shades(colour, count) for page in PAGES)


def test_a_shade_keeps_its_hue():
    """Darker: the same shares of red, green and blue light; lighter: white is added to each alike."""
    for shade in shades("#009e73", 5):
        red, green, blue = (int(shade[place : place + 2], 16) for place in (1, 3, 5))
        assert red < blue < green


def test_a_colour_alone_and_one_with_a_place_of_its_own_are_as_they_are():
    assert shades("#e69f00", 1) == ["#e69f00"]
    assert shades("#009e73", 3, own=1)[1] == "#009e73"
    crowded = shades("#e69f00", 2, own=1)  # the own colour lies beside the lightest: no step would be seen
    assert crowded == shades("#e69f00", 2)
