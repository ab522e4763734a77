"""Speech Commands in its layout, small: the ten words, two others, noise, and its lists."""

import hashlib
import re
import wave
from shutil import rmtree

import numpy as np
import pytest
import torch

from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.sources.speech_commands import CLASSES, WORDS
from mixlens.analysis.errors import InputError
from mixlens.cli.main import main

RATE = 16_000
SPEAKERS = [f"{number:08x}" for number in range(0x1000, 0x1028)]  # 40


def write(path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())


def part_of(name):
    """The rule that made the published lists, as Warden's paper and code state it."""
    speaker = re.sub(r"_nohash_.*$", "", name)
    most = 2**27 - 1
    percent = (int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % (most + 1)) * (100.0 / most)
    return "validation" if percent < 10 else "testing" if percent < 20 else "training"


@pytest.fixture
def folder(tmp_path):
    """Each of 40 speakers says three words; the samples of an utterance begin with its number. And noise."""
    number, root = 0, tmp_path / "data" / "speech-commands"
    draws = np.random.default_rng(0)
    for place, speaker in enumerate(SPEAKERS):
        for step in range(3):
            word = (*WORDS, "bed", "zero")[(place + 4 * step) % 12]
            samples = draws.integers(-3000, 3000, RATE)
            samples[0] = number = number + 1
            write(root / word / f"{speaker}_nohash_{step}.wav", samples)
    for place in range(2):
        write(root / "_background_noise_" / f"hum {place}.wav", np.arange(20 * RATE) // RATE + 100 * place)
    return root


def load(folder, spec="speech_commands"):
    return load_dataset(spec, folder.parent)


def numbers(split):
    return split.images.waveforms[split.labels != CLASSES.index("silence"), 0].tolist()


def speakers(split, folder):
    paths = {}
    for path in folder.glob("*/*_nohash_*.wav"):
        with wave.open(str(path)) as file:
            paths[int(np.frombuffer(file.readframes(1), "<i2")[0])] = path
    return {paths[number].stem.partition("_")[0] for number in numbers(split)}


def test_without_lists_speakers_are_where_the_published_rule_puts_them(folder):
    dataset = load(folder)
    assert dataset.classes == CLASSES
    assert dataset.train.images.shape[1:] == (1, 32, 32)
    parts = {
        name: {one for one in SPEAKERS if part_of(f"{one}_nohash_0.wav") == name} for name in ("training", "testing")
    }
    assert all(parts.values())
    assert speakers(dataset.train, folder) == parts["training"]
    assert speakers(dataset.test, folder) == parts["testing"]


def test_lists_go_before_the_rule(folder):
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*.wav"))
    tested = [name for name in names if SPEAKERS[0] in name or SPEAKERS[1] in name]
    (folder / "testing_list.txt").write_text("\n".join(tested))
    (folder / "validation_list.txt").write_text("\n".join(name for name in names if SPEAKERS[2] in name))
    dataset = load(folder)
    assert speakers(dataset.test, folder) == set(SPEAKERS[:2])
    assert speakers(dataset.train, folder) == set(SPEAKERS[3:])


def test_one_list_alone_counts_for_nothing(folder):
    (folder / "testing_list.txt").write_text("yes/0_nohash_0.wav")
    assert speakers(load(folder).test, folder) != set()


def test_percent_of_the_speakers(folder):
    whole = load(folder, "speech_commands(test=30)")
    trained, tested = (speakers(split, folder) for split in (whole.train, whole.test))
    assert trained | tested == set(SPEAKERS)
    assert not trained & tested
    assert 5 <= len(tested) <= 20
    assert speakers(load(folder, "speech_commands(test=10)").test, folder) < tested, "more percent add speakers"
    for path in folder.glob("*/*.wav"):  # of those that the published rule tests alone
        if part_of(path.name) != "testing":
            path.unlink()
    for word in WORDS:
        (folder / word).mkdir(exist_ok=True)
    with pytest.raises(InputError, match=r"0 are to train by the published split\. .*speech_commands\(test=25\)"):
        load(folder)


def test_labels(folder):
    dataset = load(folder, "speech_commands(test=20)")
    words = {}
    for path in folder.glob("*/*_nohash_*.wav"):
        with wave.open(str(path)) as file:
            words[int(np.frombuffer(file.readframes(1), "<i2")[0])] = path.parent.name
    for split in (dataset.train, dataset.test):
        spoken = split.labels[split.labels != CLASSES.index("silence")]
        for number, label in zip(numbers(split), spoken.tolist(), strict=True):
            assert CLASSES[label] == (words[number] if words[number] in WORDS else "unknown")


def test_silence_is_of_stretches_of_the_noise_that_no_two_splits_share(folder):
    dataset = load(folder)
    for split, low, high in ((dataset.train, 0, 16), (dataset.test, 18, 20)):
        silent = split.labels == CLASSES.index("silence")
        assert silent.sum() == -(-(~silent).sum() // 10)
        heard = split.images.waveforms[silent] % 100  # seconds since the noise began
        assert heard.min() == low
        assert heard.max() < high
        recordings = split.images.waveforms[silent].amax(1) // 100
        assert set(recordings.tolist()) == ({0, 1} if len(recordings) > 1 else {0}), "each in turn"


def test_seconds_of_silence_in_files_are_tested(folder):
    def there(dataset):
        return [int((split.images.waveforms == 7).all(1).sum()) for split in (dataset.train, dataset.test)]

    for number in range(20):
        write(folder / "_silence_" / f"{number}.wav", np.full(RATE, 7))
    assert there(load(folder)) == [0, 20]
    counts = there(load(folder, "speech_commands(test=50)"))
    assert sum(counts) == 20
    assert min(counts) > 3
    rmtree(folder / "_background_noise_")
    alone = load(folder, "speech_commands(test=50)")
    assert [int((split.labels == 1).sum()) for split in (alone.train, alone.test)] == counts, "of these alone"
    with pytest.raises(InputError, match=r"_background_noise_ has no recordings of noise, .* silence to train is made"):
        load(folder)


def test_a_class_without_samples_is_refused(folder):
    rmtree(folder / "_background_noise_")
    for spec in ("speech_commands", "speech_commands(test=30)"):
        with pytest.raises(InputError, match=r"_background_noise_ has no recordings of noise"):
            load(folder, spec)


def test_recordings_that_the_lists_name_are_there(folder):
    """As after an archive that was unpacked in part."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*_nohash_*.wav"))
    (folder / "testing_list.txt").write_text("\n".join(names[::5]), encoding="utf-8-sig")
    (folder / "validation_list.txt").write_text("\n".join(names[1::5]))
    assert len(numbers(load(folder).test)) == len(names[::5]), "also one behind a byte order mark"
    for name in names[5:15:5]:
        (folder / name).unlink()
    told = rf"lacks 2 of the {len(names[::5]) + len(names[1::5])} recordings that its lists name, such as {names[5]}"
    with pytest.raises(InputError, match=rf"{told}.*speech_commands\(test=25\)"):
        load(folder)
    assert load(folder, "speech_commands(test=25)")


def test_a_short_one_ends_in_zeros_and_a_long_one_is_cut(folder):
    write(folder / "yes" / f"{SPEAKERS[0]}_nohash_8.wav", np.full(4000, 501))
    write(folder / "yes" / f"{SPEAKERS[0]}_nohash_9.wav", np.full(20_000, 502))
    rows = torch.cat([split.images.waveforms for split in _all(load(folder, "speech_commands(test=20)"))])
    short, long = (rows[rows[:, 0] == number][0] for number in (501, 502))
    assert short.nonzero().max() == 3999
    assert (long == 502).all()
    assert rows.shape[1] == RATE


def _all(dataset):
    return dataset.train, dataset.test


@pytest.mark.parametrize("percent", ["-1", "91", "2.5", "'half'", "True"])
def test_percent_out_of_range(folder, percent):
    with pytest.raises(InputError, match=r"expected percent of the speakers, 0 to 90"):
        load(folder, f"speech_commands(test={percent})")


def test_mixed_as_waveforms(folder):
    seen, heard = (load(folder, f"speech_commands(test=30,mix='{mix}')") for mix in ("spectrogram", "waveform"))
    assert (seen.modality.NAME, heard.modality.NAME) == ("sound", "waveform")
    assert seen.name == "speech_commands(test=30)"
    assert heard.train.images.shape == (len(seen.train), 1, RATE)
    assert torch.equal(heard.train.images.waveforms, seen.train.images.waveforms)
    assert heard.checksum != seen.checksum
    with pytest.raises(InputError, match="mix='stft'; expected spectrogram or waveform"):
        load(folder, "speech_commands(mix='stft')")


def test_missing(tmp_path, folder):
    with pytest.raises(InputError, match=r"speech-commands is missing\. Run `mixlens data speech_commands --fetch`"):
        load_dataset("speech_commands", tmp_path / "elsewhere")
    for path in (folder / "go").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"speech-commands lacks recordings, WORD/….wav, of go\. Run"):
        load(folder)
    (folder / "go").rmdir()
    with pytest.raises(InputError, match="speech-commands lacks the folders go"):
        load(folder)


def test_a_recording_of_another_rate_is_named(folder):
    write(folder / "yes" / f"{SPEAKERS[0]}_nohash_8.wav", np.zeros(8000), rate=8000)
    with pytest.raises(InputError, match=r"yes/00001000_nohash_8\.wav has 8,000 samples a second"):
        load(folder)


def test_a_list_of_something_else(folder):
    for name in ("validation_list.txt", "testing_list.txt"):
        (folder / name).write_text("all of them")
    with pytest.raises(InputError, match=r"validation_list\.txt has the line 'all'; expected word/name\.wav"):
        load(folder)


def test_noise_of_a_few_seconds(folder):
    write(folder / "_background_noise_" / "click.wav", np.ones(3 * RATE))
    with pytest.raises(InputError, match=r"click\.wav has 3\.0 s; expected 10 s of noise or more"):
        load(folder)


@pytest.mark.usefixtures("page_alone")
def test_it_is_trained_on_end_to_end(folder, tmp_path, capsys):
    """With its transforms, and what takes images takes the spectrograms."""
    study = tmp_path / "study.yaml"
    study.write_text(
        "name: commands\ndata: speech_commands(test=30)\naugmentations: [baseline, fmix]\nseeds: 1\n"
        "sections: [classifier, gradcam, robustness]\n"
        "classifier: {model: conv4(width=4), epochs: 1, batch_size: 32, transforms: speech}\n"
        "gradcam: {images: 8, shown: 4}\nrobustness: {attacks: [fgsm], images: 4, epsilons: [0.03]}\n"
    )
    command = ["run", str(study), "--data-root", str(folder.parent), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert "FMix" in (tmp_path / "out" / "commands" / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main([*command, "--data", "speech_commands(test=30,mix='waveform')"]) == 2
    assert "has waveforms. Leave the section out, or give other data." in capsys.readouterr().err
    assert main([*command, "--transforms", "autoaugment"]) == 2
    assert "'autoaugment' are not of recordings; give speech" in capsys.readouterr().err
