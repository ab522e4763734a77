import pytest
import torch

from mixlens.analysis.training.schedules import OneCycle, StepDecay


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
