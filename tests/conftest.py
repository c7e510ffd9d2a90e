"""Set before torch is imported: waiting threads must sleep on shared cores, not spin."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path_factory, monkeypatch):
    """Each test starts from one seed, with a cache folder of its own."""
    torch.manual_seed(0)
    monkeypatch.setenv("MANYMODAL_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A folder for features, so that tests of one space compute them once."""
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="session")
def world(cache):
    """(collection, fitted space) of all kinds; not to be fitted further."""
    from indexes import fitted_space

    return fitted_space(cache)
