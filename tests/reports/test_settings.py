"""Settings in a report: what is not the default, and what every study is asked; nothing is lost from its command."""

import shlex
from dataclasses import replace
from pathlib import Path

from mixlens.analysis.interface import Study
from mixlens.analysis.store.record import StudyRecord
from mixlens.reports.commands import _quoted
from mixlens.reports.settings import changed, settings_table
from mixlens.vae.config import VAEConfig


def record_of(**values):
    settings = Study(name="s", sections=("vae",)).describe() | values
    return StudyRecord(Path(), "s", "", settings, "", Path(), ())


def test_only_what_is_not_the_default_is_shown():
    vae = {"epochs": 3, "latents": VAEConfig().latents, "batch_size": VAEConfig().batch_size}
    rows = dict(settings_table(record_of(vae=vae, train_size=500, seeds=[0])).rows)
    assert rows == {
        "name": "s",
        "data": "cifar10",
        "train_size": "500",
        "augmentations": "baseline, mixup, cutmix, fmix",
        "seeds": "0",
        "sections": "vae",
        "vae.epochs": "3",
    }


def test_studies_side_by_side_have_a_column_each():
    one, two = record_of(vae={"epochs": 3}), replace(record_of(name="t"), name="t")
    table = settings_table(replace(one, parts=(one, two)))
    assert table.header == ("Setting", "s", "t")
    assert ("vae.epochs", "3", "default") in table.rows


def test_settings_of_a_section_that_is_not_installed_are_all_shown():
    assert ("gone.x", "1") in settings_table(record_of(gone={"x": 1})).rows


def test_changed_settings_in_the_order_of_the_fields():
    assert dict(changed(VAEConfig, {"latents": 7, "epochs": 2})) == {"epochs": 2, "latents": 7}


def test_a_word_is_quoted_so_that_it_can_be_read_and_a_shell_reads_it_back():
    for word in ("a b", "fmix(mode='elem')", "own:f('$x')", 'a"b', "it's `x`", "a!'", "plain"):
        assert shlex.split(_quoted(word)) == [word]
    assert _quoted("fmix(mode='elem')") == "\"fmix(mode='elem')\""
