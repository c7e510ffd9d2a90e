"""Training in several processes: the result of one, what is drawn, who writes, and how it ends."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from cases import random_embeddings
from manymodal.embeddings import Embeddings
from manymodal.encoders.base import Packed
from manymodal.errors import ManymodalError
from manymodal.objectives import PCMC, PCMR
from manymodal.processes import ONE
from manymodal.training import ItemSampler, Rows, TrainSettings, train
from manymodal.training.checkpoint import FILE
from several import outcomes

EPOCHS, STEPS = 3, 3  # steps of an epoch
close = partial(torch.testing.assert_close, rtol=0, atol=1e-9)


class Towers(nn.Module):
    """A layer for each modality, in float64; what each process starts with differs, but for the first."""

    def __init__(self, modalities, seed=0, dropout=0.0):
        super().__init__()
        torch.manual_seed(seed)
        self.towers = nn.ModuleDict({m: nn.Linear(8, 6).double() for m in modalities})
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch):
        v = {m: normalize(self.dropout(self.towers[m](rows.values.data)), dim=1) for m, rows in batch.items()}
        return Embeddings(v, {m: r.items for m, r in batch.items()}, {m: r.labels for m, r in batch.items()})


def rows():
    torch.manual_seed(3)
    raw = random_embeddings(items=23, labels=5, label_modality=True)
    return {m: Rows(Packed(v), raw.items[m], raw.labels[m]) for m, v in raw.vectors.items()}


def run(processes, objective=None, settings=(), dropout=0.0, neighbours=None, **options):
    data = rows()
    model = Towers(data, seed=processes.rank, dropout=dropout)
    objective = objective or PCMC(weights="auto").double()
    chosen = TrainSettings(epochs=EPOCHS, batch_size=9, lr=0.01, clip=0.5, checkpoint_seconds=0, **dict(settings))
    sampler = ItemSampler(data, batch_size=9, values_per_item=2, neighbours=neighbours)
    assert len(sampler) == STEPS
    history = train(model, sampler, objective, chosen, processes=processes, **options)
    return model, objective, history


def same_runs(one, other):
    for p, q in zip(
        (*one[0].parameters(), *one[1].parameters()), (*other[0].parameters(), *other[1].parameters()), strict=True
    ):
        close(p, q)
    if one[1].auto is not None:
        assert one[1].auto.learned == pytest.approx(other[1].auto.learned, abs=1e-9)
    for mine, theirs in zip(one[2].epochs, other[2].epochs, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-9)
        assert mine["weights"] == pytest.approx(theirs["weights"], abs=1e-9) and mine["dev"] == theirs["dev"]
    assert (one[2].best_epoch, one[2].stopped) == (other[2].best_epoch, other[2].stopped)


def as_one(objective, settings, processes):
    same_runs(run(processes, objective(), settings), run(ONE, objective(), settings))


def validation_is_the_first_ones(processes):
    def scores(asked):
        values = iter([0.2, 0.7, 0.1])

        def validate():
            assert asked, "another process was asked"
            return next(values)

        return validate

    settings = {"patience": 2}
    mine = run(processes, settings=settings, validate=scores(processes.rank == 0))
    same_runs(mine, run(ONE, settings=settings, validate=scores(True)))
    assert mine[2].best_epoch == 2 and len(mine[2].epochs) == EPOCHS


def stops_early_everywhere(processes):
    values = iter([0.7, 0.1, 0.1])
    _, _, history = run(processes, settings={"patience": 1}, validate=lambda: next(values))
    assert history.stopped == "early" and len(history.epochs) == 2


class Broken(Exception):
    pass


class Breaks(PCMC):
    """On every process alike, at the first step of the third epoch."""

    whole, steps = False, 0

    def forward(self, embeddings):
        self.steps += 1
        if self.steps == 2 * STEPS + 1 and not self.whole:
            raise Broken
        return super().forward(embeddings)


def resumed_is_unbroken(processes):
    """With batches of neighbours, in chunks."""
    how = {"settings": {"chunk_size": 5}, "neighbours": 4}
    with TemporaryDirectory() as folder:
        with pytest.raises(Broken):
            run(processes, Breaks(weights="auto").double(), folder=Path(folder), **how)
        assert (Path(folder) / FILE).exists() == (processes.rank == 0)  # each has a folder of its own here
        objective = Breaks(weights="auto").double()
        objective.whole = True
        resumed = run(processes, objective, folder=Path(folder), resume=True, **how)
        same_runs(resumed, run(ONE, **how))


def a_bad_value_stops_all(processes):
    data = rows()
    if processes.rank == processes.size - 1:
        data["a"].values.data[:] = torch.nan
    with pytest.raises(ManymodalError, match="training diverged: vectors.'a'.*not finite"):
        train(
            Towers(data), ItemSampler(data, batch_size=9), PCMC().double(), TrainSettings(epochs=1), processes=processes
        )


class Draws(PCMC):
    """Notes what it draws."""

    def __init__(self):
        super().__init__()
        self.drawn = []

    def forward(self, embeddings):
        self.drawn.append(torch.rand(1))
        return super().forward(embeddings)


def draws(processes):
    objective = Draws().double()
    run(processes, objective)
    mine = torch.cat(objective.drawn)
    assert torch.equal(processes.gather(mine), mine.repeat(processes.size)) and len(mine.unique()) == len(mine)


def every_row_is_shown_once(processes):
    everything = rows()
    sampler = ItemSampler(everything, batch_size=9, neighbours=4)
    shown = []

    def embed():
        with torch.no_grad():
            shown.append(Towers(everything)(sampler.all_rows(processes)))
        return shown[-1]

    for epoch in range(3):
        sampler.before_epoch(epoch, embed, processes)
    assert len(shown) == 2
    met = processes.gather_embeddings(shown[0])
    for m, values in everything.items():
        for ids, expected in ((met.embeddings.items[m], values.items), (met.embeddings.labels[m], values.labels)):
            assert ids.sort().values.tolist() == expected.sort().values.tolist()
    assert max(met.sizes["a"]) - min(met.sizes["a"]) < 12 / processes.size + 8
    same = sampler.clusters.repeat(processes.size)
    assert torch.equal(processes.gather(sampler.clusters), same) and sampler.clusters.bincount().max() <= 4


class Noise(nn.Module):
    """Draws in the forward pass, and notes it."""

    def __init__(self):
        super().__init__()
        self.layer, self.drawn = nn.Linear(8, 6).double(), []

    def forward(self, batch):
        if self.training:
            self.drawn.append(torch.rand(1))
        v = {m: normalize(self.layer(rows.values.data), dim=1) for m, rows in batch.items()}
        return Embeddings(v, {m: r.items for m, r in batch.items()}, {m: r.labels for m, r in batch.items()})


def dropout_differs(processes):
    data, model = rows(), Noise()
    train(model, ItemSampler(data, batch_size=9), PCMC().double(), TrainSettings(epochs=1), processes=processes)
    everyone = processes.gather(torch.cat(model.drawn))
    assert len(everyone.unique()) == len(everyone)


CASES = {
    "pcmc": partial(as_one, lambda: PCMC(weights="auto").double(), {}),
    "pcmr": partial(as_one, lambda: PCMR(weights="auto").double(), {}),
    "pcmr in chunks": partial(as_one, lambda: PCMR().double(), {"chunk_size": 2}),
    "validation": validation_is_the_first_ones,
    "early stop": stops_early_everywhere,
    "resumed": resumed_is_unbroken,
    "every row": every_row_is_shown_once,
    "bad value": a_bad_value_stops_all,
    "draws": draws,
    "dropout": dropout_differs,
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """In three processes; `manymodal fit` is tried in two, and losses in up to four."""
    return outcomes("test_train_across", 3, tmp_path_factory.mktemp("processes"))


@pytest.mark.parametrize("case", CASES)
def test_training_in_several_processes(told, case):
    assert told[case] == "", told[case]
