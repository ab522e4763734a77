"""Classes of pytorch-grad-cam in our passes: against the package as it is used, and against plain formulas."""

import copy
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_grad_cam
import torch
import torch.nn.functional as F
from helpers import resnet
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.classifier.model import Classifier
from mixlens.gradcam.library import UNUSABLE, LibraryMethod
from mixlens.gradcam.measures import heatmap_sums, heatmaps, normalise
from mixlens.gradcam.methods import METHODS, find_method

SUPPORTED = (
    *("AblationCAM", "EigenCAM", "EigenGradCAM", "FEM", "FinerCAM", "GradCAM", "GradCAMElementWise"),
    *("GradCAMPlusPlus", "HiResCAM", "KPCA_CAM", "LayerCAM", "ScoreCAM", "SegEigenCAM", "ShapleyCAM", "XGradCAM"),
)
UNSIGNED = ("EigenCAM", "EigenGradCAM")  # the package leaves their sign to LAPACK
X = torch.rand(7, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(7) % 4
LAYERS = ("stem", "stages.0", "stages.1.0.conv1", "stages.2")
SIDES = (16, 16, 8, 4)


def smooth():
    """Convolutions 0 (16 × 16) and 2 (8 × 8) with a tanh after each, so that second derivatives are not zero."""
    torch.manual_seed(1)
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Tanh()
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(384, 4)).eval()


def pass_of(model, layer, x, classes):
    """The layer's activations and the gradients of the classes' logits by them, of a sequential network."""
    activations = model[: layer + 1](x).detach().requires_grad_()
    model[layer + 1 :](activations).gather(1, classes[:, None]).sum().backward()
    return activations.detach(), activations.grad


# which there are


def test_every_class_of_the_package_is_supported_or_has_its_reason():
    classes = {name for name, value in vars(pytorch_grad_cam).items() if inspect.isclass(value)}
    assert classes <= {*SUPPORTED, *UNUSABLE}, "a new one: try it, and add it to the README"
    assert set(SUPPORTED) <= classes
    assert not set(SUPPORTED) & set(UNUSABLE)


@pytest.mark.parametrize("name", SUPPORTED)
def test_supported_classes_are_found_and_documented(name):
    method = find_method(name)
    assert isinstance(method, LibraryMethod)
    assert (method.name, method.source) == (name, "")
    assert f"`{name}`" in (Path(__file__).parents[2] / "gradcam" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used_says_why(name):
    with pytest.raises(InputError, match=rf"heatmap method '{name}' of pytorch_grad_cam cannot be used: it .*\.$"):
        find_method(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("HiResCam", "unknown heatmap method 'HiResCam'. Did you mean 'HiResCAM'? Known: eigencam, gradcam, gradcam++"),
        ("scorecam", "Did you mean 'ScoreCAM'? .* by its name: AblationCAM, EigenCAM, .* as package.module:factory"),
        ("XGrad", "Did you mean 'XGradCAM'"),
        ("GuidedBackprop", "Did you mean 'GuidedBackpropReLUModel'"),
        ("BaseCAM", "unknown heatmap method 'BaseCAM'"),
        ("__name__", "unknown heatmap method '__name__'"),
        ("run_dff_on_image", "unknown heatmap method 'run_dff_on_image'"),
        ("", "unknown heatmap method ''"),
        ("FEM(kk=3)", "heatmap method 'FEM.kk=3.': unknown argument 'kk'. Did you mean 'k'"),
        ("HiResCAM(model=3)", "unknown argument 'model'"),
        ("HiResCAM(aug_smooth=True)", "unknown argument 'aug_smooth'. Did you mean 'eigen_smooth'"),
        ("FEM(eigen_smooth=True)", "unknown argument 'eigen_smooth'"),
        ("FinerCAM(comparison_categories=[0, 1])", "counts the other classes from 1, the nearest"),
        ("FinerCAM(comparison_categories=[])", "counts the other classes from 1"),
        ("FinerCAM(comparison_categories=2)", "counts the other classes from 1"),
    ],
)
def test_what_is_none_is_refused(text, words):
    with pytest.raises(InputError, match=words.replace("? ", r"\? ").replace("++", r"\+\+")):
        find_method(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("FEM(k=2)", "FEM"),
        ("FEM( k = 3 )", "FEM(k=3)"),
        ("HiResCAM(eigen_smooth=False)", "HiResCAM"),
        ("FinerCAM(comparison_categories=[1],alpha=1)", "FinerCAM(comparison_categories=[1])"),
        ("FinerCAM(comparison_categories=[1],alpha=0.5)", "FinerCAM(alpha=0.5,comparison_categories=[1])"),
        ("AblationCAM(ratio_channels_to_ablate=1,batch_size=16)", "AblationCAM(batch_size=16)"),
        ("KPCA_CAM(kernel='rbf',gamma=None)", "KPCA_CAM(kernel='rbf')"),
    ],
)
def test_one_method_has_one_name(text, name):
    assert find_method(text).name == name
    assert find_method(name).name == name


@pytest.mark.parametrize(
    "text", ["FEM(k='a')", "KPCA_CAM(kernel='none')", "FinerCAM(alpha='a')", "AblationCAM(batch_size=0)"]
)
def test_values_that_a_class_cannot_use(text):
    with pytest.raises(InputError, match=r"heatmap method .* failed with [A-Z]"):
        heatmaps(smooth(), X, ["0"], method=text)


def test_finercam_needs_another_class_to_compare_with():
    with pytest.raises(InputError, match="of 4 classes, none is left to compare with"):
        heatmaps(smooth(), X, ["0"], method="FinerCAM(comparison_categories=[4])")


# the import


@pytest.mark.slow
def test_the_package_is_imported_when_one_of_its_classes_is_named():
    code = (
        "import sys, torch; state = torch.get_rng_state(); "
        "from mixlens.gradcam import run; from mixlens.gradcam.methods import find_method; "
        "find_method('gradcam'); there = ['cv2' in sys.modules, 'pytorch_grad_cam' in sys.modules]; "
        "find_method('HiResCAM'); print(there, 'pytorch_grad_cam' in sys.modules); "
        "assert torch.equal(torch.get_rng_state(), state), 'and draws no number'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "[False, False] True"


def test_an_import_that_fails_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(
        InputError, match=r"'HiResCAM' is none of gradcam, .* cannot be imported .*pip install grad-cam"
    ):
        find_method("HiResCAM")
    assert find_method("gradcam") is METHODS["gradcam"], "ours need nothing"


def test_an_opencv_without_its_libraries_is_named(monkeypatch, tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] in ("cv2", "pytorch_grad_cam")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match=r"ImportError: libGL\.so\.1: cannot open .*opencv-python-headless"):
        find_method("HiResCAM")


# parity with the package as it is used, and with ours


def reference(name, model, x, layer, classes, **arguments):
    """The package's maps, moved to [0, 1] and at the images' size. It wants trainable weights."""
    model = copy.deepcopy(model).requires_grad_(True)
    targets = [ClassifierOutputTarget(int(label)) for label in classes]
    with getattr(pytorch_grad_cam, name)(model, [model.get_submodule(layer)]) as cam:
        return torch.from_numpy(cam(x, targets=targets, **arguments))


@pytest.mark.parametrize("make", [resnet, smooth])
@pytest.mark.parametrize("name", sorted({*SUPPORTED} - {*UNSIGNED, "FinerCAM"}))
def test_maps_are_the_packages(name, make):
    layers = LAYERS if make is resnet else ("0", "2")
    found, _ = heatmaps(make(), X, layers, method=name, classes=LABELS, upsample=True)
    for layer, ours in zip(layers, found, strict=True):
        expected = reference(name, make(), X, layer, LABELS)
        assert expected.amax() > 0.5, "maps to compare"
        near = 1e-3 if name == "AblationCAM" else 1e-4  # whose weights are differences of almost equal logits
        torch.testing.assert_close(normalise(ours, "minmax"), expected, rtol=0, atol=near)


@pytest.mark.parametrize("text", ["LayerCAM(eigen_smooth=True)", *UNSIGNED])
def test_projections_are_the_packages_up_to_the_sign(text):
    """The energy's sign in place of LAPACK's: of the two maps that a projection can make, one."""
    name, arguments = text.partition("(")[0], {"eigen_smooth": True} if "(" in text else {}
    for layer in LAYERS:
        (ours,), _ = heatmaps(resnet(), X, [layer], method=text, classes=LABELS, upsample=True)
        theirs = reference(name, resnet(), X, layer, LABELS, **arguments)
        agree = ((normalise(ours, "minmax") - theirs).abs().amax((1, 2)) < 1e-4).sum()
        assert agree > 0
        apart = (normalise(ours, "minmax") * theirs).amax((1, 2)) < 0.5  # where one is positive the other is 0
        assert agree + apart.sum() == len(X)


def test_finercam_of_the_predicted_class_is_the_packages():
    for text, given in [("FinerCAM", {}), ("FinerCAM(alpha=0.3,comparison_categories=[2,3])", {"alpha": 0.3})]:
        (ours,), _ = heatmaps(resnet(), X, ["stages.1"], method=text, upsample=True)
        model = resnet().requires_grad_(True)
        cam = pytorch_grad_cam.FinerCAM(model, [model.stages[1]])
        theirs = cam(X, comparison_categories=[2, 3] if given else None, **given)
        torch.testing.assert_close(normalise(ours, "minmax"), torch.from_numpy(theirs), rtol=0, atol=1e-4)


@pytest.mark.parametrize("label", range(4))
def test_finercams_score_of_any_class(label):
    """Σ_j p_j (y − α y_j) / Σ_j p_j of the two classes nearest in their logits, also where another ties."""
    logits = torch.tensor([[2.0, 2.0, 1.5, 0.0]], requires_grad=True)
    nearest = {0: (1, 2), 1: (0, 2), 2: (0, 1), 3: (2, 0)}[label]
    p, y = logits[0].softmax(0), logits[0]
    expected = sum(p[j] * (y[label] - 0.5 * y[j]) for j in nearest) / sum(p[j] for j in nearest)
    score = find_method("FinerCAM(alpha=0.5,comparison_categories=[1,2])").score(logits, torch.tensor([label]))
    torch.testing.assert_close(score, expected)
    torch.testing.assert_close(*(torch.autograd.grad(it, logits)[0] for it in (score, expected)))


OURS = {"GradCAM": "gradcam", "GradCAMPlusPlus": "gradcam++", "LayerCAM": "layercam", "EigenCAM": "eigencam"}


@pytest.mark.parametrize("classes", [None, LABELS], ids=["predicted", "given"])
@pytest.mark.parametrize("name", OURS)
def test_the_packages_namesakes_make_the_maps_that_ours_make(name, classes):
    """At the layer's own size and not normalised: the sums are the same."""
    found, logits = heatmaps(resnet(), X, LAYERS, method=name, classes=classes)
    expected, same = heatmaps(resnet(), X, LAYERS, method=OURS[name], classes=classes)
    torch.testing.assert_close(logits, same)
    for theirs, ours, side in zip(found, expected, SIDES, strict=True):
        assert theirs.shape == (7, side, side)
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4 * float(ours.max()))


# plain formulas


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_hirescam_is_the_sum_of_gradients_times_activations(layer):
    activations, gradients = pass_of(smooth(), layer, X, LABELS)
    (made,), _ = heatmaps(smooth(), X, [str(layer)], method="HiResCAM", classes=LABELS)
    torch.testing.assert_close(made, (activations * gradients).sum(1).relu())


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_xgradcam_weights_by_the_share_of_a_channels_activation(layer):
    activations, gradients = pass_of(smooth(), layer, X, LABELS)
    share = activations / (activations.sum((2, 3), keepdim=True) + 1e-7)
    weights = (gradients * share).sum((2, 3), keepdim=True)
    (made,), _ = heatmaps(smooth(), X, [str(layer)], method="XGradCAM", classes=LABELS)
    torch.testing.assert_close(made, (weights * activations).sum(1).relu(), rtol=1e-4, atol=1e-5)


def test_shapleycam_takes_half_the_hessian_off_the_gradients():
    """w = mean(g − H A / 2), H A = ∂(g·A)/∂A, on a network with second derivatives."""
    model = smooth().requires_grad_(False)
    activations = model[:1](X).requires_grad_()
    score = model[1:](activations).gather(1, LABELS[:, None]).sum()
    (gradients,) = torch.autograd.grad(score, activations, create_graph=True)
    (product,) = torch.autograd.grad((gradients * activations.detach()).sum(), activations)
    weights = (gradients - product / 2).detach().mean((2, 3), keepdim=True)
    (made,), _ = heatmaps(model, X, ["0"], method="ShapleyCAM", classes=LABELS)
    torch.testing.assert_close(made, (weights * activations.detach()).sum(1).relu())
    assert not torch.allclose(made, heatmaps(model, X, ["0"], method="GradCAM", classes=LABELS)[0][0], rtol=1e-3)


@pytest.mark.parametrize("trainable", [False, True])
def test_shapleycam_is_gradcam_where_the_logits_are_linear(trainable):
    model = smooth().requires_grad_(trainable)
    (made,), _ = heatmaps(model, X, ["3"], method="ShapleyCAM")
    torch.testing.assert_close(made, heatmaps(model, X, ["3"])[0][0])


@pytest.mark.parametrize("layer", [0, 2])
def test_scorecam_is_a_loop_over_channels(layer):
    model, expected = smooth(), []
    with torch.no_grad():
        for image, label in zip(X, LABELS, strict=True):
            (activations,) = model[: layer + 1](image[None])
            scores = []
            for channel in activations:
                mask = F.interpolate(channel[None, None], size=(16, 16), mode="bilinear", align_corners=True)
                mask = (mask - mask.min()) / (mask.max() - mask.min())
                scores.append(model(image * mask)[0, label])
            expected.append((torch.stack(scores).softmax(0)[:, None, None] * activations).sum(0).relu())
    (made,), _ = heatmaps(model, X, [str(layer)], method="ScoreCAM", classes=LABELS)
    torch.testing.assert_close(made, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_ablationcam_is_the_loss_of_logit_without_each_channel():
    """After a ReLU, where a channel is ablated to 0."""
    model = smooth()
    model[1] = nn.ReLU()
    with torch.no_grad():
        activations, whole = model[:2](X), model(X).gather(1, LABELS[:, None])
        weights = []
        for channel in range(4):
            without = activations.clone()
            without[:, channel] = 0
            weights.append(1 - model[2:](without).gather(1, LABELS[:, None]) / whole)
    expected = (torch.cat(weights, 1)[:, :, None, None] * activations).sum(1).relu()
    (made,), _ = heatmaps(model, X, ["1"], method="AblationCAM", classes=LABELS)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)


def test_scorecam_masks_a_classifiers_images_before_their_normalisation():
    """What is masked is black, whatever the data set's mean."""
    network = smooth()
    model = Classifier(network, (0.5,) * 3, (0.25,) * 3)
    (made,), _ = heatmaps(model, X, ["0"], method="ScoreCAM")
    unscaled = copy.deepcopy(network)
    unscaled.insert(0, nn.Conv2d(3, 3, 1))
    with torch.no_grad():
        unscaled[0].weight.copy_(4 * torch.eye(3)[:, :, None, None])
        unscaled[0].bias.fill_(-2)
    torch.testing.assert_close(made, heatmaps(unscaled, X, ["1"], method="ScoreCAM")[0][0], rtol=1e-4, atol=1e-5)


# what must change nothing


def same(found, expected, tolerance=1e-3):
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * float(theirs.max()))


@pytest.mark.parametrize("name", [*SUPPORTED, "GradCAM(eigen_smooth=True)"])
def test_an_images_map_does_not_depend_on_its_batch_nor_on_the_other_layers(name):
    together, _ = heatmaps(resnet(), X, LAYERS, method=name)
    alone = [heatmaps(resnet(), image[None], LAYERS, method=name)[0] for image in X]
    same(together, [torch.cat(maps) for maps in zip(*alone, strict=True)])
    same(together, [heatmaps(resnet(), X, [layer], method=name)[0][0] for layer in LAYERS])


@pytest.mark.parametrize("name", SUPPORTED)
def test_frozen_weights_and_the_memory_format_change_nothing(name):
    expected, _ = heatmaps(resnet(), X, LAYERS, method=name)
    same(heatmaps(resnet().requires_grad_(False), X, LAYERS, method=name)[0], expected)
    last = resnet().to(memory_format=torch.channels_last)
    same(heatmaps(last, X.contiguous(memory_format=torch.channels_last), LAYERS, method=name)[0], expected)


@pytest.mark.parametrize("name", ["GradCAM", "ShapleyCAM", "ScoreCAM", "AblationCAM", "FinerCAM"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_caller_that_computes_no_gradients_gets_the_same_maps(name, mode):
    model = smooth()
    expected, _ = heatmaps(model, X, ["0"], method=name)
    with mode():
        same(heatmaps(model, X.clone(), ["0"], method=name)[0], expected)


def state(model):
    """All that a class of the package may change of a network."""
    modules = [
        (dict(m._forward_hooks), dict(m._forward_pre_hooks), dict(m._backward_hooks), dict(m._modules), m.training)
        for m in model.modules()
    ]
    return modules, [(p.requires_grad, p.grad is not None and p.grad.clone()) for p in model.parameters()]


class Third(nn.Module):
    """Fails when it is called for the third time: within the passes that ScoreCAM and AblationCAM make."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 3:
            raise RuntimeError("this network breaks")
        return x


@pytest.mark.parametrize("name", ["ScoreCAM", "FinerCAM"])
def test_the_packages_hooks_are_gone_before_a_class_makes_passes_of_its_own(name):
    """They would keep every pass's activations."""
    model = smooth()
    cam = find_method(name).cam(model, model[0])
    assert cam.model is model
    assert not model[0]._forward_hooks


@pytest.mark.parametrize("breaks", [False, True])
@pytest.mark.parametrize("name", SUPPORTED)
def test_a_users_network_is_left_as_it_was(name, breaks):
    model = smooth().append(Third() if breaks else nn.Identity()).train()  # nothing in it depends on the mode
    model[5].requires_grad_(False)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before, weights, x = state(model), copy.deepcopy(model.state_dict()), X.clone().requires_grad_()
    if breaks and name in ("ScoreCAM", "AblationCAM", "ShapleyCAM"):  # the last of these in our third pass
        with pytest.raises((InputError, RuntimeError), match=r"this network breaks"):
            heatmaps(model, x, ["0", "2", "1"], method=name)
    else:
        made, logits = heatmaps(model, x, ["0", "2", "1"], method=name)
        assert not any(value.requires_grad for value in (*made, logits))
    after = state(model)
    assert after[0] == before[0]
    assert all(
        now[0] == then[0] and torch.equal(now[1], then[1]) for now, then in zip(after[1], before[1], strict=True)
    )
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert x.grad is None


def test_nothing_is_printed_and_the_packages_own_bars_stay(capfd):
    for name in ("ScoreCAM", "AblationCAM", "HiResCAM(eigen_smooth=True)", "FinerCAM"):
        heatmaps(smooth(), X, ["0"], method=name)
    assert capfd.readouterr() == ("", "")
    pytorch_grad_cam.ScoreCAM(smooth(), [smooth()[0]])
    assert sys.modules["pytorch_grad_cam.score_cam"].tqdm is sys.modules["tqdm"]
    assert not hasattr(sys.modules["pytorch_grad_cam.hirescam"], "print")


def test_progress_moves_within_what_a_pass_per_channel_takes():
    steps = []
    images = torch.cat([X, X, X])
    options = {"to_input": lambda x: x, "progress": steps.append}
    heatmap_sums(smooth(), images, LABELS.repeat(3), ["0"], method="ScoreCAM", **options)
    heatmap_sums(smooth(), images, LABELS.repeat(3), ["0"], method="HiResCAM", **options)
    assert steps == [8, 8, 5, 21]


# maps of nothing


@pytest.mark.parametrize("name", SUPPORTED)
def test_activations_of_zero_have_maps_of_zero(name):
    model = smooth()
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    (made,), _ = heatmaps(model, X, ["2"], method=name)
    assert made.max() <= (1e-4 if name == "KPCA_CAM" else 0), "its kernel's rounding errors have a component"


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", SUPPORTED)
def test_activations_that_are_not_finite_are_refused(name, bad):
    """The package's projections read NaN as 0."""
    model = smooth()
    with torch.no_grad():
        model[2].bias[0] = bad
    with pytest.raises(InputError, match=r"are NaN or infinite|failed with"):
        heatmaps(model, X, ["2"], method=name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", SUPPORTED)
def test_maps_on_a_gpu_stay_there(name):
    expected, _ = heatmaps(resnet().double(), X.double(), LAYERS, method=name, classes=LABELS)
    model = resnet().double().cuda()
    found, _ = heatmaps(model, X.double().cuda(), LAYERS, method=name, classes=LABELS.cuda())
    assert all(made.is_cuda for made in found)
    same([made.cpu() for made in found], expected)
