import re
from dataclasses import replace
from pathlib import Path

import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Study
from mixlens.analysis.masks.policies import parse_policy
from mixlens.analysis.study.sections import installed_sections
from mixlens.analysis.study.study import PRESETS, read_studies, read_study
from mixlens.gallery.config import GalleryConfig
from mixlens.reports.claims import CLAIMS
from mixlens.vae.config import VAEConfig

SECTIONS = installed_sections()


@pytest.fixture
def study_of(tmp_path):
    def read(text, overrides=None):
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return read_study(str(path), SECTIONS, overrides)

    return read


# YAML to study


def test_everything_can_be_given(study_of):
    study = study_of("""
name: mine
data: photos
train_size: 100
subset_seed: 4
augmentations: [baseline, "fmix(alpha=0.2)"]
seeds: [3, 5]
sections: [vae]
vae:
  epochs: 2
  learning-rate: 1e-3
  milestones: [0.5]
""")
    assert (study.name, study.data, study.train_size, study.subset_seed) == ("mine", "photos", 100, 4)
    assert study.augmentations == ("baseline", "fmix(alpha=0.2)")
    assert study.seeds == (3, 5)
    vae = VAEConfig(epochs=2, learning_rate=1e-3, milestones=(0.5,))
    assert study.settings == {"gallery": GalleryConfig(), "vae": vae}


def test_nothing_given_is_the_papers_table(study_of):
    study = read_study(None, SECTIONS)
    assert study.augmentations == ("baseline", "mixup", "cutmix", "fmix")
    assert study.seeds == (0, 1, 2, 3, 4)
    assert study.settings == {"gallery": GalleryConfig(), "vae": VAEConfig()}
    assert study_of("{}") == study


def test_text_lists_and_counts(study_of):
    study = study_of("augmentations: baseline, fmix(alpha=0.2,decay_power=2), mixup\nsections: vae\nseeds: 2\n")
    assert study.augmentations == ("baseline", "fmix(alpha=0.2,decay_power=2.0)", "mixup")
    assert study.sections == ("vae",)
    assert study.seeds == (0, 1)


def test_a_section_without_settings_has_its_defaults(study_of):
    assert study_of("vae:\n").settings["vae"] == VAEConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("augmentation: [mixup]", "unknown setting in the study: 'augmentation'. Did you mean 'augmentations'"),
        ("vea: {epochs: 1}", "unknown setting in the study: 'vea'. Did you mean 'vae'"),
        ("settings: {}", "unknown setting in the study: 'settings'"),
        ("3: 1", "unknown setting in the study: 3"),
        ("vae: {epoch: 3}", "unknown setting in vae: 'epoch'. Did you mean 'epochs'"),
        ("vae: 3", "vae must be a mapping of settings, got 3"),
        ("vae: [1]", "vae must be a mapping of settings"),
        ("vae: {epochs: true}", "vae.epochs must be a whole number, got True"),
        ("vae: {epochs: 0}", "vae: epochs must be at least 1, got 0"),
        ("vae: {batch_size: 1}", "vae: batch_size must be at least 2"),
        ("vae: {latents: 0}", "vae: latents must be at least 1"),
        ("vae: {learning_rate: 0}", "vae: learning_rate must be positive"),
        ("vae: {learning_rate: .nan}", "vae: learning_rate must be positive|vae.learning_rate must be"),
        ("vae: {milestones: [0.5, 2]}", r"vae: milestones must lie in \(0, 1\], got 2.0"),
        ("vae: {jitter: 0.6}", "vae: jitter must lie in"),
        ("vae: {reconstruction_noise: -1}", "vae: reconstruction_noise must be at least 0"),
        ("vae: {precision: bf61}", "unknown value for vae.precision: 'bf61'. Did you mean 'bf16'"),
        ("vae: {mix_mode: elm}", "unknown value for vae.mix_mode: 'elm'. Did you mean 'elem'"),
        ("data: 3", "study.data must be text, got 3"),
        ("data:", "study.data must be text, got None"),
        ("train_size: big", "study.train_size must be a whole number, got 'big'"),
        ("seeds: [a]", "study.seeds must be a whole number, got 'a'"),
        ("seeds: true", "study.seeds must be a whole number, got True"),
        ("seeds: [0, 1, 0]", r"seeds must be different whole numbers of at least 0, got \[0, 1, 0\]"),
        ("seeds: [-1]", "seeds must be different whole numbers of at least 0"),
        ("seeds: []", "seeds must be different whole numbers"),
        ("seeds: 0", "seeds: 0 as a count is no training"),
        ("name: a/b", "a study's name becomes a folder .* got 'a/b'"),
        ("name: ''", "a study's name becomes a folder"),
        ("name: runs", "a study's name becomes a folder beside 'runs'"),
        ("sections: []", "at least one section"),
        ("name: ..", "a study's name becomes a folder"),
        ("name: 3", "study.name must be text, got 3"),
        ("augmentations: []", "a study needs at least one augmentation"),
        ("augmentations: [mixpu]", "unknown augmentation 'mixpu'. Did you mean 'mixup'"),
        ("augmentations: [fmix(alpa=1)]", "unknown argument 'alpa'. Did you mean 'alpha'"),
        ("augmentations: [fmix(alpha=0)]", "alpha"),
        ("augmentations: [fmix, 'fmix(alpha=1.0)']", r"augmentation 'fmix\(alpha=1.0\)' is listed twice"),
        ("sections: [robustnes]", "unknown section 'robustnes'"),
        ("sections: [va]", "unknown section 'va'. Did you mean 'vae'"),
    ],
)
def test_what_cannot_be_used_is_named(study_of, text, message):
    with pytest.raises(InputError, match=message):
        study_of(text)


# `for name in values.get("sections", ())` runs before the types are checked.
@pytest.mark.parametrize("text", ["sections: 3", "sections:", "sections: [[vae]]", "sections: [{vae: 1}]"])
def test_sections_of_another_type_are_refused(study_of, text):
    with pytest.raises(InputError, match="sections"):
        study_of(text)


@pytest.mark.parametrize("value", ["{1,2}", "b'x'", "1j", "1e999", "..."])
def test_arguments_that_json_cannot_hold_are_refused(study_of, value):
    with pytest.raises(InputError, match=r"my\.module:make"):
        study_of(f'augmentations: ["my.module:make(x={value})"]')


@pytest.mark.parametrize("text", ["vae: {learning_rate: .inf}", "vae: {reconstruction_noise: .nan}"])
def test_settings_that_are_not_finite_are_refused(study_of, text):
    with pytest.raises(InputError, match="vae"):
        study_of(text)


# reading files


@pytest.mark.parametrize(
    ("text", "line"), [("name: a\nseeds: [1,\n", 3), ("name: a\n\tdata: b\n", 2), ("a: b: c", 1), ("x: 'open\n", 2)]
)
def test_broken_yaml_says_where(study_of, text, line):
    with pytest.raises(InputError, match=rf"study.yaml is not valid YAML at line {line}, column \d+: ") as caught:
        study_of(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "kind"), [("", "NoneType"), ("- a\n- b", "list"), ("just text", "str"), ("3", "int")])
def test_no_mapping_is_refused(study_of, text, kind):
    with pytest.raises(InputError, match=f"must hold a mapping such as 'data: cifar10', got {kind}"):
        study_of(text)


def test_yaml_makes_no_objects(study_of):
    with pytest.raises(InputError, match="not valid YAML"):
        study_of("name: !!python/object/apply:os.getcwd []")


def test_control_characters_and_other_encodings_are_refused(study_of, tmp_path):
    with pytest.raises(InputError, match="not valid YAML"):
        study_of("name: \x00")
    (tmp_path / "latin.yaml").write_bytes("name: é".encode("latin-1"))
    with pytest.raises(InputError, match=r"cannot read the study .*latin\.yaml"):
        read_study(str(tmp_path / "latin.yaml"), SECTIONS)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the study .*absent\.yaml: No such file"):
        read_study(str(tmp_path / "absent.yaml"), SECTIONS)


def test_a_folder_is_no_study(tmp_path):
    (tmp_path / "study.yaml").mkdir()
    with pytest.raises(InputError, match=r"cannot read the study .*: Is a directory"):
        read_study(str(tmp_path / "study.yaml"), SECTIONS)


def test_a_file_of_any_name_is_read(tmp_path):
    (tmp_path / "study").write_text("name: mine")
    assert read_study(str(tmp_path / "study"), SECTIONS).name == "mine"


@pytest.mark.parametrize(("given", "nearest"), [("dem", "demo"), ("papr", "paper"), ("CPU", None), ("zzz", None)])
def test_an_unknown_preset_is_named_with_the_nearest(given, nearest):
    hint = f"Did you mean '{nearest}'?" if nearest else "Known: cpu, demo, gpu, paper"
    with pytest.raises(InputError) as caught:
        read_study(given, SECTIONS)
    assert f"unknown preset '{given}'." in str(caught.value)
    assert hint in str(caught.value)
    assert ".yaml" in str(caught.value)


@pytest.mark.parametrize("name", PRESETS)
def test_every_shipped_preset_loads(name):
    study = read_study(name, SECTIONS)
    assert study.name == name
    assert parse_policy(study.augmentations[0]).is_baseline
    assert len(study.seeds) >= 3
    assert isinstance(study.settings["vae"], VAEConfig)


def test_the_papers_preset_is_the_papers():
    study = read_study("paper", SECTIONS)
    assert study.augmentations == ("baseline", "mixup", "cutmix", "fmix", "fmix-official")
    assert len(study.seeds) == 5
    assert study.settings["vae"] == VAEConfig()
    assert study.settings["vae"].mix_mode == "published"
    assert study.settings["classifier"].model == "preact-resnet18-official"
    assert replace(study, name="paper-core") == read_study("paper-core", SECTIONS)


def test_the_papers_preset_has_what_its_claims_compare():
    studies = read_studies("paper", SECTIONS)
    measured = {(section, name) for study in studies for section in study.sections for name in study.augmentations}
    compared = {
        (one.section, parse_policy(name).text)
        for claim in CLAIMS
        for one in claim.comparisons
        for name in (one.first, one.second)
    }
    assert compared <= measured
    sizes = [study.train_size for study in studies if study.train_size]
    assert len(sizes) >= 2, "a claim is about every size of the training set"
    hybrid = {
        name for claim in CLAIMS if claim.at_every_size for one in claim.comparisons for name in (one.first, one.second)
    }
    assert all(hybrid <= {*study.augmentations} for study in studies if study.train_size)


# variants

VARIED = """
name: mine
seeds: 3
sections: [vae, classifier]
vae: {epochs: 2, latents: 8}
variants:
  small: {train_size: 100, sections: [classifier], augmentations: [baseline]}
  fast: {vae: {learning_rate: 0.01}}
"""


@pytest.fixture
def studies_of(tmp_path):
    def read(text, overrides=None):
        (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
        return read_studies(str(tmp_path / "study.yaml"), SECTIONS, overrides)

    return read


def test_variants_are_the_study_with_other_settings(studies_of):
    mine, small, fast = studies_of(VARIED)
    assert [study.name for study in (mine, small, fast)] == ["mine", "mine-small", "mine-fast"]
    assert (small.train_size, small.sections, small.augmentations) == (100, ("classifier",), ("baseline",))
    assert (small.seeds, small.settings["classifier"]) == (mine.seeds, mine.settings["classifier"])
    assert fast.settings["vae"] == replace(mine.settings["vae"], learning_rate=0.01)
    assert studies_of(VARIED.partition("variants")[0]) == [mine]


def test_overrides_are_laid_over_every_variant(studies_of):
    studies = studies_of(VARIED, {"name": "other", "seeds": [7], "vae": {"epochs": 5}})
    assert [study.name for study in studies] == ["other", "other-small", "other-fast"]
    assert {study.seeds for study in studies} == {(7,)}
    assert studies[2].settings["vae"] == VAEConfig(epochs=5, latents=8, learning_rate=0.01)


@pytest.mark.parametrize(
    ("sections", "names"),
    [
        (("vae",), ["mine", "mine-fast"]),
        (("classifier",), ["mine", "mine-small", "mine-fast"]),
        (("robustness",), ["mine"]),
    ],
)
def test_of_the_sections_asked_for_a_variant_has_its_own(sections, names, studies_of):
    studies = studies_of(VARIED, {"sections": sections})
    assert [study.name for study in studies] == names
    assert {study.sections for study in studies} == {sections}


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ("{small: {name: x}}", "variants.small has a 'name'"),
        ("{small: {data: photos}}", "variants.small has a 'data'"),
        ("{small: {variants: {}}}", "variants.small has a 'variants'"),
        ("{small: 3}", "variants.small must be a mapping"),
        ("[1, 2]", "variants must be a mapping"),
        ("{small: {train_sise: 10}}", "Did you mean 'train_size'"),
        ("{'a/b': {seeds: 1}}", "a study's name becomes a folder"),
    ],
)
def test_a_bad_variant_is_refused_in_words(variants, message, studies_of):
    with pytest.raises(InputError, match=re.escape(message)):
        studies_of(f"name: mine\nvariants: {variants}\n")


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[3] / "studies").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_shipped_study_file_loads(path):
    studies = read_studies(str(path), SECTIONS)
    assert studies[0].name == path.stem
    assert f"mixlens run studies/{path.name}" in path.read_text(encoding="utf-8")


# The output of `mixlens run demo` may well be a folder named demo in the current one.
def test_a_folder_named_like_a_preset_does_not_hide_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert read_study("demo", SECTIONS).name == "demo"


# overrides


def test_overrides_have_the_last_word(study_of):
    text = "name: mine\nseeds: 3\nvae: {epochs: 2, latents: 8}\n"
    study = study_of(text, {"seeds": [7], "augmentations": "mixup,fmix", "vae": {"epochs": 5}})
    assert study.name == "mine"
    assert study.seeds == (7,)
    assert study.augmentations == ("mixup", "fmix")
    assert study.settings["vae"] == VAEConfig(epochs=5, latents=8)


def test_overrides_are_laid_over_presets_and_defaults():
    preset = read_study("demo", SECTIONS).settings["vae"]
    assert preset != VAEConfig()
    assert read_study("demo", SECTIONS, {"vae": {"epochs": 1}}).settings["vae"] == replace(preset, epochs=1)
    assert read_study(None, SECTIONS, {"vae": {"epochs": 1}, "seeds": 1}).seeds == (0,)


def test_overrides_are_checked_alike():
    with pytest.raises(InputError, match="unknown setting in vae: 'epoch'"):
        read_study("demo", SECTIONS, {"vae": {"epoch": 1}})


def test_describe_reads_back_as_the_same_study(study_of):
    study = study_of("name: mine\nseeds: 2\naugmentations: [baseline, 'fmix(alpha=0.2)']\nvae: {epochs: 2}\n")
    described = study.describe()
    assert described["vae"]["epochs"] == 2
    assert described["vae"]["milestones"] == [0.4, 0.8]
    assert read_study(None, SECTIONS, described) == study


def read_again(study):
    return read_study(None, SECTIONS, study.describe())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seeds": 3}, "seeds must be a list, got 3"),
        ({"augmentations": "mixup"}, "augmentations must be a list, got 'mixup'"),
        ({"seeds": [0, 0]}, "seeds must be different"),
    ],
)
def test_a_study_made_in_python_of_other_types_is_refused(values, words):
    with pytest.raises(InputError, match=words):
        Study(**values)


def test_a_study_made_in_python_gets_every_setting_that_it_does_not_give():
    study = read_again(Study(augmentations=["mixup"], seeds=range(1, 2), sections=["robustness"]))
    assert (study.augmentations, study.seeds) == (("mixup",), (1,))
    assert study.settings == {name: SECTIONS[name].config() for name in ("gallery", "classifier", "robustness")}
    for given in (VAEConfig(epochs=3), {"epochs": 3}):
        assert read_again(Study(settings={"vae": given})).settings["vae"] == VAEConfig(epochs=3)
    with pytest.raises(InputError, match=r"unknown section 'robustnes'\. Did you mean 'robustness'"):
        read_again(Study(sections=("robustnes",)))


def test_augmentations_are_named_as_rows_name_them():
    study = read_study(None, SECTIONS, {"augmentations": ["fmix(alpha=[1, 5])", "my.mixes:make( strength = 0.5 )"]})
    assert study.augmentations == ("fmix", "fmix(alpha=5.0)", "my.mixes:make(strength=0.5)")
    assert read_study(None, SECTIONS, study.describe()) == study


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"seeds": [2**63]}, r"seeds must be at most 2\^63"),
        ({"seeds": [10**400]}, r"seeds must be at most 2\^63"),
        ({"vae": {"latents": 2**31}}, "latents must be at most 65,536, got 2147483648"),
        ({"vae": {"learning_rate": 1e308}}, "learning_rate must be at most"),
        ({"vae": {"epochs": 10**12}}, "epochs must"),
        ({"classifier": {"crop": 2**31}}, "crop must be at most 1,024"),
        ({"calibration": {"resamples": 10**9}}, "resamples must be at most 100,000"),
        ({"robustness": {"epsilons": [0.0, 1e308]}}, "epsilons must"),
        ({"robustness": {"seed": 2**63}}, "seed must"),
    ],
)
def test_what_no_machine_could_run_is_known_at_planning(overrides, words):
    with pytest.raises(InputError, match=words):
        read_studies("cpu", SECTIONS, overrides)
