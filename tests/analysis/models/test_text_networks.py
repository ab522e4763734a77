import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mixlens.analysis.data.modalities.text import Texts
from mixlens.analysis.errors import InputError
from mixlens.analysis.masks.fmix import FMix
from mixlens.analysis.models.build import architectures, build, canonical
from mixlens.analysis.models.text_networks import Ending, ends_of, padding_of, text_cnn, text_lstm

WORDS = 30
NETWORKS = {"text-cnn": text_cnn, "text-lstm": text_lstm}


@pytest.fixture(scope="module")
def ids():
    generator = torch.Generator().manual_seed(0)
    return Texts.of(
        [torch.randint(1, WORDS + 1, (length,), generator=generator).tolist() for length in (1, 2, 9, 4, 17, 3)]
    )


@pytest.fixture(params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    return NETWORKS[request.param](3, channels=6, width=5, num_words=WORDS).eval()


def alone(network, ids):
    """What each text gives by itself, without any padding."""
    return torch.cat([network(ids[row : row + 1]) for row in range(len(ids))])


def test_a_texts_logits_depend_on_no_other(network, ids):
    torch.testing.assert_close(network(ids[:]), alone(network, ids))
    torch.testing.assert_close(network(nn.functional.pad(ids[:], (0, 40))), alone(network, ids))


def ended(network, features):
    """The ending of features (L, C), as it is described."""
    pooled = torch.cat([features.mean(0), features.max(0).values, features[-1]])
    return network.body.ending.output(network.body.ending.layers(pooled))


def test_the_cnn_is_a_plain_loop_over_texts(ids):
    torch.manual_seed(1)
    network = text_cnn(2, channels=4, width=7, num_words=WORDS)
    logits = []
    for row in range(len(ids)):
        x = network.embed.table.weight[ids[row]].T[None]
        for conv in network.body.convs:
            x = nn.functional.conv1d(x, conv.weight, conv.bias, padding=1).relu()
        logits.append(ended(network, x[0].T))
    torch.testing.assert_close(network(ids[:]), torch.stack(logits))


def test_the_lstm_is_torchs_bidirectional_one_of_packed_texts(ids):
    torch.manual_seed(1)
    network = text_lstm(2, channels=4, width=7, num_words=WORDS)
    theirs = nn.LSTM(4, 7, num_layers=2, bidirectional=True, batch_first=True)
    for layer in range(2):
        for side, suffix in ((network.body.forwards, ""), (network.body.backwards, "_reverse")):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(theirs, f"{name}_l{layer}{suffix}").data.copy_(getattr(side[layer], f"{name}_l0"))
    embedded = network.embed(ids[:]).mT.detach().requires_grad_()
    packed = pack_padded_sequence(embedded, ids.lengths, batch_first=True, enforce_sorted=False)
    outputs, lengths = pad_packed_sequence(theirs(packed)[0], batch_first=True)
    logits = [ended(network, one[:length]) for one, length in zip(outputs, lengths, strict=True)]
    found, expected = network.body(embedded.mT), torch.stack(logits)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    gradients = [torch.autograd.grad(one.square().sum(), embedded)[0] for one in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def test_both_sides_of_the_lstm_are_learned(ids):
    network = text_lstm(2, channels=4, width=3, num_words=WORDS)
    network(ids[:]).sum().backward()
    assert all(parameter.grad.any() for parameter in network.parameters())


def test_padding_learns_nothing(network, ids):
    network.train()
    network(ids[:]).square().sum().backward()
    weight = network.embed.table.weight
    assert not weight[0].any()
    assert not weight.grad[0].any()


def test_what_a_mask_leaves_empty_is_no_part_of_a_text(network, ids):
    """A long text where the mask takes a shorter one's padding: nothing is there, and its last word stays."""
    x = network.embed(ids[[4, 5]])  # 17 and 3 words
    mask = torch.zeros(17)
    mask[:2] = mask[10:15] = 1
    mixed = x[:1] * mask + x[1:] * (1 - mask)  # the first's 0, 1 and 10–14, the other's third, and nothing elsewhere
    there = padding_of(mixed)
    assert there.squeeze().nonzero().squeeze().tolist() == [0, 1, 2, 10, 11, 12, 13, 14]
    assert ends_of(there).tolist() == [15]
    assert network.body(mixed).isfinite().all()
    longer = nn.functional.pad(mixed, (0, 6))
    torch.testing.assert_close(network.body(longer), network.body(mixed))


def test_the_ending_passes_over_holes():
    torch.manual_seed(0)
    ending = Ending(4, 2)
    features = torch.randn(1, 4, 9) - 3  # below zero, which padding must not be taken for
    there = torch.tensor([[[1, 1, 0, 0, 1, 0, 1, 0, 0]]], dtype=torch.bool)
    expected = ending(features[:, :, [0, 1, 4, 6]], torch.ones(1, 1, 4, dtype=torch.bool))
    torch.testing.assert_close(ending(features * there, there), expected)


def test_an_empty_mixture_has_logits_too(network):
    """Two texts whose masked parts are both beyond their ends."""
    assert network.body(torch.zeros(2, 6, 5)).isfinite().all()


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_mixed_texts_give_gradients(network, ids, variant):
    x = network.embed(ids[:])
    mixed = FMix(variant=variant).pairs(x, torch.zeros(6).long(), generator=torch.Generator().manual_seed(0))
    network.body(mixed.x).sum().backward()
    assert network.embed.table.weight.grad.isfinite().all()


def test_vectors_are_where_the_embedding_begins_and_nan_is_drawn():
    vectors = torch.randn(WORDS, 12)
    vectors[3] = torch.nan
    vectors[8] = 0
    network = build("text-cnn(width=4)", classes=2, modality="text", num_words=WORDS, vectors=vectors)
    weight = network.embed.table.weight
    known = (torch.arange(WORDS) != 3) & (torch.arange(WORDS) != 8)
    torch.testing.assert_close(weight[1:][known], vectors[known])
    assert weight[4].isfinite().all()
    assert weight[4].abs().max() < 1
    assert weight[9].any(), "zero throughout it would be padding"
    assert weight.requires_grad
    with pytest.raises(InputError, match="channels=7, but the data's vectors have 12; leave it out"):
        build("text-cnn(channels=7)", classes=2, modality="text", num_words=WORDS, vectors=vectors)


def test_the_papers_size():
    """300 channels, 128 features: three convolutions, 3·128 → 128 → 128, and the classes."""
    with torch.device("meta"):
        network = build("text-cnn", classes=2, modality="text", num_words=30_000)
        lstm = build("text-lstm", classes=2, modality="text", num_words=30_000)
    count = lambda module: sum(one.numel() for one in module.parameters())  # noqa: E731
    assert count(network.embed) == 30_001 * 300
    linear = (3 * 128 + 1) * 128 + (128 + 1) * 128 + (128 + 1) * 2
    assert count(network.body) == (3 * 300 + 1) * 128 + 2 * (3 * 128 + 1) * 128 + linear
    theirs = nn.LSTM(300, 128, num_layers=2, bidirectional=True, device="meta")
    assert count(lstm.body) == count(theirs) + (6 * 128 + 1) * 256 + (256 + 1) * 256 + (256 + 1) * 2


def test_they_are_known_by_name_for_texts_alone():
    assert {"text-cnn", "text-lstm"} <= architectures("text").keys()
    assert not {"text-cnn", "text-lstm"} & architectures("image").keys()
    assert canonical("text-cnn(width=128,channels=8)") == "text-cnn(channels=8)"
    with pytest.raises(InputError, match="width"):
        build("text-lstm(width=0)", classes=2, modality="text", num_words=3)
