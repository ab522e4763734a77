"""The training loop: epochs over batches, a checkpoint after each, a stop when the loss is no longer finite.

Nothing inside an epoch waits for an accelerator: metrics are summed where they are computed and read once per epoch. On
a CPU, where reading costs nothing, the loss is looked at every few dozen steps. A checkpoint is written while the next
epoch runs. After each step another training may take its turn.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from ..data.loader import Batched
from ..interface import Augmentation
from ..masks.policies import OwnAugmentation
from ..store.runs import CHECKPOINT, MODEL, Run
from .backend import Backend
from .checkpoint import Checkpoints, load_checkpoint, save_weights
from .engine import Engine, Epochs, Step, make_engine
from .progress import History, Reporter
from .turns import Turns

CHECK_EVERY = 50


class DivergedError(RuntimeError):
    """The loss became NaN or infinite: this training is over, and its reason is recorded."""


@contextmanager
def blaming(mix: Augmentation | None) -> Iterator[None]:
    """A divergence within it as one of the user's augmentation, where that gave NaN or infinity."""
    try:
        yield
    except DivergedError as error:
        if not isinstance(mix, OwnAugmentation) or not mix.gave_nan:
            raise
        what = str(error).partition(";")[0]
        raise DivergedError(f"augmentation {mix.name!r} gave NaN or infinite images or labels: {what}.") from error


def fit(
    model: nn.Module,
    optimizer: Optimizer,
    step: Step,
    batches: Epochs,
    *,
    backend: Backend,
    epochs: int,
    schedule: Callable[[float], float],
    generators: Mapping[str, Generator],
    evaluate: Callable[[], Mapping[str, float]],
    run: Run,
    reporter: Reporter,
    label: str,
    period: int | None = 1,
) -> Turns[list[dict[str, Any]]]:
    """Train for ``epochs``, going on from the run's checkpoint if it has one; leaves the final weights in the run.

    Args:
        step: ``step(x, y, number) → metrics`` with a scalar ``loss``; it does the forward pass, the loop the rest.
        schedule: epoch → factor on the optimiser's initial learning rate, asked at every step with the fraction done.
        generators: every source of randomness that training advances; they are checkpointed too.
        period: after how many steps the same happens again; None: unknown (`engine.make_engine`).
        evaluate: metrics after an epoch, recorded in the history; called in eval mode, without gradients.

    Returns:
        The history: one record per epoch with the mean training metrics, the evaluation's, the last rate, the seconds.

    Raises:
        DivergedError: the loss is NaN or infinite.
        InputError: the checkpoint is damaged.
        LeaseLostError: another worker has taken the run over.
    """
    initial = [float(group["lr"]) for group in optimizer.param_groups]
    history: list[dict[str, Any]] = []
    if (run / CHECKPOINT).exists():
        history = load_checkpoint(run / CHECKPOINT, model=model, optimizer=optimizer, generators=generators)
    engine = make_engine(
        backend,
        optimizer,
        step,
        batches,
        lambda epoch: [rate * schedule(epoch) for rate in initial],
        period=period,
        generators=generators,
        say=lambda text: reporter.say(f"{label}: {text}"),
    )
    images = len(batches.images) / len(batches) if isinstance(batches, Batched) else 0.0
    reporter.start(label, total=epochs * len(batches), done=len(history) * len(batches), images=images)
    checkpoints = Checkpoints(run / CHECKPOINT, run.check_lease)
    try:
        for epoch in range(len(history), epochs):
            began = time.perf_counter()
            model.train()
            means = yield from _epoch(engine, len(batches), f"epoch {epoch + 1}/{epochs}", history, reporter)
            model.eval()
            with torch.no_grad():
                evaluated = evaluate()
            for name, value in evaluated.items():
                if not math.isfinite(value):
                    raise DivergedError(
                        f"the evaluation's {name} became {value} after epoch {epoch + 1}; try a lower learning rate."
                    )
            record = {"epoch": epoch + 1, "lr": float(optimizer.param_groups[0]["lr"])}
            record |= {f"train_{name}": value for name, value in means.items()}
            record |= {f"test_{name}": value for name, value in evaluated.items()}
            run.check_lease()
            history.append(record | {"seconds": round(time.perf_counter() - began, 3)})
            checkpoints.save(model=model, optimizer=optimizer, generators=generators, history=history)
            run.write_history(history)
            reporter.epoch(f"epoch {epoch + 1}/{epochs}, loss {means['loss']:.4g}{_in_words(history)}", history)
    finally:
        checkpoints.wait()
    reporter.finish()
    run.write_history(history)
    model.eval()
    save_weights(run / MODEL, model)
    return history


def _epoch(engine: Engine, count: int, label: str, history: History, reporter: Reporter) -> Turns[dict[str, float]]:
    totals: Mapping[str, Tensor] = {}
    for number, totals in enumerate(engine.epoch(len(history))):
        detail = ""
        waits = totals["loss"].device.type != "cpu"
        if number == count - 1 or (number % CHECK_EVERY == CHECK_EVERY - 1 and not waits):
            mean = _finite(totals["loss"], number + 1, len(history))
            detail = f"{label}, loss {mean:.4g}{_in_words(history)}"
        reporter.advance(detail)
        yield
    return {name: total.item() / count for name, total in totals.items()}


def _in_words(history: History) -> str:
    """What the last evaluation says of how good the network is."""
    last = history[-1] if history else {}
    if "test_accuracy" in last:
        return f", accuracy {100 * last['test_accuracy']:.1f}%"
    return f", −ELBO {last['test_neg_elbo']:.4g}" if "test_neg_elbo" in last else ""


def _finite(total: Tensor, count: int, epoch: int) -> float:
    mean = total.item() / count
    if not math.isfinite(mean):
        raise DivergedError(f"the training loss became {mean} in epoch {epoch + 1}; try a lower learning rate.")
    return mean
