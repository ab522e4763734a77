from matplotlib.figure import Figure

from mixlens.analysis.presentation.parts import About, Equation, Plot, Table
from mixlens.analysis.presentation.samples import MIXED, called
from mixlens.analysis.statistics.effect import Measured

SAID = "Images are mixed; each image, of 5 images (imagenet-a, imaged)."


def test_images_are_called_what_they_are():
    assert called(SAID, "text") == "Texts are mixed; each text, of 5 texts (imagenet-a, imaged)."
    assert called(SAID, "volume").startswith("Volumes are mixed; each volume,")
    assert called(SAID, "waveform") == called(SAID, "sound")
    assert called(SAID, "") == SAID.replace("Images", MIXED[1].capitalize()).replace(" image,", " sample,").replace(
        "5 images", "5 samples"
    )


def test_images_are_images():
    table = Table("t", "Images", "images", ("images",), (("images",),))
    assert called(table, "image") is table


def test_only_sentences_change():
    table = called(Table("images", "Images", "of images", ("images",), (("images",),)), "sound")
    assert table == Table("images", "Recordings", "of recordings", ("images",), (("images",),))
    figure = Figure()
    plot = called([Plot("images", "Images", "an image", "images", figure)], "text")[0]
    assert (plot.name, plot.title, plot.caption, plot.figure) == ("images", "Texts", "a text", figure)
    about = called(About("Which image?", ("an image", Equation("of an image", "image", "image"))), "text")
    assert about.text[1] == Equation("of a text", "image", "image")


def test_what_holds_no_text_stays():
    measured = Measured("images", "Images", "%", {})
    assert called({"images": measured}, "text") == {"images": measured}
