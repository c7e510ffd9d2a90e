"""The cost benchmark measures what it says, compares what is the same, and claims what was measured."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
Module = Callable[[str], ModuleType]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Module:
    """A file of benchmarks/, by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def answers(pcmr: float = 1.0, extra: float = 5e7) -> Callable[..., Any]:
    """Stands for `point`: seconds in proportion to n, PCMC 20 and the full matrix 40 times a PCMR of 1."""
    factor = {"PCMR": pcmr, "PCMC, streamed": 20.0, "full matrix, pair by pair": 40.0}

    def point(measure: str, **a: Any) -> Any:
        if measure == "seconds":
            return {c: [factor.get(c, 1.0) * a["n"] * (1 + k) for k in range(a["rounds"])] for c in a["contenders"]}
        if measure == "cost":
            held = extra * (100 if "full" in a["contender"] else 1)
            return {"extra": held, "peak": 9e9, "seconds": [1e-5 * a["n"] * a["modalities"]] * a["rounds"]}
        if measure == "clustering":
            return [1e-6 * a["n"] ** 1.5] * a["rounds"]
        return {c: {"loss": 1.0, "difference": 1e-6} for c in a["contenders"]}

    return point


def test_every_contender_of_clips_loss_has_one_loss_and_gradient(module: Module) -> None:
    measure, objectives = module("measure"), module("objectives")
    names = [objectives.PCMC, objectives.FULL, objectives.BY_HAND]
    found = measure.agreement(names, n=24, modalities=3)
    assert max(one["difference"] for one in found.values()) < 1e-5
    losses = [one["loss"] for one in found.values()]
    assert max(losses) - min(losses) < 1e-5 < min(losses)
    assert measure.agreement([objectives.PCMC, objectives.PCMR], 24, 3)[objectives.PCMR]["difference"] > 0.1


def test_the_other_libraries_compute_the_same_where_they_should(module: Module) -> None:
    pytest.importorskip("sentence_transformers", reason="benchmarks/requirements.txt")
    pytest.importorskip("pytorch_metric_learning", reason="benchmarks/requirements.txt")
    measure, objectives = module("measure"), module("objectives")
    assert measure.agreement([objectives.PCMC, objectives.SENTENCE], 24, 3)[objectives.SENTENCE]["difference"] < 1e-5
    assert measure.agreement([objectives.SUP_CON, objectives.NT_XENT], 24, 2)[objectives.NT_XENT]["difference"] < 1e-4


def test_vectors_are_unit_alike_where_they_match_and_the_same_each_time(module: Module) -> None:
    vectors = module("contenders").make_vectors(200, 3, 64)
    assert list(vectors) == ["m0", "m1", "m2"]
    for v in vectors.values():
        assert torch.allclose(v.norm(dim=1), torch.ones(200))
        assert v.is_leaf and v.requires_grad
    assert 0.3 < float((vectors["m1"] * vectors["m2"]).sum(1).mean().detach()) < 0.7
    assert torch.equal(vectors["m2"], module("contenders").make_vectors(200, 3, 64)["m2"])


def test_rows_in_any_order_are_other_matches(module: Module) -> None:
    objectives = module("objectives")
    found = module("measure").agreement([objectives.PCMR, objectives.ANY_ORDER], 24, 2)
    assert found[objectives.ANY_ORDER]["loss"] > 1.5 * found[objectives.PCMR]["loss"]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured on Linux only")
def test_extra_memory_leaves_out_vectors_and_gradients(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = module("measure")

    def holds_64_mb(vectors: dict[str, torch.Tensor]) -> Callable[[], float]:
        def step() -> float:
            held = torch.ones(16_000_000)
            for v in vectors.values():
                v.grad = torch.ones_like(v)
            return float(held[0])

        return step

    monkeypatch.setattr(measure, "CONTENDERS", {"holds": holds_64_mb})
    monkeypatch.setattr(measure, "AT_LEAST", 0.0001)
    big = measure.cost("holds", n=40_000, modalities=2, rounds=2)  # vectors and gradients of 82 MB each
    assert 55e6 < big["extra"] < 75e6 and len(big["seconds"]) == 2
    small = measure.cost("holds", n=100, modalities=2, rounds=1)
    assert 55e6 < small["extra"] < 75e6


def test_power_and_times(module: Module) -> None:
    objectives = module("objectives")
    assert objectives.power([100, 200, 400], [3.0, 12.0, 48.0]) == pytest.approx(2)
    assert objectives.times({"a": [2.0, 9.0, 8.0], "b": [1.0, 3.0, 1.0]}, "a", "b") == 3


def test_claims_follow_from_what_was_measured(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    objectives, page = module("objectives"), module("results_page")
    for pcmr, extra, failing in ((1.0, 5e7, 0), (2.0, 2e8, 3)):
        monkeypatch.setattr(objectives, "point", answers(pcmr, extra))
        result = objectives.Result("x", "X", {})
        assert objectives.side(result, objectives.Plan()) == []
        assert [claim["holds"] for claim in result.claims].count(False) == failing
        assert page.table_lines(result.tables[0]).count("\n") == 5
    assert result.claims[0]["value"] == pytest.approx(10) and result.claims[2]["value"] == pytest.approx(200)


@pytest.mark.parametrize("case", ["growth", "streamed", "libraries", "clustered"])
def test_every_case_gives_tables_and_claims(module: Module, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    objectives = module("objectives")
    monkeypatch.setattr(objectives, "point", answers())
    result = objectives.Result("x", "X", {})
    curves = objectives.CASES[case](result, objectives.Plan())
    assert result.tables and result.claims
    for curve in curves:
        assert len(curve.items) == len(curve.seconds) == len(curve.extra)
    by_text = {claim["text"]: claim["value"] for claim in result.claims}
    if case == "growth":
        assert by_text[
            "PCMR's time grows as the number of items to the power of {value}, at most {threshold}"
        ] == pytest.approx(1)
    if case == "streamed":
        assert list(by_text.values()) == pytest.approx([0.5, 0.5, 0.01])


def test_picture_is_drawn_and_shown(module: Module, tmp_path: Path) -> None:
    plot, page = module("cost_plot"), module("results_page")
    plot.draw([plot.Curve("PCMR", [10, 100], [0.1, 1.0], [-5.0, 1e7])], tmp_path / "cost.png")
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")
    result = {"title": "T", "tables": [], "claims": [], "settings": {}, "versions": {}, "hardware": {}}
    assert "![what](cost.png)" in page.section({**result, "pictures": [{"file": "cost.png", "text": "what"}]})
    assert "![" not in page.section(result)
