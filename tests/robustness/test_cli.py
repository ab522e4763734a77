"""`mixlens robustness` as a user meets it."""

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from mixlens.analysis.models.preact_resnet import PreActResNet18
from mixlens.cli.main import main

pytestmark = pytest.mark.usefixtures("page_alone")

CODE = """
import numpy as np
from torch import nn

def noise():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(60) % 3
    return dict(train_images=images[:30], train_labels=labels[:30], test_images=images[30:], test_labels=labels[30:],
                classes=list('abc'), mean=[.5] * 3, std=[.25] * 3)

def make(num_classes, width=4):
    return nn.Sequential(nn.Conv2d(3, width, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(9 * width, num_classes))

def probabilities(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, num_classes), nn.Softmax(1))

def random(num_classes):
    class Random(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(192, num_classes)
        def forward(self, x):
            return nn.functional.dropout(self.last(x.flatten(1)))
    return Random()

def nothing():
    return None
"""
OWN = ["robustness", "--data", "attacked_code:noise", "--classifier.epochs", "1", "--classifier.crop", "0", "--quiet"]
BATCH = ["--classifier.batch-size", "10"]
FEW = ["--robustness.epsilons", "0", "0.01", "0.1", "--robustness.attacks", "fgsm", "pgd(steps=2)", "uniform-noise"]


def own(*arguments):
    """The command on these data, with a small network unless the arguments name one."""
    return [*OWN, *([] if "--model" in arguments else ["--model", "preact-resnet18(width=2)"]), *arguments]


@pytest.fixture
def here(here, monkeypatch):
    """A folder with the user's own data and networks, from which the command is run."""
    (here / "attacked_code.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(here)
    return here


def rows(folder):
    found = pd.read_csv(folder / "rows.csv")
    assert set(found["section"]) == {"robustness"}
    return found


def pick(found, **wanted):
    """The lines of a table in which these columns hold these values."""
    for column, value in wanted.items():
        found = found[found[column] == value]
    return found


def test_from_training_to_report(tmp_path, capsys):
    arguments = ["robustness", "--data", "patches:few(side=16)", "--augmentations", "baseline,fmix"]
    arguments += ["--seeds", "1", "--name", "tiny", "--out", str(tmp_path), "--quiet"]
    arguments += ["--model", "preact-resnet18(width=2)", "--classifier.epochs", "1", "--classifier.batch-size", "32"]
    arguments += ["--robustness.images", "12", "--robustness.protocol", "nested", *FEW]
    assert main(arguments) == 0
    assert str(tmp_path / "tiny" / "report.html") in capsys.readouterr().out.replace("\n", "")
    page = (tmp_path / "tiny" / "report.html").read_text(encoding="utf-8")
    for words in ("Worst case over all attacks", "Signs of masked gradients", "12 test images, protocol nested"):
        assert words in page
    found = pick(rows(tmp_path / "tiny"), quantity="accuracy")
    assert len(found) == 2 * 4 * 3  # augmentations × (attacks and the worst case) × ε
    assert set(found["attack"]) == {"fgsm", "pgd(steps=2)", "uniform-noise", "worst case"}
    assert (found["n"] == 12).all()
    before = (tmp_path / "tiny" / "rows.csv").read_bytes()
    assert main([*arguments, "--robustness.batch-size", "5"]) == 0
    assert len(list((tmp_path / "runs").glob("robustness-sweep-*"))) == 2, "nothing is attacked again"
    assert (tmp_path / "tiny" / "rows.csv").read_bytes() == before
    assert main(["report", str(tmp_path / "tiny")]) == 0


def test_a_network_of_ones_own_is_trained(here):
    arguments = own(*BATCH, *FEW, "--model", "attacked_code:make", "--augmentations", "baseline", "--seeds", "2")
    assert main([*arguments, "--out", str(here), "--name", "own"]) == 0
    found = rows(here / "own")
    assert set(found["model"]) == {"attacked_code:make"}
    assert set(found["seed"]) == {0, 1}
    assert set(found["dataset"]) == {"attacked_code:noise"}


def weights(seed):
    from attacked_code import make

    torch.manual_seed(seed)
    return make(3, 2).state_dict()


def test_weights_of_ones_own_are_attacked_as_they_are(here):
    save_file(weights(0), "first.safetensors")
    torch.save(weights(1), "second.pt")
    torch.save({"state_dict": weights(2)}, "third.pth")
    given = ["--weights", "first.safetensors", "mine=second.pt", "mine=third.pth"]
    arguments = own(*BATCH, *FEW, "--model", "attacked_code:make(width=2)", *given, "--out", str(here), "--name", "own")
    assert main(arguments) == 0
    assert not list((here / "runs").glob("classifier-train-*")), "nothing is trained"
    found = rows(here / "own")
    assert set(zip(found["augmentation"], found["seed"], strict=True)) == {("first", 0), ("mine", 0), ("mine", 1)}
    from attacked_code import make, noise

    data = noise()
    x = (torch.as_tensor(data["test_images"]).float() / 255 - 0.5) / 0.25
    for name, seed, file_seed in (("first", 0, 0), ("mine", 0, 1), ("mine", 1, 2)):
        network = make(3, 2)
        network.load_state_dict(weights(file_seed))
        accuracy = (network(x).argmax(1) == torch.as_tensor(data["test_labels"])).double().mean().item()
        shown = pick(found, augmentation=name, seed=seed, quantity="accuracy", epsilon=0)
        assert shown["value"].tolist() == pytest.approx([accuracy] * 4)
    torch.save(weights(3), "second.pt")
    assert main(arguments) == 0
    assert len(list((here / "runs").glob("robustness-sweep-*"))) == 4, "other weights are attacked anew"


def test_weights_of_the_built_in_network(here):
    save_file(PreActResNet18(3, width=2).state_dict(), "net.safetensors")
    assert main(own(*BATCH, *FEW, "--weights", "baseline=net.safetensors", "--out", str(here), "--name", "own")) == 0
    assert set(rows(here / "own")["augmentation"]) == {"baseline"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--robustness.attacks", "fgms"], ["fgms", "Did you mean 'fgsm'"]),
        (["--robustness.attacks", "pgd(stpes=3)"], ["stpes", "Did you mean 'steps'"]),
        (["--robustness.attacks", "deepfool(steps='many')"], ["steps must be a whole number"]),
        (["--robustness.attacks", "pgd(steps=3"], ["cannot read attack"]),
        (["--robustness.attacks", "fgsm", "L2PGD"], ["one ε cannot mean both"]),
        (["--robustness.attacks", "fgsm", "fgsm"], ["listed twice"]),
        (["--robustness.attacks", "fgsm,pgd,fgsm"], ["listed twice"]),
        (["--robustness.epsilons", "0.1", "0.05"], ["epsilons must ascend"]),
        (["--robustness.epsilons", "-0.1"], ["-0.1"]),
        (["--robustness.epsilons", "nan"], ["nan"]),
        (["--robustness.epsilons", "much"], ["much"]),
        (["--robustness.protocol", "papre"], ["papre"]),
        (["--robustness.images", "31"], ["robustness.images is 31, but there are 30 test images"]),
        (["--robustness.images", "1"], ["images must be at least 2"]),
        (["--robustness.batch-size", "0"], ["batch_size must be at least 1"]),
        (["--robustness.seed", "-1"], ["seed must be at least 0"]),
        (["--robustness.epsilon", "0.1"], ["--robustness.epsilon", "--robustness.epsilons"]),
        (["--classifier.batch-size", "31"], ["classifier.batch_size is 31, but there are 30"]),
        (["--weights", "no-such.pt"], ["there are no weights at no-such.pt"]),
        (["--weights", "pretrained"], ["no published weights for preact-resnet18"]),
        (["--weights", "wrong.safetensors"], ["wrong.safetensors", "another network", "with the arguments"]),
        (["--weights", "damaged.pt"], ["damaged.pt"]),
        (["--model", "attacked_code:nothing", "--weights", "wrong.safetensors"], ["returned NoneType"]),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_clear_message_before_anything_runs(here, failing, arguments, words):
    save_file(PreActResNet18(3, width=3).state_dict(), "wrong.safetensors")
    (here / "damaged.pt").write_bytes(b"no weights")
    batch = [] if "--classifier.batch-size" in arguments else BATCH
    message = failing(*own(*batch, *arguments, "--out", str(here)))
    for word in words:
        assert word in message
    assert not list((here / "runs").glob("classifier-*"))


@pytest.mark.parametrize(
    ("model", "words"), [("resnet", "unknown model 'resnet'"), ("attacked_code:mkae", "Did you mean 'make'")]
)
def test_a_misspelt_model_is_known_before_anything_runs(here, failing, model, words):
    assert words in failing(*own(*BATCH, "--model", model, "--out", str(here)))
    assert not list((here / "runs").iterdir())


@pytest.mark.parametrize(
    ("factory", "words"), [("probabilities", "return logits"), ("random", "draws random numbers in eval mode")]
)
def test_a_network_that_cannot_be_attacked_is_one_clear_message(here, failing, factory, words):
    arguments = ["--model", f"attacked_code:{factory}", "--augmentations", "baseline", "--seeds", "1"]
    assert words in failing(*own(*BATCH, *FEW, *arguments, "--out", str(here)))


@pytest.mark.parametrize("attack", ["deepfool(candidates=1)", "bim(rel_stepsize='far')"])
def test_an_attack_that_fails_is_one_clear_message_before_anything_is_trained(here, failing, attack):
    arguments = ["--augmentations", "baseline", "--seeds", "1", "--robustness.attacks", attack, "--out", str(here)]
    message = failing(*own(*BATCH, *arguments))
    assert failing(*own(*BATCH, *arguments), "--dry-run") == message
    assert not list((here / "runs").iterdir())
    assert f"attack {attack!r} failed" in message or f'attack "{attack}" failed' in message


def test_help_shows_defaults_and_their_source(capsys):
    assert main(["robustness", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Default: fgsm pgd bim uniform-noise deepfool. Source: published code." in shown
    assert "Default: 0.0 0.0005 0.001" in shown
