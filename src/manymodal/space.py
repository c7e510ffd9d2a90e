"""`Space`: encoders and heads of all modalities; fit, encode, evaluate, search, save and load, in one place."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .collection import Collection, Schema
from .embeddings import Embeddings
from .encoders.base import Encoder
from .encoders.store import FeatureStore
from .errors import ManymodalError
from .evaluation import Report
from .fitting import Reference, dev_rows, fit_space
from .index.exact import Hit
from .measuring import measure_space
from .objectives import make_objective
from .preparing import choose_encoder, embed, prepare, prepare_with_ordinals
from .processes import ONE, Processes
from .querying import Corrections, Gallery, calibrated_parts, query_parts, search_gallery
from .saving import load_space, save_space
from .towers import Tower, Towers
from .training import History, TrainSettings
from .training.sampler import seed_of
from .training.step import divergence_told


class Space:
    """One space in which every modality of a collection can be found with every other.

    Make one with `Space.for_collection(data)` (encoders chosen from the kinds of column) or `manymodal.load(folder)`.
    The schema it was made with binds: a later table is read by it, with `read_collection(source, schema=space.schema)`.
    """

    def __init__(self, schema: Schema, towers: Towers, *, dim: int, seed: int = 0, objective: Any = None) -> None:
        self.schema, self.towers, self.dim, self.seed = schema, towers, dim, seed
        self._take(objective)
        self.settings = TrainSettings(seed=seed)  # of the last fit
        self.history = History()
        self.notes: list[str] = []  # what the last fit noticed, in words
        self.reference = Reference()  # of the last fit: what composes and corrects queries best
        self.fingerprint: str | None = None  # of what is on disk; None while this space differs from it
        self._galleries: weakref.WeakKeyDictionary[Collection, dict[str, Gallery]] = weakref.WeakKeyDictionary()

    @classmethod
    def for_collection(
        cls,
        data: Collection,
        *,
        dim: int = 256,
        seed: int = 0,
        encoders: Mapping[str, Encoder] | None = None,
        objective: Any = None,
        head: Mapping[str, Any] | None = None,
        cache: Path | str | None = None,
    ) -> Space:
        """An untrained space for the modalities of a collection.

        Statistics (means, vocabularies, categories) are taken from train values only.

        Args:
            data: at least two modalities with a value in train.
            dim: d, the dimension of the space.
            seed: of the first weights and, unless `fit` is told otherwise, of training.
            encoders: own encoders by modality; the others are chosen from the schema.
            objective: "pcmc", {"pcmr": {"lam": 5}}, PCMR(lam=5), ...; None: clustered PCMR; see `make_objective`.
            head: arguments of `manymodal.towers.Head`, for all modalities.
            cache: folder of the feature store; None for the user's cache folder.

        Raises:
            ManymodalError: fewer than two modalities, a modality without a value in train, an unknown encoder, encoders
                for a modality that is not there.
        """
        names = list(data.schema.modalities)
        if len(names) < 2:
            has = f"one modality, {names[0]!r}" if names else "no modality"
            raise ManymodalError(
                f"this collection has {has}; a space needs at least two. `manymodal describe` shows what each column "
                "became; a YAML file (--config) can name more"
            )
        if not isinstance(dim, int) or dim < 2:
            raise ManymodalError(f"dim={dim!r}; it must be a whole number of at least 2 (256 is the default)")
        objective = make_objective(objective)  # mistakes are said before any work is done
        for name in encoders or {}:
            data.modality(name)  # refuses a name that is none
        towers, store = {}, FeatureStore(cache)
        for name in names:
            values = data.values(name, "train")
            if not len(values):
                raise ManymodalError(
                    f"modality {name!r} has no value in the train rows, so nothing can be learned of it; "
                    f"`ignore: [{name}]` in the YAML file leaves it out"
                )
            with torch.random.fork_rng():
                torch.manual_seed(seed_of("weights", seed, name))
                encoder = (encoders or {}).get(name) or choose_encoder(data, name, values)
                towers[name] = Tower(encoder, dim, head)
            standardise = towers[name].standardise
            if standardise is not None:
                standardise.fit(prepare(towers[name], data, name, "train", store).values.data)
        return cls(data.schema, Towers(towers), dim=dim, seed=seed, objective=objective)

    def _take(self, objective: Any) -> None:
        """From now on this objective, with the parameters it needs for these modalities."""
        self.objective = make_objective(objective)
        with torch.random.fork_rng():
            torch.manual_seed(seed_of("weights", self.seed, "objective"))
            self.objective.prepare(self.towers.names, self.dim)

    def fit(
        self,
        data: Collection,
        *,
        objective: Any = None,
        folder: Path | str | None = None,
        resume: bool = False,
        device: str | None = None,
        cache: Path | str | None = None,
        processes: Processes = ONE,
        **settings: Any,
    ) -> Space:
        """Train on the train rows, choosing by the mean mrr of the single directions on dev.

        Args:
            data: read with this space's schema.
            objective: another one than the space was made with.
            folder: where checkpoints go while the run lasts; None for none.
            resume: go on from the checkpoint in `folder`.
            device: "cpu", "cuda", ...; None for the fastest there is.
            cache: folder of the feature store; None for the user's cache folder.
            processes: `Distributed()` in a program under torchrun, where each makes the same space and calls this.
            settings: of `manymodal.training.TrainSettings`: epochs, batch_size, lr, values_per_item, seed, ...

        Returns:
            The space itself, with the weights that were best on dev; `history` and `notes` say how it went.

        Raises:
            ManymodalError: no train rows, an unknown setting, a loss that is no longer finite.
        """
        if objective is not None:
            self._take(objective)
        self.settings = TrainSettings.of({"seed": self.seed, **settings})
        self.seed = self.settings.seed
        self._changed()
        self.history, self.notes, self.reference = fit_space(
            self.towers,
            data,
            self.objective,
            self.settings,
            FeatureStore(cache),
            None if folder is None else Path(folder),
            resume,
            device,
            processes,
        )
        return self

    def encode(
        self,
        data: Collection,
        split: str | None = None,
        modalities: list[str] | None = None,
        cache: Path | str | None = None,
    ) -> Embeddings:
        """Embeddings of a collection's values; items are row numbers of the collection, labels its label codes.

        Args:
            data: read with this space's schema.
            split: "train", "dev" or "test"; None for every row.
            modalities: some of them; None for all.
            cache: folder of the feature store; None for the user's cache folder.
        """
        return self.encode_with_ordinals(data, split, modalities, cache)[0]

    def encode_with_ordinals(
        self,
        data: Collection,
        split: str | None = None,
        modalities: list[str] | None = None,
        cache: Path | str | None = None,
    ) -> tuple[Embeddings, dict[str, Tensor]]:
        """As `encode`; and {modality: (n,) int64}, each value's place in its item's list in the table, from 0."""
        store, rows, ordinals = FeatureStore(cache), {}, {}
        for m in modalities or self.towers.names:
            rows[m], ordinals[m] = prepare_with_ordinals(self.towers[m], data, m, split, store)
        return embed(self.towers, rows), ordinals

    def calibrate(self, data: Collection, cache: Path | str | None = None) -> Space:
        """Estimate anew what `fit` leaves behind: calibrated weights from dev, a bank of embeddings from train.

        For a space of an earlier version, or for other data than it was fitted to. Without dev rows that match there
        are no calibrated weights afterwards: parts of a query count alike.

        Args:
            data: read with this space's schema, with train rows.
            cache: folder of the feature store; None for the user's cache folder.
        """
        store = FeatureStore(cache)
        train = {m: prepare(self.towers[m], data, m, "train", store) for m in self.towers.names}
        dev = dev_rows(self.towers, data, store)
        with divergence_told():
            self.reference = Reference.of(self.towers, train, None if dev is None else embed(self.towers, dev))
        self._changed()
        return self

    def evaluate(
        self,
        data: Collection,
        split: str = "test",
        cache: Path | str | None = None,
        *,
        calibrated: bool = True,
        bootstrap: int | None = 1000,
        **options: Any,
    ) -> Report:
        """How well every direction finds its matches among the rows of a split, and what is worth knowing beside that.

        Args:
            data: read with this space's schema.
            split: which rows; "all" for every one.
            cache: folder of the feature store; None for the user's cache folder.
            calibrated: measure combined queries with calibrated weights too, where the space has some.
            bootstrap: draws for intervals; None for none.
            options: of `manymodal.evaluate`: directions, unit, match, parts, k, correct, relevance, seed.
        """
        found = self.encode_with_ordinals(data, split, cache=cache)
        return measure_space(self, data, split, *found, calibrated, bootstrap=bootstrap, **options)

    def search(
        self,
        query: Mapping[str, Any],
        target: str,
        data: Collection,
        k: int = 10,
        *,
        weights: Mapping[str, float] | None = None,
        without: Mapping[str, Any] | None = None,
        split: str | None = None,
        calibrated: bool = True,
        correct: str | None = None,
        cache: Path | str | None = None,
    ) -> list[Hit]:
        """The k items of `data` whose values in the target modality are nearest to the composed query.

        Args:
            query: {modality: value or list of values}; pictures and sounds are `pathlib.Path`, bytes or arrays, and a
                `str` is a text, never opened.
            target: modality to search in.
            data: read with this space's schema.
            k: how many items at most.
            weights: {modality: weight of that part}, 1 unless said; they multiply the calibrated ones.
            without: {modality: value(s)} that hits should not be like; parts of weight -0.5.
            split: search among its rows only; None for every row.
            calibrated: weigh several parts by what each is worth for this target, where the space knows; False for
                equal weights.
            correct: "qb_norm", "nnn" or "csls" against hubs, or "mean_removal" against the gap between modalities; a
                hit's score is then the corrected one.
            cache: folder of the feature store; None for the user's cache folder.

        Raises:
            ManymodalError: an unknown modality, a value that cannot be read, k below 1, parts that cancel out.
        """
        self.towers.eval()
        parts = query_parts(self.towers, self.schema, query, weights or {}, without or {}, FeatureStore(cache))
        if calibrated and self.reference.calibration is not None:
            parts = calibrated_parts(parts, [target], self.reference.calibration)
        galleries = self._galleries.setdefault(data, {})
        key = f"{target}/{split or 'all'}"
        if key not in galleries:
            embeddings, ordinals = self.encode_with_ordinals(data, split, [target], cache)
            galleries[key] = Gallery(embeddings, target, ordinals[target], Corrections())
        return search_gallery(galleries[key], parts, data, k, correct, self.reference.bank)

    def save(self, folder: str | Path, overwrite: bool = True) -> None:
        """Write config.json, weights.safetensors and a card (README.md) to a folder, in place of what is there.

        Raises:
            ManymodalError: the folder cannot be written, or is there and `overwrite` is False; nothing is lost.
        """
        self.fingerprint = save_space(self, Path(folder), overwrite)

    @classmethod
    def load(cls, folder: str | Path) -> Space:
        """The space saved in a folder. Needs neither the training data nor a network (frozen encoders' models apart).

        Raises:
            ManymodalError: the folder is not a space, or is damaged.
        """
        return load_space(cls, Path(folder))

    def _changed(self) -> None:
        self.fingerprint = None
        self._galleries.clear()

    def __repr__(self) -> str:
        kinds = ", ".join(f"{name}: {modality.kind}" for name, modality in self.schema.modalities.items())
        return f"Space(d={self.dim}; {kinds})"


def load(folder: str | Path) -> Space:
    """The space saved in a folder; see `Space.load`."""
    return Space.load(folder)
