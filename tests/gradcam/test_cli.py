"""`mixlens gradcam` as a user meets it."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import text_of
from safetensors.torch import save_file

from mixlens.analysis.models.preact_resnet import PreActResNet18
from mixlens.cli.main import main

pytestmark = pytest.mark.usefixtures("page_alone")

CODE = """
import numpy as np
import torch
from torch import nn

def noise():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(60) % 3
    return dict(train_images=images[:30], train_labels=labels[:30], test_images=images[30:], test_labels=labels[30:],
                classes=list('abc'), mean=[.5] * 3, std=[.25] * 3)

def make(num_classes, width=4):
    return nn.Sequential(nn.Conv2d(3, width, 3, 2), nn.ReLU(inplace=True), nn.Flatten(),
                         nn.Linear(9 * width, num_classes))

def flat(num_classes):
    return nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(48, num_classes))

class Twice(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.last = nn.Conv2d(3, 2, 3)
        self.head = nn.Linear(72, num_classes)

    def forward(self, x):
        return self.head(self.last(self.conv(self.conv(x))).flatten(1))

class Detaching(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.network = make(num_classes)

    def forward(self, x):
        return self.network[3](self.network[:3](x).detach())
"""
OWN = ["gradcam", "--data", "explained_code:noise", "--classifier.epochs", "1"]
OWN += ["--classifier.crop", "0", "--classifier.batch-size", "10", "--quiet"]
BASELINE = ["--augmentations", "baseline", "--seeds", "1", "--name", "own"]


def own(*arguments):
    """The command on these data, with a small network unless the arguments name one."""
    return [*OWN, *([] if "--model" in arguments else ["--model", "preact-resnet18(width=2)"]), *arguments]


@pytest.fixture
def here(here, monkeypatch):
    """A folder with the user's own data and networks, from which the command is run."""
    (here / "explained_code.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(here)
    return here


def rows(folder):
    found = pd.read_csv(folder / "rows.csv")
    assert set(found["section"]) == {"gradcam"}
    return found


def test_from_training_to_report(here, capsys):
    arguments = own("--augmentations", "baseline,mixup", "--seeds", "1", "--name", "tiny", "--out", str(here))
    assert main(arguments) == 0
    assert str(here / "tiny" / "report.html") in capsys.readouterr().out.replace("\n", "")
    page = (here / "tiny" / "report.html").read_text(encoding="utf-8")
    for words in (
        "Over how much of an image",
        "Sums of heatmaps",
        "Mean over 30 test images",
        "Heatmaps (like the paper’s Fig. 4)",
    ):
        assert words in page
    assert "146 ± 5" not in page, "the paper's values are CIFAR-10's"
    found = rows(here / "tiny")
    assert len(found) == 2 * 3 * 3  # augmentations × layers × quantities
    assert set(found["layer"]) == {"stem", "stages.0", "stages.1"}
    assert set(found["augmentation"]) == {"baseline", "mixup"}
    assert (found["n"] == 30).all()
    sums = found[found["quantity"] == "heatmap_sum"]
    assert sums["value"].between(0, sums["area"]).all()
    before = (here / "tiny" / "rows.csv").read_bytes()
    assert main([*arguments, "--gradcam.batch-size", "7", "--gradcam.layers", "stem", "stages.0", "stages.1"]) == 0
    assert len(list((here / "runs").glob("gradcam-measure-*"))) == 2, "nothing is measured again"
    assert (here / "tiny" / "rows.csv").read_bytes() == before
    assert main(["report", str(here / "tiny")]) == 0


def test_every_setting_by_its_flag(here):
    given = ["--gradcam.layers", "stages.1", "--gradcam.method", "layercam", "--gradcam.norm", "none"]
    given += ["--gradcam.upsample", "--gradcam.target", "2", "--gradcam.images", "10", "--gradcam.shown", "3"]
    assert main(own(*BASELINE, *given, "--out", str(here))) == 0
    found = rows(here / "own")
    assert len(found) == 3
    line = found.iloc[0]
    assert (line["layer"], line["method"], line["norm"]) == ("stages.1", "layercam", "none")
    assert (bool(line["upsample"]), line["area"], line["n"]) == (True, 64, 10)
    assert str(line["target"]) == "2"
    page = (here / "own" / "report.html").read_text(encoding="utf-8")
    assert "LayerCAM of class 2, each map as it is, at the images&#39; size" in page.replace("'", "&#39;")
    (run,) = (here / "runs").glob("gradcam-measure-*")
    assert np.load(run / "arrays.npz")["map:stages.1"].shape == (3, 8, 8)


def test_a_class_of_pytorch_grad_cam(here, capfd):
    given = ["--gradcam.method", "FinerCAM(alpha=0.5, comparison_categories=[1])", "--gradcam.layers", "stem"]
    assert main(own(*BASELINE, *given, "--out", str(here))) == 0
    assert set(rows(here / "own")["method"]) == {"FinerCAM(alpha=0.5,comparison_categories=[1])"}
    page = (here / "own" / "report.html").read_text(encoding="utf-8")
    assert "FinerCAM(alpha=0.5,comparison_categories=[1]) of the predicted class" in text_of(page)
    assert "Warning" not in "".join(capfd.readouterr())


def test_weights_of_ones_own_are_explained_as_they_are(here):
    from explained_code import make, noise

    torch.manual_seed(0)
    network = make(3, 2)
    save_file(network.state_dict(), "mine.safetensors")
    given = [
        "--model",
        "explained_code:make(width=2)",
        "--weights",
        "mine.safetensors",
        "--name",
        "own",
        "--out",
        str(here),
    ]
    assert main(own(*given)) == 0
    assert not list((here / "runs").glob("classifier-train-*")), "nothing is trained"
    found = rows(here / "own").set_index("quantity")
    assert set(found["layer"].astype(str)) == {"0"}, "the first convolution"
    assert set(found["augmentation"]) == {"mine"}
    sums = []
    for image in (torch.as_tensor(noise()["test_images"]).float() / 255 - 0.5) / 0.25:
        activations = network[0](image[None]).detach().requires_grad_()
        network[3](activations.relu().flatten(1)).max().backward()
        heat = (activations.grad.mean((2, 3), keepdim=True) * activations).sum(1).relu()
        sums.append((heat.sum() / heat.max()).item() if heat.max() > 0 else 0)
    assert found["value"]["heatmap_sum"] == pytest.approx(np.mean(sums), rel=1e-4)
    assert found["value"]["heatmap_mean"] == pytest.approx(np.mean(sums) / 9, rel=1e-4)
    assert found["value"]["zero_maps"] == pytest.approx(np.mean(np.array(sums) == 0))


def test_a_network_without_convolutions_by_a_layers_name(here):
    given = ["--model", "explained_code:flat", "--gradcam.layers", "0", "--out", str(here)]
    assert main(own(*BASELINE, *given)) == 0
    assert set(rows(here / "own")["area"]) == {16}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gradcam.layers", "stme"], ["layer 'stme' does not exist; those with maps: stem 2×8×8"]),
        (["--gradcam.layers", "stem", "stages"], ["layer 'stages' puts out no map"]),
        (["--gradcam.layers", "stem", "stem"], ["gradcam: layers lists a name twice"]),
        (["--gradcam.method", "gradcam+"], ["gradcam+"]),
        (["--gradcam.norm", "sum"], ["sum"]),
        (["--gradcam.target", "best"], ["target must be predicted, true or the index of a class, got 'best'"]),
        (["--gradcam.target", "3"], ["gradcam.target is 3, but explained_code:noise has classes 0 to 2"]),
        (["--gradcam.images", "31"], ["gradcam.images is 31, but there are 30 test images"]),
        (["--gradcam.images", "1"], ["images must be at least 2, got 1"]),
        (["--gradcam.batch-size", "0"], ["batch_size must be at least 1, got 0"]),
        (["--gradcam.shown", "0"], ["shown must be at least 1, got 0"]),
        (["--gradcam.layer", "stem"], ["--gradcam.layer", "--gradcam.layers"]),
        (["--model", "explained_code:flat"], ["no convolution with a map; name layers with --gradcam.layers: 0 3×4×4"]),
        (
            ["--model", "explained_code:Twice", "--gradcam.layers", "conv"],
            ["layer 'conv' puts out no map (or runs more than once); those with maps: last 2×6×6"],
        ),
        (
            ["--model", "explained_code:Detaching"],
            ["no gradient of the logits reaches layer 'network.0'", "EigenCAM needs none"],
        ),
        (["--weights", "wrong.safetensors"], ["wrong.safetensors", "another network", "with the arguments"]),
        (["--weights", "no-such.pt"], ["there are no weights at no-such.pt"]),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_clear_message_before_anything_runs(here, failing, arguments, words):
    save_file(PreActResNet18(3, width=3).state_dict(), "wrong.safetensors")
    message = failing(*own(*arguments, "--out", str(here)))
    for word in words:
        assert word in message
    assert not list((here / "runs").glob("*-*"))


def test_a_network_that_detaches_can_be_explained_without_gradients(here):
    given = ["--model", "explained_code:Detaching", "--gradcam.method", "eigencam", "--out", str(here)]
    assert main(own(*BASELINE, *given)) == 0
    assert set(rows(here / "own")["layer"]) == {"network.0"}


def test_help_shows_defaults_and_their_source(capsys):
    assert main(["gradcam", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Default: gradcam. Source: section 3: Selvaraju et al. 2017." in shown
    assert "Whose logit the map explains: predicted, true, or the index of a class. Default: predicted." in shown
