import sys

import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.plugins import load_object


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_finds_an_installed_object():
    assert load_object("collections.abc:Mapping", "thing") is __import__("collections").abc.Mapping


def test_current_folder_is_importable_once(here):
    (here / "plugins_mine.py").write_text("value = 7\n")
    assert load_object("plugins_mine:value", "thing") == 7
    assert load_object("plugins_mine:value", "thing") == 7
    assert sys.path.count(str(here)) == 1


@pytest.mark.parametrize("spec", ["", "cifar10", "a:", ":b", "a:b:c", "a b:c", "a..b:c", ".a:b", "a/b.py:c", "a:b()"])
def test_other_forms_are_refused(spec):
    with pytest.raises(InputError, match=r"thing .* is not of the form package\.module:name"):
        load_object(spec, "thing")


def test_a_missing_module_is_named_with_the_folder(here):
    with pytest.raises(InputError) as caught:
        load_object("plugins_absent.deep:make", "augmentation")
    assert "augmentation 'plugins_absent.deep:make'" in str(caught.value)
    assert "No module named 'plugins_absent'" in str(caught.value)
    assert str(here) in str(caught.value)
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import plugins_gone", "plugins_gone"),
        ("def f(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_fails_is_told_with_its_error(here, code, told):
    (here / "plugins_broken.py").write_text(code + "\n")
    with pytest.raises(InputError, match=told) as caught:
        load_object("plugins_broken:make", "thing")
    assert caught.value.__cause__ is not None


def test_a_misspelt_name_gets_the_nearest(here):
    (here / "plugins_names.py").write_text("def make_data(): ...\n")
    with pytest.raises(InputError, match=r"'plugins_names': 'make_dta'. Did you mean 'make_data'\?"):
        load_object("plugins_names:make_dta", "thing")
