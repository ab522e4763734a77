"""Tables and plots of made-up sums, so that every cell can be worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from terms import in_family

from mixlens.analysis.interface import Arm, Row
from mixlens.analysis.presentation.names import colours
from mixlens.analysis.store.record import TaskRecord, read_record, write_record
from mixlens.analysis.store.results import write_rows
from mixlens.analysis.store.runs import ENVIRONMENT, Run
from mixlens.gradcam import figures
from mixlens.gradcam.figures import plots, tables
from mixlens.reports import paper
from mixlens.reports.report import write_report

NAMES = ["gradcam-sums", "gradcam-per-pixel", "gradcam-differences"]
AREAS = {"stem": 64, "stages.0": 16}
ZEROS = np.array([0.0, 4, 8, 12])  # at the second layer: mean 6, one of four maps is zero
# Sums (layers, images) of each network. At the first layer MixUp adds 2, 3 and 4 on average in its three seeds, and
# 1, 3, 3 and 5 to the four images; at the second -3/4 in all of them.
SUMS = {
    **{("baseline", seed): np.stack([np.array([10.0, 20, 30, 40]) + seed, ZEROS]) for seed in range(3)},
    **{("mixup", seed): np.stack([np.array([10.0, 22, 32, 44]) + 2 * seed, ZEROS - [0, 1, 1, 1]]) for seed in range(3)},
}
PAPER = paper.VALUES["gradcam"]


@pytest.fixture
def study(tmp_path):
    """Makes a study's record from the sums of its networks, as the section leaves them."""

    def make(sums=SUMS, areas=AREAS, data="photos", channels=3, **params):
        runs, tasks = tmp_path / "runs", []
        rng = np.random.default_rng(0)
        pictures = rng.integers(0, 256, (3, 8, 8, channels), dtype=np.uint8)
        what = {"method": "gradcam", "norm": "max", "target": "predicted", "upsample": False} | params
        for (augmentation, seed), values in sums.items():
            name = f"gradcam-measure-{augmentation}-{seed}"
            run = Run(runs / name)
            run.path.mkdir(parents=True, exist_ok=True)
            run.write_json(ENVIRONMENT, {"torch": "2.0", "commit": None, "device": "cpu"})
            rows = []
            for (layer, area), own in zip(areas.items(), values, strict=True):
                facts = (name, "other", "gradcam", data, "test", augmentation, "preact-resnet18", seed)
                error = own.std(ddof=1) / math.sqrt(len(own))
                row = Row(
                    *facts, "heatmap_sum", own.mean(), "pixels", len(own), what | {"layer": layer, "area": area}, error
                )
                rows += [
                    row,
                    replace(row, quantity="heatmap_mean", value=own.mean() / area, unit="", stderr=error / area),
                    replace(row, quantity="zero_maps", value=(own == 0).mean(), unit="fraction"),
                ]
            maps = {
                f"map:{layer}": rng.random((3, side, side)).astype(np.float16)
                for layer, side in zip(areas, (8, 4, 2), strict=False)
            }
            run.write_arrays({"sums": np.asarray(values, np.float32), "pictures": pictures} | maps)
            write_rows(run, rows, 1.0)
            tasks.append(TaskRecord(name, "gradcam-measure", "gradcam", name, (), "done"))
        names, seeds = (list(dict.fromkeys(part)) for part in zip(*sums, strict=True))
        settings = {"data": data, "seeds": seeds, "augmentations": names, "sections": ["gradcam"]}
        settings["train_size"] = None
        write_record(
            tmp_path / "study",
            name="a study",
            command="mixlens gradcam",
            settings=settings,
            started="2026-01-01T00:00:00+00:00",
            runs=runs,
            tasks=tasks,
        )
        return read_record(tmp_path / "study")

    return make


def of(record, printed=None):
    """The record's tables by name."""
    made = tables(in_family(record, "gradcam", figures), printed or {})
    assert [table.name for table in made] == NAMES[: len(made)]
    for table in made:
        assert all(len(row) == len(table.header) for row in table.rows), table.name
        assert table.title
        assert table.caption
        assert "nan" not in " ".join([*table.header, *(cell for row in table.rows for cell in row)])
    return {table.name.removeprefix("gradcam-"): table for table in made}


TWO_SEEDS = ("+2.5 [+0.9, +4.1] (these networks)", "−0.75 [−1.24, −0.26] (these networks)")


def some(*keys):
    return {key: values for key, values in SUMS.items() if key in keys or key[0] in keys}


# tables


def test_the_sums(study):
    table = of(study())["sums"]
    assert table.header == ("Augmentation", "stem (64 pixels)", "stages.0 (16 pixels)")
    assert table.rows == (
        ("Baseline", "26.0 ± 1.0", "6 ± 0"),  # 25, 26 and 27; 6 in every seed
        ("MixUp", "29.0 ± 2.0", "5.25 ± 0"),  # 27, 29 and 31
    )
    assert table.caption.startswith(
        "Mean over 4 test images ± standard deviation over training seeds; Grad-CAM of the predicted class, each map "
        "divided by its maximum, at the layer's own size, summed over its pixels."
    )
    # The greatest error is MixUp's: images at -17, -5, 5 and 17 from their mean, so √(628/3)/2 = 7.2
    assert "over images is at most 7.2." in table.caption
    assert "paper" not in table.caption


def test_sums_per_pixel_and_maps_that_are_zero(study):
    table = of(study())["per-pixel"]
    assert table.header == ("Augmentation", "stem", "stages.0", "stem, zero maps (%)", "stages.0, zero maps (%)")
    assert table.rows == (
        ("Baseline", "0.406 ± 0.016", "0.375 ± 0", "0 ± 0", "25 ± 0"),  # 26/64 ± 1/64; 6/16
        ("MixUp", "0.453 ± 0.031", "0.3281 ± 0", "0 ± 0", "25 ± 0"),  # 29/64 ± 2/64
    )


def test_differences_with_their_interval_over_seeds_and_images(study):
    table = of(study())["differences"]
    assert table.header == ("Augmentation", "stem", "stages.0")
    # √(8/3)/2 · 1.960 = 1.60 over images 1, 3, 3 and 5; 1/√3 · 4.303 = 2.48 over seeds 2, 3 and 4: together 2.96.
    # 0.5/2 · 1.960 = 0.49 over images 0, -1, -1 and -1; no spread over seeds. The first layer is judged alone.
    assert table.rows == (("MixUp", "+3.0 [0.0, +6.0] ↑ p = .048", "−0.75 [−1.24, −0.26]"),)


def test_differences_are_paired_by_seed_and_image(study):
    """Offsets that a seed's two networks share, and those that an image's two sums share, leave no trace."""
    images = np.array([[0.0, 700, 20, 5], [3, 1, 60, 9]])
    shared = {key: values + 100 * key[1] * key[1] + images for key, values in SUMS.items()}
    assert of(study(shared))["differences"].rows == of(study())["differences"].rows


def test_the_papers_values_stand_beside_the_first_layer(study):
    sums = SUMS | {("fmix", seed): SUMS["baseline", seed] for seed in range(3)}
    table = of(study(sums, {"stem": 1024, "stages.0": 256}, "cifar10"), PAPER)["sums"]
    assert table.header == ("Augmentation", "stem (1,024 pixels)", "paper", "stages.0 (256 pixels)")
    assert [(row[0], row[2]) for row in table.rows] == [("Baseline", "146 ± 5"), ("MixUp", "162 ± 3"), ("FMix", "—")]
    assert [row[1] for row in table.rows] == ["26.0 ± 1.0", "29.0 ± 2.0", "26.0 ± 1.0"]
    assert table.caption.endswith("The paper's values (section 3): the output of its first convolution, 32×32.")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"method": "gradcam++"}, "Grad-CAM++ of the predicted class, each map divided by its maximum"),
        ({"method": "layercam"}, "LayerCAM of the predicted class"),
        ({"method": "eigencam"}, "EigenCAM of"),
        ({"norm": "minmax"}, "each map moved to reach from 0 to 1, at the layer's own size"),
        ({"norm": "none"}, "each map as it is,"),
        ({"target": "true"}, "Grad-CAM of the true class"),
        ({"target": "3"}, "Grad-CAM of class 3"),
        ({"upsample": True}, "divided by its maximum, at the images' size"),
    ],
    ids=str,
)
def test_by_another_definition_there_is_nothing_of_the_papers_beside(study, params, words):
    table = of(study(data="cifar10", **params), PAPER)["sums"]
    assert table.header == ("Augmentation", "stem (64 pixels)", "stages.0 (16 pixels)")
    assert words in table.caption
    assert "paper" not in table.caption


@pytest.mark.parametrize(("data", "there"), [("cifar10", True), ("photos", False), ("my_code:images", False)])
def test_the_papers_values_belong_to_its_data(study, data, there):
    record = study(data=data)
    page = write_report(record, record.folder / "report.html").read_text(encoding="utf-8")
    assert "Sums of heatmaps" in page
    assert "Differences to the baseline on the same images" in page
    assert ("146 ± 5" in page) == there
    assert ("162 ± 3" in page) == there


def test_a_users_own_augmentation_keeps_its_name(study):
    sums = some("baseline") | {("fmix(alpha=0.2)", 0): SUMS["mixup", 0], ("mine:make", 0): SUMS["mixup", 1]}
    made = of(study(sums))
    assert [row[0] for row in made["sums"].rows] == ["Baseline", "FMix (alpha=0.2)", "mine:make"]


# studies of other shapes


def test_one_seed_cannot_tell(study):
    made = of(study(some(("baseline", 0), ("mixup", 0))))
    assert made["sums"].rows == (("Baseline", "25", "6.00"), ("MixUp", "27", "5.25"))
    # 0, 2, 2 and 4: the half width over images is √(8/3)/2 · 1.960
    images = ("+2.0 [+0.4, +3.6] (these networks)", "−0.75 [−1.24, −0.26] (these networks)")
    assert made["differences"].rows == (("MixUp", *images),)


def test_two_seeds_cannot_tell(study):
    record = study({key: values for key, values in SUMS.items() if key[1] < 2})
    assert of(record)["differences"].rows == (("MixUp", *TWO_SEEDS),)


def test_no_baseline(study):
    record = study(some("mixup"))
    made = of(record)
    assert [row[0] for row in made["sums"].rows] == ["MixUp"]
    assert "differences" not in made
    assert write_report(record, record.folder / "report.html").exists()


def test_the_baseline_alone(study):
    record = study(some("baseline"))
    assert "differences" not in of(record)
    assert write_report(record, record.folder / "report.html").exists()


def test_a_seed_without_its_baseline_is_left_out_of_the_differences(study):
    """A study in which the baseline's third training failed."""
    record = study(some("mixup", ("baseline", 0), ("baseline", 1)))
    made = of(record)
    assert [row[1] for row in made["sums"].rows] == ["25.5 ± 0.7", "29.0 ± 2.0"]
    assert made["differences"].rows == (("MixUp", *TWO_SEEDS),)


def test_equal_sums_everywhere(study):
    """Maps of one hot pixel each: no spread over images or seeds, and histograms of one value."""
    record = study({key: np.ones((2, 4)) for key in SUMS})
    made = of(record)
    assert made["sums"].rows[0] == ("Baseline", "1 ± 0", "1 ± 0")
    assert made["differences"].rows[0] == ("MixUp", "0 [0, 0] p > .99", "0 [0, 0]")
    for plot in plots(record, {}):
        plot.figure.draw_without_rendering()


def test_rows_of_other_sections_are_left_out(study):
    record = study()
    run = record.run("classifier-measure-baseline-0")
    run.path.mkdir()
    facts = (run.path.name, "other", "classifier", "photos", "test", "baseline", "preact-resnet18", 0)
    write_rows(run, [Row(*facts, "accuracy", 0.5, "fraction", 4)], 1.0)
    task = TaskRecord(run.path.name, "classifier-measure", "classifier", "measure", (), "done")
    both = replace(record, tasks=(task, *record.tasks))
    assert of(both)["sums"].rows == of(record)["sums"].rows
    assert len(plots(both, {})) == 2


# plots


def drawn(record, name):
    made = {plot.name: plot for plot in plots(record, {})}
    assert list(made) == ["gradcam-grid", "gradcam-distribution"]
    for plot in made.values():
        assert plot.title
        assert plot.alt
        assert plot.caption
        plot.figure.draw_without_rendering()
    return made[f"gradcam-{name}"]


def test_the_grid_holds_every_image_and_every_augmentations_map_of_it(study):
    sums = SUMS | {("fmix", seed): SUMS["baseline", seed] for seed in range(3)}
    record = study(sums)
    plot = drawn(record, "grid")
    axes = np.array(plot.figure.axes).reshape(3, 4)
    assert [axis.get_title() for axis in axes[0]] == ["image", "Baseline", "MixUp", "FMix"]
    for column, augmentation in enumerate(("baseline", "mixup", "fmix"), start=1):
        arrays = record.run(f"gradcam-measure-{augmentation}-0").read_arrays()
        for row in range(3):
            (picture,) = axes[row, 0].get_images()
            assert np.array_equal(picture.get_array(), arrays["pictures"][row])
            below, above = axes[row, column].get_images()
            assert np.allclose(below.get_array(), arrays["pictures"][row].mean(-1))
            assert np.allclose(above.get_array(), arrays["map:stem"][row])
            assert above.get_clim() == (0, 1)
            assert above.get_extent() == below.get_extent(), "the map covers the image"
    assert "Grad-CAM of the predicted class at stem, over evenly spaced test images, seed 0;" in plot.caption


def test_the_grid_takes_the_first_layer_and_seed_there_is(study):
    sums = {(name, seed + 3): values for (name, seed), values in SUMS.items()}
    record = study(sums, {"stages.1": 64, "stem": 16}, method="layercam", target="2")
    plot = drawn(record, "grid")
    assert "LayerCAM of class 2 at stages.1, over evenly spaced test images, seed 3;" in plot.caption
    arrays = record.run("gradcam-measure-mixup-3").read_arrays()
    assert np.allclose(plot.figure.axes[2].get_images()[1].get_array(), arrays["map:stages.1"][0])


def test_pictures_of_one_channel(study):
    plot = drawn(study(channels=1), "grid")
    assert plot.figure.axes[0].get_images()[0].get_array().squeeze().shape == (8, 8)


def test_the_distribution_counts_every_image_of_every_network(study):
    plot = drawn(study(), "distribution")
    assert [axis.get_title(loc="left") or axis.get_title() for axis in plot.figure.axes] == ["stem", "stages.0"]
    palette = colours([Arm("a study", "baseline"), Arm("a study", "mixup")])
    for index, axis in enumerate(plot.figure.axes):
        every = np.concatenate([values[index] for values in SUMS.values()])
        assert len(axis.patches) == len(SUMS)
        for patch, ((name, _), values) in zip(axis.patches, SUMS.items(), strict=True):
            counts, edges, _ = patch.get_data()
            assert counts.sum() == pytest.approx(100)
            assert (edges[0], edges[-1]) == (every.min(), every.max())
            assert counts == pytest.approx(25 * np.histogram(values[index], edges)[0])
            assert patch.get_edgecolor()[:3] == pytest.approx(
                [int(palette[Arm("a study", name)][i : i + 2], 16) / 255 for i in (1, 3, 5)]
            )
    (legend,) = plot.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Baseline", "MixUp"]


def test_one_layer_has_one_panel(study):
    sums = {key: values[:1] for key, values in SUMS.items()}
    record = study(sums, {"stem": 64})
    assert len(drawn(record, "distribution").figure.axes) == 1
    assert of(record)["per-pixel"].header == ("Augmentation", "stem", "stem, zero maps (%)")
