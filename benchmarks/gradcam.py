"""Heatmap sums of a data set: ours against pytorch-grad-cam in the same batches, and against bare passes.

    python benchmarks/gradcam.py [--quick] [--json FILE] [--threads N] [--images N] [--model SPEC] [--batch N]

Ours is `mixlens.gradcam.measures.heatmap_sums`, from uint8 images to a sum an image. The peer is what a user of
`pytorch_grad_cam` writes: GradCAM called with each batch of float images on the device, and the maps it returns summed.
The floor is a forward pass and a backward pass from the greatest logits to the layer's activations, with frozen
weights and no graph before the layer. One case a layer, since the library measures one at a time, and one with all
three, for which it needs three runs. Aims: at least 0.85 of the floor's speed, that is a floor ratio of at most 1.18;
at least 1.2 times the library's at the first layer and twice deeper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from harness import arguments, interleave, record, show, write
from pytorch_grad_cam import GradCAM
from torch import Tensor

from mixlens.analysis.data.sources import photos
from mixlens.classifier.config import ClassifierConfig
from mixlens.classifier.measures import to_unit
from mixlens.classifier.model import Classifier, make_classifier
from mixlens.gradcam.measures import heatmap_sums

LAYERS = ("stem", "stages.0", "stages.1")
CASES = [*((layer,) for layer in (*LAYERS, "stages.3")), LAYERS]


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], images=1000, model="preact-resnet18", batch=100)
    backend, dataset = given.backend, photos.load()
    count = 100 if given.quick else given.images
    model = backend.prepare(make_classifier(ClassifierConfig(model=given.model), dataset))
    repeated = torch.arange(count) % len(dataset.test)
    images, labels = dataset.test.images[repeated].to(backend.device), dataset.test.labels[repeated]
    x = to_unit(images, backend)

    def ours(layers: Sequence[str]) -> Tensor:
        unit = partial(to_unit, backend=backend)
        return heatmap_sums(model, images, labels, layers, to_input=unit, batch_size=given.batch).sums

    def theirs(layers: Sequence[str]) -> list[float]:
        model.requires_grad_(True)  # as a user's model is
        sums: list[float] = []
        for layer in layers:
            with GradCAM(model=model, target_layers=[model.network.get_submodule(layer)]) as cam:
                for part in x.split(given.batch):
                    sums += cam(input_tensor=part, targets=None).sum((1, 2)).tolist()
        model.requires_grad_(False)
        return sums

    def floor(layers: Sequence[str]) -> None:
        with activations_of(model, layers) as found:
            for part in x.split(given.batch):
                logits = model(part)
                torch.autograd.grad(logits.amax(1).sum(), [found[layer] for layer in layers])

    records = []
    for layers in CASES[:1] + CASES[3:4] if given.quick else CASES:
        functions: dict[str, Callable[[], object]] = {
            "ours": partial(ours, layers),
            "theirs": partial(theirs, layers),
            "floor": partial(floor, layers),
        }
        timings = interleave(functions, given.repeats or 5)
        case = f"{', '.join(layers)}, {count} images, {given.model}"
        records.append(record(case, "pytorch-grad-cam", backend, timings["ours"], timings["theirs"], timings["floor"]))
    show(records)
    for row in records:
        print(f"{row['case']}: ours {count / row['ours']:,.0f}, theirs {count / row['theirs']:,.0f} images/s")
    write(given.json, records)


@contextmanager
def activations_of(model: Classifier, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """The layers' activations in each forward pass; the graph begins at the first."""
    found: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> Tensor:
        found[name] = output if output.requires_grad else output.detach().requires_grad_()
        return found[name]

    handles = [
        model.network.get_submodule(name).register_forward_hook(lambda module, x, y, name=name: keep(name, y))
        for name in layers
    ]
    yield found
    for handle in handles:
        handle.remove()


if __name__ == "__main__":
    main()
