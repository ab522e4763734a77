"""Which axes of a layer's output are a map's, and that what is made of it does not depend on how it lies there."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.gradcam.layers import choose_layers, spatial_layers
from mixlens.gradcam.layout import Layout, Prefix, layout_of
from mixlens.gradcam.measures import heatmap_sums, heatmaps

X = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Last(nn.Module):
    """Channels last in the middle, as Swin's stages are."""

    def __init__(self, width=5, *, last=True):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.last = nn.Conv2d(3, width, 2, stride=2), last
        self.mix, self.first = nn.Linear(width, width), nn.Conv2d(width, width, 1)
        self.head = nn.Linear(width, 4)
        with torch.no_grad():
            self.first.weight.copy_(self.mix.weight[:, :, None, None])
            self.first.bias.copy_(self.mix.bias)

    def forward(self, x):
        x = self.embed(x)
        x = self.mix(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if self.last else self.first(x)
        return self.head(x.relu().mean((2, 3)))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_norm, self.drop, self.v = nn.LayerNorm(4), nn.Dropout(0), nn.Linear(8, 8)

    def forward(self, x):
        heads = self.q_norm(self.v(x).unflatten(2, (2, 4)).transpose(1, 2))  # (B, heads, tokens, dimensions)
        weights = self.drop((heads @ heads.transpose(2, 3)).softmax(-1))  # (B, heads, tokens, tokens)
        return x + (weights @ heads).transpose(1, 2).flatten(2)


class Tokens(nn.Module):
    """A ViT of 16 patches of 8 × 8 images, with or without a class token."""

    def __init__(self, classes=1):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Conv2d(3, 8, 2, stride=2)
        if classes:
            self.cls_token = nn.Parameter(torch.randn(1, classes, 8))
        self.attention, self.norm, self.head = Attention(), nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        if hasattr(self, "cls_token"):
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        return self.head(self.attention(self.norm(x))[:, 0])


def maps_of(model, x=X):
    return {layer.name: (layer.shape, layer.note) for layer in spatial_layers(model.eval(), x)}


def test_a_map_is_the_same_however_it_lies():
    (first,), logits = heatmaps(Last(last=False).eval(), X, ["first"])
    (last,), again = heatmaps(Last().eval(), X, ["mix"])
    assert last.shape == (3, 4, 4)
    torch.testing.assert_close(again, logits)
    torch.testing.assert_close(last, first)


@pytest.mark.parametrize("method", ["gradcam++", "layercam", "eigencam", "HiResCAM", "ShapleyCAM", "ScoreCAM"])
def test_other_methods_maps_too(method):
    (first,), _ = heatmaps(Last(last=False).eval(), X, ["first"], method=method)
    (last,), _ = heatmaps(Last().eval(), X, ["mix"], method=method)
    torch.testing.assert_close(last, first, rtol=1e-4, atol=1e-6)


def test_a_method_that_replaces_the_layer_refuses_another_layout():
    with pytest.raises(InputError, match=r"layer 'mix' puts out its map as channels last, which this method cannot"):
        heatmaps(Last().eval(), X, ["mix"], method="AblationCAM")


def test_as_many_channels_as_pixels_on_a_side():
    """What works on the last axis has its channels there."""
    assert maps_of(Last(4)) == {"embed": ((4, 4, 4), ""), "mix": ((4, 4, 4), "channels last")}
    assert maps_of(Last(4, last=False))["first"] == ((4, 4, 4), "")


def test_images_that_are_no_squares():
    found = maps_of(Last(), torch.rand(2, 3, 8, 12))
    assert found == {"embed": ((5, 4, 6), ""), "mix": ((5, 4, 6), "channels last")}


def test_swins_stages_are_maps_of_pixels():
    """Its last stage's 7 × 7 × 768 were "sums of 5376 pixels"."""
    model = torchvision.models.swin_t(num_classes=4).eval()
    x = torch.rand(2, 3, 96, 96)
    sums = heatmap_sums(model, x, torch.zeros(2), ["features.7"], to_input=lambda images: images)
    assert sums.areas == (9,)
    assert choose_layers(model, x) == ("features.0.0",)


def test_tokens_after_a_class_token_are_a_map_and_heads_are_none():
    found = maps_of(Tokens())
    tokens = ((8, 4, 4), "tokens after cls_token")
    assert found == {"embed": ((8, 4, 4), ""), "attention.v": tokens, "norm": tokens, "attention": tokens}


def test_a_map_of_tokens_by_hand():
    model = Tokens().eval()
    (heat,), logits = heatmaps(model, X, ["norm"])
    x = model.embed(X).flatten(2).transpose(1, 2)
    tokens = model.norm(torch.cat([model.cls_token.expand(3, -1, -1), x], 1)).detach().requires_grad_()
    again = model.head(model.attention(tokens)[:, 0])
    torch.testing.assert_close(again, logits)
    (gradient,) = torch.autograd.grad(again.max(1).values.sum(), tokens)
    expected = (tokens[:, 1:] * gradient[:, 1:].mean(1, keepdim=True)).sum(2).relu().unflatten(1, (4, 4))
    torch.testing.assert_close(heat, expected)


def test_without_a_class_token_tokens_are_refused():
    assert list(maps_of(Tokens(0))) == ["embed"]
    with pytest.raises(InputError, match=r"layer 'norm' puts out no map \(B, C, h, w\) but \(3, 16, 8\)"):
        heatmaps(Tokens(0).eval(), X, ["norm"])


@pytest.mark.parametrize("layer", ["attention.q_norm", "attention.drop"])
def test_heads_are_refused(layer):
    with pytest.raises(InputError, match=rf"layer '{layer}' puts out no map"):
        heatmaps(Tokens().eval(), X, [layer])
    with pytest.raises(InputError, match=r"those with maps: embed 8×4×4, .*norm 8×4×4 \(tokens after cls_token\)"):
        choose_layers(Tokens().eval(), X, [layer])


def test_registers_and_class_tokens_of_timm():
    model = timm.create_model(
        "vit_tiny_patch16_224", num_classes=4, img_size=64, depth=1, reg_tokens=4, qk_norm=True
    ).eval()
    found = maps_of(model, torch.rand(2, 3, 64, 64))
    assert found["blocks.0"] == ((192, 4, 4), "tokens after cls_token and reg_token")
    assert "blocks.0.attn.q_norm" not in found


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Conv2d(1, 1, 1), (2, 4, 4, 7), Layout()),  # a convolution is certain, whatever its kernel
        (nn.ReLU(), (2, 5, 4, 4), Layout()),
        (nn.Linear(7, 7), (2, 4, 4, 7), Layout(last=True)),
        (nn.Linear(7, 7), (2, 3, 17, 7), None),
        (nn.ReLU(), (8, 5, 4, 4), None),  # windows of two images
        (nn.ReLU(), (2, 17, 9), Layout(tokens=1, grid=(4, 4), named="cls_token")),
        (nn.ReLU(), (2, 18, 9), None),
        (nn.ReLU(), (2, 17, 8), None),
        (nn.ReLU(), (2, 1, 9), None),
        (nn.ReLU(), (2, 9), None),
    ],
)
def test_what_a_shape_says(module, shape, expected):
    prefix = Prefix(1, 9, "cls_token")
    assert layout_of(module, torch.zeros(shape), (8, 8), 2, prefix=prefix, in_tokens=False) == expected


def test_an_output_and_its_map_are_two_ways():
    for layout, shape in (
        (Layout(), (2, 5, 4, 3)),
        (Layout(last=True), (2, 4, 3, 5)),
        (Layout(tokens=2, grid=(4, 3)), (2, 14, 5)),
    ):
        output = torch.rand(shape)
        assert layout.map_of(output).shape == (2, 5, 4, 3)
        assert torch.equal(layout.output_of(layout.map_of(output), output), output)
