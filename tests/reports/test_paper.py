"""The paper's numbers against the lines of its tables, and which study they are shown to."""

import math
import re

import pytest

from mixlens.analysis.interface import Arm, printed_of
from mixlens.reports import paper
from mixlens.reports.claims import OTHER_CLAIMS, claims_of
from mixlens.reports.paper import CIFAR10, CLASSIFIERS, Setup

# As printed: baseline, FMix, MixUp, CutMix; other authors' numbers stand in parentheses.
TABLE_2 = """
cifar10 preact-resnet18       | 94.63 ± 0.21 | 96.14 ± 0.10 | 95.66 ± 0.11        | 96.00 ± 0.07
cifar10 wide-resnet           | 95.25 ± 0.10 | 96.38 ± 0.06 | (97.3) 96.60 ± 0.09 | 96.53 ± 0.10
cifar10 densenet-bc           | 96.26 ± 0.08 | 97.30 ± 0.05 | (97.3) 97.05 ± 0.05 | 96.96 ± 0.01
cifar10 pyramidnet            | 98.31        | 98.64        | 97.92               | 98.24
cifar100 preact-resnet18      | 75.22 ± 0.20 | 79.85 ± 0.27 | (78.9) 77.44 ± 0.50 | 79.51 ± 0.38
cifar100 wide-resnet          | 78.26 ± 0.25 | 82.03 ± 0.27 | (82.5) 81.09 ± 0.33 | 81.96 ± 0.40
cifar100 densenet-bc          | 81.73 ± 0.30 | 83.95 ± 0.24 | 83.23 ± 0.30        | 82.79 ± 0.46
fashion_mnist preact-resnet18 | 95.70 ± 0.09 | 96.36 ± 0.03 | 96.28 ± 0.08        | 96.03 ± 0.10
fashion_mnist wide-resnet     | 95.29 ± 0.17 | 96.00 ± 0.11 | 95.75 ± 0.09        | 95.64 ± 0.20
fashion_mnist densenet-bc     | 95.84 ± 0.10 | 96.26 ± 0.10 | 96.30 ± 0.04        | 96.12 ± 0.13
tiny_imagenet preact-resnet18 | 55.94 ± 0.28 | 61.43 ± 0.37 | 55.96 ± 0.41        | 64.08 ± 0.32
"""
TABLE_3 = """
accuracy                        1.0 |       | 77.42 | 75.89 | 76.92
accuracy_top5                   1.0 |       | 93.92 | 93.06 | 93.55
accuracy                        0.2 | 77.28 | 77.70 | 77.23 | 76.72
accuracy_top5                   0.2 | 93.63 | 93.97 | 93.81 | 93.46
other_accuracy:imagenet-a       1.0 |       | 7.19  | 8.69  | 6.92
other_accuracy_top5:imagenet-a  1.0 |       | 33.65 | 34.89 | 34.03
other_accuracy:imagenet-a       0.2 | 4.08  | 5.32  | 5.81  | 6.08
other_accuracy_top5:imagenet-a  0.2 | 28.87 | 31.21 | 31.43 | 31.56
"""
TABLE_4 = """
accuracy:root      | 92.86 ± 0.20 | 96.13 ± 0.14 | 94.80 ± 0.10 | 95.74 ± 0.20
accuracy:consonant | 96.23 ± 0.35 | 97.05 ± 0.23 | 96.42 ± 0.42 | 96.96 ± 0.21
accuracy:vowel     | 96.91 ± 0.19 | 97.77 ± 0.30 | 96.74 ± 0.95 | 97.37 ± 0.60
accuracy           | 87.60 ± 0.45 | 91.87 ± 0.30 | 89.23 ± 1.04 | 91.08 ± 0.49
"""
# Table 5 and Table 7, typed from the paper a second time: baseline | FMix | MixUp (| CutMix)
TABLE_5 = """
toxic text-cnn roc_auc 1                 | 96.04 ± 0.16 | 96.80 ± 0.06 | 96.62 ± 0.10
toxic text-lstm roc_auc 1                | 96.72 ± 0.04 | 97.35 ± 0.05 | 97.15 ± 0.06
toxic bert roc_auc 0.1                   | 98.22 ± 0.03 | 98.26 ± 0.03
imdb text-cnn accuracy 0.2               | 86.68 ± 0.50 | 87.31 ± 0.34 | 88.94 ± 0.13
imdb text-lstm accuracy 0.2              | 88.29 ± 0.17 | 88.47 ± 0.24 | 88.72 ± 0.17
yelp_polarity text-cnn accuracy 1        | 95.47 ± 0.08 | 95.80 ± 0.14 | 95.91 ± 0.10
yelp_polarity text-lstm accuracy 1       | 96.41 ± 0.05 | 96.68 ± 0.06 | 96.71 ± 0.07
yelp_full text-cnn accuracy 1            | 63.78 ± 0.18 | 64.46 ± 0.07 | 64.56 ± 0.12
yelp_full text-lstm accuracy 1           | 62.96 ± 0.18 | 66.46 ± 0.13 | 66.11 ± 0.13
modelnet10 pointnet accuracy_median 1    | 89.10 ± 0.32 | 98.57 ± 0.44
speech_commands preact-resnet18 accuracy 1   | 97.69 ± 0.04 | 98.59 ± 0.03 | 98.46 ± 0.08 | 98.46 ± 0.08
speech_commands preact-resnet18 accuracy 0.2 | 97.69 ± 0.04 | 98.44 ± 0.06 | 98.31 ± 0.08 | 98.48 ± 0.06
"""
COLUMNS = ("baseline", "fmix", "mixup", "cutmix")
BENGALI, IMAGENET = Setup("bengali", "timm:seresnext50_32x4d"), Setup("imagenet", "torchvision:resnet101")


def lines(table):
    """Of each line its words, and of each augmentation its value and deviation."""
    for line in table.strip().splitlines():
        head, *cells = line.split("|")
        numbers = (re.findall(r"[\d.]+", re.sub(r"\(.*\)", "", cell)) for cell in cells)
        values = [tuple(map(float, one)) for one in numbers]
        yield head.split(), dict(zip(COLUMNS, values, strict=False))


def shown(printed):
    return (printed.value,) if math.isnan(printed.sd) else (printed.value, printed.sd)


def test_table_2():
    for setup, row in lines(TABLE_2):
        known = CLASSIFIERS[Setup(*setup)]
        assert {name: shown(known[name]["accuracy"]) for name in COLUMNS} == row
    others = {tuple(head[:2]) for head, _ in lines(TABLE_5)}
    assert len(CLASSIFIERS) == len(list(lines(TABLE_2))) + len(others) + 2


def test_table_3():
    for (quantity, alpha), row in lines(TABLE_3):
        for name, value in row.items():
            if value:
                text = name if alpha == "1.0" or name == "baseline" else f"{name}(alpha={alpha})"
                assert shown(CLASSIFIERS[IMAGENET][text][quantity]) == value


def test_tables_5_and_7():
    for (data, model, quantity, alpha), row in lines(TABLE_5):
        known = CLASSIFIERS[Setup(data, model)]
        for name, value in row.items():
            text = name if alpha == "1" or name == "baseline" else f"{name}(alpha={alpha})"
            assert shown(known[text][quantity]) == value
        assert not quantity.startswith("accuracy") or {quantity} == set().union(*known.values())


def test_stars_are_another_question():
    assert Setup.of({"data": "imdb(stars=True)", "classifier": {"model": "text-cnn"}}).data == "imdb(stars=True)"
    assert Setup.of({"data": "imdb(length=99)", "classifier": {"model": "text-cnn(width=8)"}}) == Setup(
        "imdb", "text-cnn"
    )


def test_table_4():
    for (quantity,), row in lines(TABLE_4):
        assert {name: shown(CLASSIFIERS[BENGALI][name][quantity]) for name in COLUMNS} == row


@pytest.mark.parametrize(
    ("settings", "setup"),
    [
        ({"data": "cifar10"}, CIFAR10),
        ({"data": "cifar100", "classifier": {"model": "wide-resnet(depth=10)"}}, Setup("cifar100", "wide-resnet")),
        ({"data": "photos", "classifier": {"model": "preact-resnet18-official"}}, Setup("photos")),
        (
            {"data": "bengali(fold=3,head='root')", "classifier": {"model": BENGALI.model}},
            BENGALI._replace(head="root"),
        ),
        ({"data": "my.code:data(size=3)"}, Setup("my.code:data")),
    ],
)
def test_the_setup_of_a_study(settings, setup):
    assert Setup.of(settings) == setup


def test_values_are_shown_of_the_studys_data_and_network_alone():
    assert paper.values("classifier", Setup("cifar100"))["fmix"]["accuracy"].value == 79.85
    assert paper.values("classifier", Setup("cifar10", "conv4")) == {}
    assert paper.values("classifier", Setup("photos")) == {}
    assert paper.values("gradcam", CIFAR10)
    assert paper.values("gradcam", Setup("cifar10", "wide-resnet")) == {}
    assert paper.values("vae", Setup("cifar10", "wide-resnet")), "no classifier has a part in them"
    assert paper.values("vae", Setup("cifar100")) == {}


def test_a_head_by_itself_has_its_own_line_of_table_4():
    vowel = paper.values("classifier", BENGALI._replace(head="vowel"))
    assert {name: values["accuracy"].value for name, values in vowel.items()} == {
        "baseline": 96.91, "fmix": 97.77, "fmix-official": 97.77, "mixup": 96.74, "cutmix": 97.37,
    }  # fmt: skip
    assert paper.values("classifier", BENGALI._replace(head="stem")) == {}


def test_differences_are_of_the_setup():
    assert paper.difference("classifier", "accuracy", "fmix", "baseline").value == pytest.approx(96.14 - 94.63)
    found = paper.difference("classifier", "accuracy", "fmix", "baseline", Setup("tiny_imagenet"))
    assert found.value == pytest.approx(61.43 - 55.94)
    assert paper.difference("classifier", "accuracy:root", "fmix", "cutmix", BENGALI).value == pytest.approx(0.39)


def test_studies_of_several_data_sets_in_one_report_have_each_its_own():
    """The same augmentation has another value in each."""
    setups = {"one": CIFAR10, "two": Setup("cifar100"), "three": Setup("photos")}
    arms = [Arm(study, name) for study in setups for name in ("fmix", "mine")]
    printed = paper.values_of("classifier", setups, arms)
    found = {arm: printed_of(printed, arm, "accuracy") for arm in arms}
    assert {arm.study: value.value for arm, value in found.items() if value} == {"one": 96.14, "two": 79.85}
    assert paper.values_of("vae", setups, arms) == {}
    assert printed_of(paper.values_of("vae", {"one": CIFAR10}, arms[:1]), arms[0], "rate").value == 83.67


def test_every_claim_of_another_setup_holds_of_its_own_printed_numbers():
    """The text was read rightly: what is claimed is so in the table, by the size that is printed."""
    for claim in OTHER_CLAIMS:
        for one in claim.comparisons:
            difference = paper.difference(one.section, one.quantity, one.first, one.second, claim.setup).value
            assert difference > 0 if one.relation == "above" else difference < 1, (claim.setup, one)


def test_claims_by_setup():
    names = {claim.name: claim.text for claim in claims_of(Setup("cifar10", "wide-resnet"))}
    assert names["accuracy"] == "Test accuracy: MixUp and CutMix above all others"
    assert "rate-mixup" in names, "of VAEs, whatever the classifiers are"
    assert {claim.name for claim in claims_of(BENGALI)} == {"graphemes", "grapheme-heads"}
    assert claims_of(Setup("photos")) == claims_of(Setup("cifar100", "wide-resnet")) == ()
    assert [claim.setup for claim in claims_of(CIFAR10) if claim.name == "accuracy"] == [CIFAR10]
