"""BERT of a folder: the published head over a text's own tokens, held to transformers; what cannot be read."""

import json
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
import transformers
from encoders import WORDS, save_bert, save_words
from safetensors.torch import load_file, save_file

from mixlens.analysis.data.dataset import number_names
from mixlens.analysis.errors import InputError
from mixlens.analysis.models.bert import weights_digest
from mixlens.analysis.models.build import build, canonical, source_of_network

NUMBERS = WORDS[1:]
TEXTS = torch.tensor([[2, 5, 8, 6, 3, 0, 0, 0], [2, 11, 6, 7, 10, 9, 5, 3], [2, 9, 3, 0, 0, 0, 0, 0]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("models") / "bert")


def network(folder, mix="ids", words=NUMBERS, **given):
    torch.manual_seed(1)
    told = {"classes": 3, "modality": "text", "num_words": len(words), "words": words, **given}
    return build(f"bert(path={folder!r},mix={mix!r})", **told)


@pytest.mark.parametrize("mix", ["ids", "embeddings"])
def test_the_head_is_the_published_one_over_a_texts_own_tokens(folder, mix):
    """All hidden states one after the other, and their mean; each text by itself, as transformers has it."""
    ours = network(folder, mix).eval()
    theirs = transformers.BertModel.from_pretrained(folder).eval()
    assert torch.isfinite(ours(TEXTS)).all()
    for text, logits in zip(TEXTS, ours(TEXTS), strict=True):
        alone = text[text != 0].unsqueeze(0)
        states = theirs(alone, output_hidden_states=True).hidden_states
        assert len(states) == 3, "the embeddings, and two layers"
        expected = ours.body.output(torch.cat(states, 1).mean(1))[0]
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mix", ["ids", "embeddings"])
def test_padding_changes_nothing(folder, mix):
    ours = network(folder, mix).eval()
    torch.testing.assert_close(ours(F.pad(TEXTS, (0, 9))), ours(TEXTS), rtol=0, atol=1e-5)


def test_numbers_are_chosen_whole_and_padding_within_a_mixed_text_is_left_out(folder):
    """A mask that chooses gives the text of the chosen numbers, whatever is mixed."""
    by_ids, by_words = (network(folder, mix).eval() for mix in ("ids", "embeddings"))
    mask = torch.tensor([1, 1, 0, 1, 0, 1, 0, 0]).view(1, 1, 8)
    chosen = torch.where(mask[:, 0] == 1, TEXTS, TEXTS.roll(1, 0))
    assert (chosen[2] == 0).any(), "there is padding within"
    for ours in (by_ids, by_words):
        x = ours.embed(TEXTS)
        assert x[0, :, 5:].abs().sum() == 0
        torch.testing.assert_close(ours.body(mask * x + (1 - mask) * x.roll(1, 0)), ours(chosen), rtol=0, atol=1e-5)
    torch.testing.assert_close(by_ids(chosen), by_words(chosen), rtol=0, atol=1e-5)


def test_every_number_is_a_float_of_its_own(folder):
    ours = network(folder)
    ids = torch.tensor([[1, 30_521, 250_001, 2**24]])
    assert ours.embed(ids).squeeze(1).round().long().equal(ids)
    assert ours.embed.chooses


@pytest.mark.parametrize("mix", ["ids", "embeddings"])
def test_all_of_it_is_trained_in_training_mode(folder, mix):
    ours = network(folder, mix)
    assert all(module.training for module in ours.modules())
    ours(TEXTS).logsumexp(1).sum().backward()
    unused = [name for name, parameter in ours.named_parameters() if parameter.grad is None]
    assert not unused, "such as a pooler, whose outputs nobody takes"


@pytest.mark.parametrize("mix", ["ids", "embeddings"])
def test_weights_are_the_folders_and_stand_once(folder, mix):
    ours, stored = network(folder, mix), load_file(f"{folder}/model.safetensors")
    values = {tuple(value.shape): value for value in ours.state_dict().values()}
    table = next(value for name, value in stored.items() if name.endswith("word_embeddings.weight"))
    assert values[tuple(table.shape)].equal(table)
    pointers = [value.data_ptr() for value in ours.state_dict().values()]
    assert len(set(pointers)) == len(pointers)
    count = sum(value.numel() for name, value in stored.items() if "pooler" not in name)
    assert sum(value.numel() for value in ours.parameters()) == count + 32 * 3 + 3


def test_the_last_layer_alone_is_drawn(folder):
    first, second = network(folder), network(folder)
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))
    told = {"classes": 3, "modality": "text", "num_words": len(NUMBERS), "words": NUMBERS}
    torch.manual_seed(2)
    other = build(f"bert(path={folder!r})", **told).state_dict()
    differ = {name for name, value in first.state_dict().items() if not value.equal(other[name])}
    assert differ == {"body.output.weight", "body.output.bias"}


OTHERS = {
    "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "Electra": {"embedding_size": 16},
    "Albert": {"embedding_size": 16},
}


@pytest.mark.parametrize("mix", ["ids", "embeddings"])
@pytest.mark.parametrize("kind", OTHERS)
def test_other_encoders(tmp_path, kind, mix):
    """Narrower embeddings, and layers that share their weights, among them."""
    folder = save_bert(tmp_path / "model", kind, **OTHERS[kind])
    (tmp_path / "model" / "vocab.txt").unlink()  # ALBERT's tokeniser is of another kind
    ours = network(folder, mix, number_names(14)).eval()
    torch.testing.assert_close(ours(F.pad(TEXTS, (0, 4))), ours(TEXTS), rtol=0, atol=1e-5)


def test_a_model_with_a_head_gives_its_encoder(tmp_path):
    folder = save_bert(tmp_path / "model", head="ForMaskedLM")
    assert network(folder)(TEXTS).shape == (3, 3)


def test_several_heads(folder):
    ours = network(folder, classes=7, heads=(2, 5)).eval()
    assert [tuple(logits.shape) for logits in ours(TEXTS)] == [(3, 2), (3, 5)]


def test_how_long_a_text_may_be_is_known(folder):
    assert network(folder).longest == 40


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*NUMBERS, "more"), "numbered by 15 words that are not the 15 tokens of"),
        (("<unk>", *NUMBERS[1:]), "numbered by 14 words that are not the 15 tokens of"),
        (NUMBERS[:-1], "numbered by 13 words"),
    ],
)
def test_data_numbered_by_anything_else_are_refused(folder, words, told):
    with pytest.raises(InputError, match=rf"{told}.*Give the data its tokeniser, as imdb\(tokenizer='"):
        network(folder, words=words)


def test_without_a_tokeniser_beside_them_texts_come_as_numbers(tmp_path):
    folder = save_bert(tmp_path / "model")
    (tmp_path / "model" / "vocab.txt").unlink()
    network(folder, words=number_names(13))
    for words, told in ((number_names(15), "numbered by 15 words"), (NUMBERS[:-1], "13 words .* come as its numbers")):
        with pytest.raises(InputError, match=told):
            network(folder, words=words)


def test_padding_of_another_number_is_refused(tmp_path):
    """As RoBERTa's, whose places begin behind it too."""
    folder = save_bert(tmp_path / "model")
    edit(tmp_path / "model" / "config.json", pad_token_id=1)
    with pytest.raises(InputError, match="pads with number 1; here padding is number 0"):
        network(folder)


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def test_what_is_no_encoder_is_refused(tmp_path):
    config = {"n_embd": 32, "n_layer": 2, "n_head": 4}
    decoder = save_bert(tmp_path / "gpt", "GPT2", **config)
    with pytest.raises(InputError, match="is of type gpt2, no encoder of texts such as BERT"):
        network(decoder)
    folder = save_bert(tmp_path / "bert")
    edit(tmp_path / "bert" / "config.json", is_decoder=True)
    with pytest.raises(InputError, match="is of type bert, no encoder"):
        network(folder)


def test_pickled_weights_are_not_read(tmp_path):
    folder = save_bert(tmp_path / "model", safe=False)
    with pytest.raises(InputError, match=r"has no config\.json with \*\.safetensors beside it, which alone are read"):
        network(folder)


def test_code_in_the_folder_is_not_run(tmp_path):
    folder = save_bert(tmp_path / "model")
    edit(tmp_path / "model" / "config.json", auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model"})
    (tmp_path / "model" / "own.py").write_text("raise SystemExit('run')\n", encoding="utf-8")
    assert network(folder)(TEXTS).shape == (3, 3)


def test_damaged_weights_and_missing_ones_are_one_line(tmp_path):
    folder = save_bert(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    state = load_file(weights)
    name = next(name for name in state if name.endswith("0.output.dense.weight"))
    save_file({key: value for key, value in state.items() if key != name}, weights, {"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 1 of its weights, such as encoder\.layer\.0\.output\.dense\.weight"):
        network(folder)
    save_file({**state, name: torch.zeros(3, 3)}, weights, {"format": "pt"})
    with pytest.raises(InputError, match="the model cannot be read from") as caught:
        network(folder)
    assert "\n" not in str(caught.value)
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(InputError, match="the model cannot be read from") as caught:
        network(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bert", "missing a required.*argument: 'path'"),
        ("bert(path='bert-base-cased')", "'bert-base-cased' is no folder"),
        ("bert(path='')", "'' is no folder"),
        ("bert(path=3)", "3 is no folder"),
        ("bert(path='.',mix='words')", "mix='words'; expected one of 'ids', 'embeddings'"),
    ],
)
def test_what_cannot_be_asked_for(here, text, told):
    with pytest.raises(InputError, match=told):
        build(text, classes=2, modality="text", num_words=len(NUMBERS), words=NUMBERS)


def test_it_takes_texts_alone(folder):
    with pytest.raises(InputError, match="takes no images"):
        build(f"bert(path={folder!r})", classes=2, channels=3)


def test_what_is_usual_is_left_out_of_its_name():
    assert canonical("bert(mix='ids',path='a')") == "bert(path='a')"


def test_a_network_is_known_by_what_its_folder_holds(tmp_path):
    first, second = save_bert(tmp_path / "a"), save_bert(tmp_path / "b")
    assert source_of_network(f"bert(path={first!r})") == source_of_network(f"bert(path={second!r})") != ""
    save_words(tmp_path / "b", WORDS[:-1])
    assert weights_digest(first) == weights_digest(second), "the tokeniser is the data's"
    before = weights_digest(second)
    edit(tmp_path / "b" / "config.json", hidden_dropout_prob=0.3)
    assert weights_digest(second) != before
    assert (source_of_network("text-cnn"), weights_digest(str(tmp_path / "none"))) == ("", "")


def test_other_networks_do_without_transformers():
    code = (
        "import sys; from mixlens.analysis.models.build import build; build('conv4(width=4)', classes=2, channels=3);"
        "print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.splitlines()[-1] == "False"
