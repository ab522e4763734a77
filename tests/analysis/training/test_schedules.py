import pytest
import torch

from mixlens.analysis.training.schedules import Cosine, OneCycle, StepDecay, WarmUp


def torchs_curve(steps, **options):
    """Factors on the highest rate at every step of PyTorch's own one-cycle schedule."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=steps, pct_start=0.3, div_factor=25, cycle_momentum=False, **options
    )
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_one_cycle_is_pytorchs_curve():
    """Exactly, but for the clock: PyTorch's step i of T is at i / (0.3 T − 1) of the rise, ours at i / 0.3 T."""
    steps, epochs = 1000, 10
    last_up, last = 0.3 * steps - 1, steps - 1
    ours = OneCycle(epochs)
    for i, rate in enumerate(torchs_curve(steps, final_div_factor=1e9)):
        done = 0.3 * i / last_up if i <= last_up else 0.3 + 0.7 * (i - last_up) / (last - last_up)
        assert ours(done * epochs) == pytest.approx(rate, abs=1e-9), i


def test_one_cycle_differs_from_pytorchs_by_less_than_a_step():
    """With PyTorch's own end, 1 / 10⁴ of the start. A cosine over 0.3 T steps moves by at most π / 2 / 0.3 T a step."""
    steps, ours = 1000, OneCycle(7)
    off = [abs(ours(7 * i / steps) - rate) for i, rate in enumerate(torchs_curve(steps))]
    assert max(off) < torch.pi / 2 / (0.3 * steps)


@pytest.mark.parametrize("epochs", [1, 10, 200])
def test_one_cycle_starts_at_a_25th_peaks_at_1_and_ends_at_0(epochs):
    ours = OneCycle(epochs)
    assert ours(0) == pytest.approx(1 / 25)
    assert ours(0.15 * epochs) == pytest.approx((1 + 1 / 25) / 2)
    assert ours(0.3 * epochs) == pytest.approx(1)
    assert ours(0.65 * epochs) == pytest.approx(0.5)
    assert ours(epochs) == pytest.approx(0, abs=1e-12)


def test_one_cycle_rises_and_then_falls_without_a_jump():
    curve = torch.tensor([OneCycle(4)(4 * i / 1000) for i in range(1001)], dtype=torch.float64)
    change = curve.diff()
    assert (change[:299] > 0).all()
    assert (change[300:] < 0).all()
    assert change.abs().max() < 0.0051  # π / 2 · 0.96 / 300: the steepest step of the rise
    assert ((curve >= 0) & (curve <= 1)).all()


def test_one_cycle_with_a_rise_and_a_start_of_ones_own():
    ours = OneCycle(10, warm_up=0.5, start=4.0)
    assert [ours(epoch) for epoch in (0, 5, 7.5, 10)] == pytest.approx([0.25, 1, 0.5, 0], abs=1e-12)


@pytest.mark.parametrize(
    ("epoch", "factor"), [(0.0, 1), (3.999, 1), (4.0, 0.1), (4.5, 0.1), (7.99, 0.1), (8.0, 0.01), (100.5, 0.01)]
)
def test_step_decay_drops_at_the_milestone_and_not_within_an_epoch(epoch, factor):
    assert StepDecay((4, 8))(epoch) == pytest.approx(factor)


def rates_of(make, steps, first=0.4):
    """The rates of one of PyTorch's own schedules, moved on after every step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=first)
    schedule, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_cosine_is_pytorchs():
    steps, epochs = 200, 10
    theirs = rates_of(lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps), steps)
    ours = Cosine(epochs)
    assert [0.4 * ours(epochs * i / steps) for i in range(steps)] == pytest.approx(theirs, abs=1e-12)
    assert [ours(epoch) for epoch in (0, 5, 10)] == pytest.approx([1, 0.5, 0], abs=1e-12)


def test_warm_up_and_steps_are_pytorchs_on_imagenet():
    """Table 8: 0.1 → 0.4 in 5 epochs, and a tenth from 30, 60 and 80 of 90."""
    each = 20  # steps an epoch

    def make(optimizer):
        schedulers = torch.optim.lr_scheduler
        rise = schedulers.LinearLR(optimizer, start_factor=0.25, total_iters=5 * each)
        return schedulers.ChainedScheduler(
            [rise, schedulers.MultiStepLR(optimizer, [30 * each, 60 * each, 80 * each], gamma=0.1)]
        )

    theirs = rates_of(make, 90 * each)
    ours = WarmUp(StepDecay((30, 60, 80)), 5, 0.25)
    assert [0.4 * ours(i / each) for i in range(90 * each)] == pytest.approx(theirs, rel=1e-9)
    assert [0.4 * ours(epoch) for epoch in (0, 2.5, 5, 29.9, 30, 85)] == pytest.approx(
        [0.1, 0.25, 0.4, 0.4, 0.04, 4e-4]
    )


def test_warm_up_may_fall_and_rises_times_what_the_schedule_says():
    assert [WarmUp(Cosine(10), 2, 3.0)(epoch) for epoch in (0, 1, 2)] == pytest.approx(
        [3, 2 * Cosine(10)(1), Cosine(10)(2)]
    )
