from mixlens.analysis.information.world import GaussianWorld
from mixlens.analysis.store.results import read_rows
from mixlens.analysis.store.runs import Store
from mixlens.analysis.study.executors.local import execute
from mixlens.analysis.study.worker import Context
from mixlens.analysis.training.backend import make_backend
from mixlens.analysis.training.progress import Reporter
from mixlens.vae import oracle


def test_every_estimator_on_every_world(tmp_path, monkeypatch):
    worlds = ((1, 2), (40, 8))
    monkeypatch.setattr(oracle, "WORLDS", worlds)
    task = oracle.oracle_task(200, 5)
    outcome = execute([task], Store(tmp_path), Context("any", None, make_backend("cpu", "fp32"), Reporter(quiet=True)))
    rows = read_rows(outcome.done[task.name])
    facts = {(row.section, row.dataset, row.split, row.augmentation, row.model, row.seed) for row in rows}
    assert facts == {("vae", "", "", "", "", None)}, "no data and no network have a part in it"
    assert {(row.params["information"], row.params["dimensions"]) for row in rows} == set(worlds)
    for nats, dimensions in worlds:
        world = GaussianWorld.with_information(nats, dimensions, offset=oracle.OFFSET, stretch=oracle.STRETCH)
        here = [row for row in rows if row.params["dimensions"] == dimensions]
        truths = {row.quantity: row.params["truth"] for row in here}
        assert truths["I(Z_A;X)"] == world.information()
        assert truths["I(Z_A;Z_X)"] == world.information_shared()
        assert any(row.saturated for row in here) is (nats == 40)
    assert all((row.ci_low is None) == (row.stderr is None) for row in rows)
