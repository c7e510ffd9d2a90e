"""Several processes give the loss and the gradient of one, whatever each of them holds; what does not fit is refused on all."""

import inspect
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize
from torch.nn.parallel import DistributedDataParallel

from cases import random_embeddings, vectors
from manymodal.embeddings import Embeddings
from manymodal.errors import ManymodalError
from manymodal.objectives import PCMR
from manymodal.objectives.accumulate import Accumulated
from manymodal.objectives.registry import OBJECTIVES
from manymodal.processes import ONE, Distributed
from manymodal.training.step import average_gradients
from several import outcomes

DIM = 6
close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)


class Linear(nn.Module):
    """A matrix for each modality; reads "embeddings" of 8 numbers as features."""

    def __init__(self, modalities):
        super().__init__()
        torch.manual_seed(5)
        self.layers = nn.ModuleDict({m: nn.Linear(8, DIM, bias=False, dtype=torch.float64) for m in modalities})

    def forward(self, raw):
        v = {m: normalize(self.layers[m](x), dim=1) for m, x in raw.vectors.items()}
        for one in v.values():
            one.retain_grad()
        return Embeddings(v, raw.items, raw.labels)


# -- who holds what: (items (n,), the rows of how many processes) -> the process of each --------------------------------

LAYOUTS = {
    "even": lambda i, size: i % size,
    "unequal": lambda i, size: torch.where(i % 4 > 0, 0, i // 4 % size),
    "one has nothing": lambda i, size: i % max(1, size - 1),
    "one has it all": lambda i, size: torch.full_like(i, size - 1),
}
TRIED = {1: "even", 2: "one has it all", 3: "one has nothing", 4: "unequal"}


def shards(raw, layout, size):
    """The rows of each process. A process that has none of a modality lacks the name too, but for one modality."""
    found = []
    for rank in range(size):
        rows = {}
        for m in raw.modalities:
            by_label = raw.per_label(m)
            owner = LAYOUTS[layout](raw.labels[m] + 1 if by_label else raw.items[m], size)
            rows[m] = (owner == rank).nonzero()[:, 0]
        there = [m for m in rows if len(rows[m])] or ["a"]
        found.append(raw.pick({m: rows[m] for m in there}))
    return found


# -- the objectives ------------------------------------------------------------------------------------------------------

VARIANTS = {
    "plain": {},
    "label": {"match": "label"},
    "auto": {"weights": "auto"},
    "given": {"weights": {"a/b": 2.0, "b/c": 0.5, "b/kind": 0.0}},
    "focused": {"focus": 0.2},
    "scales": {"scales": "per pair"},
    "combined": {"combinations": 0.5},
    "clustered": {"clusters": 5},
}


NEEDED = {"anchor": {"anchor": "b"}}


def with_settings():
    """{name: a function that makes the objective}, every objective in every variant that it has."""
    for name, cls in OBJECTIVES.items():
        for variant, settings in VARIANTS.items():
            if set(settings) <= set(inspect.signature(cls).parameters):
                yield f"{name}, {variant}", partial(made, cls, settings | NEEDED.get(name, {}))


def made(cls, settings, modalities):
    torch.manual_seed(9)
    objective = cls(**settings)
    objective.prepare(modalities, DIM)
    return objective.double()


def data(variant):
    torch.manual_seed(3)
    return random_embeddings(items=14, labels=4, label_modality=variant != "plain", absent=True)


def loss_and_gradient(model, objective, raw, processes):
    """Vectors keep their gradients."""
    torch.manual_seed(1)
    embeddings = model(raw)
    loss = objective.across(processes)(embeddings)
    if loss.total.requires_grad:
        loss.total.backward()
    return loss, embeddings


def as_in_one_process(make, variant, processes):
    raw = data(variant)
    parts = shards(raw, TRIED[processes.size], processes.size)
    whole = Embeddings.concatenate(parts)  # the order of rows may matter to what an objective draws
    models, objectives = [Linear(raw.modalities) for _ in range(2)], [make(raw.modalities) for _ in range(2)]
    if variant == "auto":  # a first step, so that the weights have moved
        objectives[0](models[0](whole)), objectives[1].across(processes)(models[1](parts[processes.rank]))
    expected, all_vectors = loss_and_gradient(models[0], objectives[0], whole, ONE)
    loss, own = loss_and_gradient(models[1], objectives[1], parts[processes.rank], processes)

    close(loss.total, expected.total)
    assert loss.pairs.keys() == expected.pairs.keys() and loss.terms.keys() == expected.terms.keys()
    assert loss.pairs or loss.terms
    for mine, theirs in ((loss.pairs, expected.pairs), (loss.terms, expected.terms)):
        for key in theirs:
            close(mine[key], theirs[key])
    assert loss.chance == pytest.approx(expected.chance, abs=1e-9)
    assert loss.weights == pytest.approx(expected.weights, abs=1e-9)
    for m, v in own.vectors.items():
        if v.grad is not None and all_vectors.vectors[m].grad is not None:
            start = sum(len(part.items.get(m, ())) for part in parts[: processes.rank])
            close(v.grad / processes.size, all_vectors.vectors[m].grad[start : start + len(v)])
    theirs, mine = ([*model.parameters(), *o.parameters()] for model, o in zip(models, objectives, strict=True))
    average_gradients(mine, processes)
    for p, q in zip(mine, theirs, strict=True):
        close(torch.zeros_like(p) if p.grad is None else p.grad, torch.zeros_like(q) if q.grad is None else q.grad)
    if variant == "auto":
        assert objectives[1].auto.learned == pytest.approx(objectives[0].auto.learned, abs=1e-9)


def accumulated(processes):
    """Over two batches, of which one has rows on the last process alone."""
    raw = data("plain").only("a", "b", "c")
    batches = [
        raw.pick({m: (i % 3 == 0).eq(odd).nonzero()[:, 0] for m, i in raw.items.items()}) for odd in (False, True)
    ]
    whole, model = (Linear(raw.modalities) for _ in range(2))
    expected, _ = loss_and_gradient(whole, PCMR(), raw, ONE)
    layouts = zip(batches, (TRIED[processes.size], "one has it all"), strict=True)
    own = [shards(batch, layout, processes.size)[processes.rank] for batch, layout in layouts]
    total = Accumulated(PCMR().across(processes))
    for batch in own:
        total.add(model(batch))
    close(total.loss().total, expected.total)
    for batch in own:
        total.batch_loss(model(batch)).backward()
    average_gradients(list(model.parameters()), processes)
    for p, q in zip(model.parameters(), whole.parameters(), strict=True):
        close(p.grad, q.grad)


def under_ddp(make, processes):
    raw = data("label")
    raw = raw.only("a", "b", "c", "kind")
    parts = shards(raw, "unequal", processes.size)
    model, objective = Linear(raw.modalities), make(raw.modalities)
    loss_and_gradient(model, objective, raw, ONE)
    empty = Embeddings({m: v[:0] for m, v in raw.vectors.items()}, *({m: i[:0] for m, i in raw.items.items()},) * 2)
    wrapped = DistributedDataParallel(Linear(raw.modalities))  # wants every parameter used on every process
    loss_and_gradient(wrapped, make(raw.modalities), Embeddings.concatenate([parts[processes.rank], empty]), processes)
    for p, q in zip(wrapped.parameters(), model.parameters(), strict=True):
        close(p.grad, q.grad)


# -- what processes tell each other ---------------------------------------------------------------------------------------


def sums_and_gathers(processes):
    rank, size = processes.rank, processes.size
    torch.manual_seed(0)
    rows = [vectors(n, 3) for n in range(size)]  # process 0 has none
    weight = torch.randn(sum(range(size)), 3, dtype=torch.float64)
    own = rows[rank].clone().requires_grad_()
    everyone = processes.gather(own)
    close(everyone, torch.cat(rows))
    start = sum(range(rank))
    (everyone * weight).sum().backward()
    close(own.grad / size, weight[start : start + rank])
    own.grad = None
    total = processes.sum((own.square() * 3).sum())
    close(total, torch.cat(rows).square().sum() * 3)
    (2 * total).backward()
    close(own.grad / size, 12 * own.detach())
    for dtype in (torch.bfloat16, torch.int64, torch.bool):
        got = processes.gather(torch.full((2, rank), rank).T.to(dtype))
        assert got.dtype == dtype and torch.equal(
            got, torch.arange(size).repeat_interleave(torch.arange(size))[:, None].expand(-1, 2).to(dtype)
        )


def shares(processes):
    for count in (0, 1, 7, 64):
        mine = processes.gather(torch.tensor(list(processes.share(count)), dtype=torch.int64))
        assert mine.tolist() == list(range(count))


def words_of_the_first(processes):
    content = bytes(range(1, 9)) * (processes.rank + 1)
    assert processes.first(content) == bytes(range(1, 9))


def errors_are_shared(processes):
    last = processes.size - 1
    with processes.together():
        pass
    with pytest.raises(ManymodalError, match="broken picture"), processes.together():
        if processes.rank == last:
            raise ManymodalError("broken picture")
    for failing in (0, last):
        with pytest.raises(ManymodalError, match=f"it was {failing}"), processes.first_alone():
            if processes.rank == failing:
                raise ManymodalError(f"it was {failing}")


def gradients_are_averaged(processes):
    p, nobody, last = (nn.Parameter(torch.zeros(2, dtype=torch.float64)) for _ in range(3))
    p.grad = torch.full_like(p, float(processes.rank))
    if processes.rank == processes.size - 1:
        last.grad = torch.ones_like(last)
    average_gradients([p, nobody, last], processes)
    close(p.grad, torch.full_like(p, (processes.size - 1) / 2))
    close(last.grad, torch.full_like(p, 1 / processes.size))
    assert nobody.grad is None


# -- what is refused -------------------------------------------------------------------------------------------------------


def shard(rank, *, dim=4, dtype=torch.float64, item=0, label=0, labels=True, per_label=True):
    """Three items, their labels and a value for each of these; `item` and `label` shift the numbers."""
    items, tags = torch.arange(3) + 3 * rank + item, torch.arange(3) + 3 * rank + label
    ids = {"a": items, "kind": torch.full((3,), -1) if per_label else items}
    return Embeddings({m: vectors(3, dim, dtype) for m in ids}, ids, dict.fromkeys(ids, tags) if labels else None)


REFUSED = {  # what is said, where the last process's shard is like this
    r"^item \d+ is on more than one process": {"item": -1},
    r"'kind': label \d+ is on more than one process": {"label": -1},
    r"\[5, 'torch.float64', True\].*all need the same": {"dim": 5},
    r"\[4, 'torch.float32', True\].*all need the same": {"dtype": torch.float32},
    r"\[4, 'torch.float64', False\].*all need the same": {"labels": False},
    r"'kind' has one value per label .* on one process": {"per_label": False},
}


def refused(what, processes):
    rank, last = processes.rank, processes.size - 1
    processes.meet(shard(rank))  # this one is well
    if last == 0:
        return
    for ask in (processes.meet, processes.gather_embeddings):
        with pytest.raises(ManymodalError, match=what):
            ask(shard(rank, **REFUSED[what] if rank == last else {}))


OBJECTIVES_MADE = dict(with_settings())
CASES = {
    "sums and gathers": sums_and_gathers,
    "shares": shares,
    "first": words_of_the_first,
    "errors": errors_are_shared,
    "average": gradients_are_averaged,
    "accumulated": accumulated,
    **{f"refused: {what}": partial(refused, what) for what in REFUSED},
    **{name: partial(as_in_one_process, make, name.split(", ")[1]) for name, make in OBJECTIVES_MADE.items()},
    **{f"{name}, ddp": partial(under_ddp, OBJECTIVES_MADE[name]) for name in ("pcmc, plain", "pcmr, plain")},
}


@pytest.fixture(scope="module", params=(1, 2, 3, 4), ids="{}-processes".format)
def told(request, tmp_path_factory):
    return outcomes("test_processes", request.param, tmp_path_factory.mktemp("processes"))


@pytest.mark.parametrize("case", CASES)
def test_several_processes(told, case):
    assert told[case] == "", told[case]


def test_without_torchrun_it_is_told_what_to_do():
    with pytest.raises(ManymodalError, match="torchrun"):
        Distributed()


def test_one_process_has_everything():
    e = random_embeddings(labels=3, label_modality=True)
    met = ONE.gather_embeddings(e)
    assert met.embeddings is e and met.per_label == {"kind"} and met.own("b") == slice(0, len(e.vectors["b"]))
    assert ONE.first(b"x") == b"x" and list(ONE.share(3)) == [0, 1, 2]
