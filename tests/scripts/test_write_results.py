"""The results' page is what its template and the kept rows make of it."""

import pandas as pd
import pytest
from write_results import RESULTS, Kept, page


def test_the_page_is_what_the_rows_say():
    assert (RESULTS / "README.md").read_text(encoding="utf-8") == page(), "run python scripts/write_results.py"


@pytest.fixture
def kept():
    values = {"baseline": [50.0, 51.0, 52.0], "mixup": [44.0, 45.1, 45.9], "fmix": [51.0, 50.0, 53.0]}
    rows = [
        ("rate", name, "independent", seed, value)
        for name, of_seeds in values.items()
        for seed, value in enumerate(of_seeds)
    ]
    rows += [("rate", "baseline", "self", seed, 50.5) for seed in range(3)]
    return Kept(pd.DataFrame(rows, columns=["quantity", "augmentation", "pair", "seed", "value"]))


def test_numbers_are_those_of_the_reports(kept):
    assert kept.mean("rate", "mixup", pair="independent") == "45.0 ± 1.0"
    # −6, −5.9, −6.1: t(0.975, 2) · 0.1 / √3 = 0.248
    assert kept.change("rate", "mixup", pair="independent") == "−6.00 [−6.25, −5.75] ↓"
    assert kept.change("rate", "mixup", to="mixup", pair="independent") == "0 [0, 0]"
    assert kept.null_pair("rate") == "0.5 to 1.5"
    assert kept.most("value", pair="self") == "50.5"
    assert kept.seeds("rate", "fmix", pair="independent") == 3


@pytest.mark.parametrize(("name", "word"), [("mixup", "falls"), ("fmix", "one cannot tell")])
def test_words_follow_the_intervals(kept, name, word):
    assert kept.word("rate", name, pair="independent") == word


@pytest.mark.parametrize("asked", [("rate", "baseline"), ("rate", "cutmix"), ("mse", "mixup")])
def test_what_is_not_there_once_a_seed_is_no_number(kept, asked):
    with pytest.raises(ValueError, match="expected one a seed"):
        kept.mean(*asked)
