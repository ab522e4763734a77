import pytest
from search import grid, main, overrides

from mixlens.analysis.errors import InputError

TINY = ["--set", "sections=classifier", "data=patches:few", "augmentations=baseline,mixup", "seeds=2"]
TINY += ["classifier.epochs=1", "classifier.batch_size=32", "classifier.model=preact-resnet18(width=2)"]


def test_every_combination_in_order():
    found = grid(["a.x=1,2", "b=u,v"])
    assert found == [[("a.x", x), ("b", b)] for x in ("1", "2") for b in ("u", "v")]


def test_names_and_values_are_those_of_a_study_file():
    found = overrides([("vae.epochs", "20"), ("vae.learning_rate", "1e-4"), ("seeds", "2"), ("data", "cifar10")])
    assert found == {"vae": {"epochs": 20, "learning_rate": 1e-4}, "seeds": 2, "data": "cifar10"}


def test_what_is_no_assignment():
    with pytest.raises(InputError, match=r"a setting is written name=value, got 'vae\.epochs'"):
        grid(["vae.epochs"])


def test_a_line_for_each_combination_and_augmentation(tmp_path, capsys):
    where = ["--out", str(tmp_path), "--device", "cpu", "--threads", "1"]
    arguments = ["demo", "--quantity", "accuracy", "--grid", "classifier.learning_rate=0.01,0.1", *TINY, *where]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        f"classifier.learning_rate={rate}  {name}" for rate in ("0.01", "0.1") for name in ("baseline", "mixup")
    ]
    assert all(line.endswith("(n = 2)") and " ± " in line for line in lines)
    assert (tmp_path / "classifier.learning_rate=0.1" / "study.json").is_file()


def test_a_quantity_or_setting_that_is_not_there(tmp_path, capsys):
    grids = ["--grid", "classifier.learning_rate=0.1"]
    assert main(["demo", "--quantity", "acuracy", *grids, *TINY, "--out", str(tmp_path), "--threads", "1"]) == 2
    assert "no row of classifier.learning_rate=0.1 is called 'acuracy'" in capsys.readouterr().err
    assert main(["demo", "--quantity", "x", "--grid", "classifier.learning_rat=1", "--out", str(tmp_path)]) == 2
    assert "unknown setting in classifier: 'learning_rat'" in capsys.readouterr().err
