"""The models that are served, by name and version; a new bundle in a model's directory takes its place."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recurra import store
from recurra.errors import BundleError, ConfigError, RecurraError
from recurra.store import AnyBundle
from recurra.tasks.use import load

__all__ = ["Model", "Models"]

_FIRST = "1"  # the version of a model that is in no directory of versions
_GONE = 2  # looks after which a directory that is not there is no longer served


@dataclass(frozen=True, eq=False)
class Model:
    """One version of a model.

    Attributes:
        name: the name in addresses.
        version: the version in addresses.
        bundle: the loaded model.
        stamp: tells its directory from the one that replaces it.
        card: the model card, Markdown; empty without one.
    """

    name: str
    version: str
    bundle: AnyBundle
    stamp: tuple[int, int] | None
    card: str = ""


@dataclass
class _Place:
    """A directory that holds a version, and what is known of it."""

    folder: Path
    model: Model | None = None
    refused: tuple[int, int] | None = None  # the stamp of a bundle that can't be loaded
    missed: int = 0


@dataclass
class Models:
    """The models of directories, looked up by name and version.

    Args:
        sources: directories by name. A directory is a model, or has a model in each subdirectory (the
            versions of one model).
        warm: called with a loaded model before it is served.
        warn: called with a sentence on a directory that can't be served.
        changed: called with a model that is served from now on.
    """

    sources: Mapping[str, Path]
    warm: Callable[[Model], object] = lambda model: None
    warn: Callable[[str], object] = lambda line: None
    changed: Callable[[Model], object] = lambda model: None
    _places: dict[str, dict[str, _Place]] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @classmethod
    def named(cls, models: Sequence[str | Path], **more: Callable[..., object]) -> Models:
        """Returns the models of arguments such as ``my-model``, ``models/`` and ``reviews=path/to/model``.

        A directory whose subdirectories are models, or have models, gives a model for each of them. A
        directory of numbered models gives one model with these versions.

        Raises:
            ConfigError: two models have the same name.
            BundleError: there is no model in a directory.
        """
        sources: dict[str, Path] = {}
        for argument in models:
            for name, folder in _named(argument):
                if name in sources:
                    raise ConfigError(
                        f"two models are called {name!r}", hint="give one another name: NAME=DIRECTORY"
                    )
                sources[name] = folder
        if not sources:
            raise ConfigError("there is no model to serve", hint="give the --out of a recurra fit")
        return cls(sources, **more)

    def load(self) -> None:
        """Loads all models, before the first request.

        Raises:
            BundleError: a model is damaged, or a directory has none.
        """
        for name, source in self.sources.items():
            found = _versions(source)
            if not found:
                raise BundleError("no model is in this directory", where=source)
            self._places[name] = {}
            for version, folder in found.items():
                self._places[name][version] = _Place(folder, self._read(name, version, folder))

    def names(self) -> list[str]:
        """Returns the names of the models, in the order in which they were given."""
        return list(self.sources)

    def versions(self, name: str) -> list[str]:
        """Returns the versions of a model, the newest last; empty if there is no such model."""
        return sorted((v for v, place in self._of(name).items() if place.model is not None), key=_order)

    def get(self, name: str | None = None, version: str | None = None) -> Model | None:
        """Returns a model: by default the first one, and its newest version; None if there is none."""
        name = self.names()[0] if name is None else name
        places = self._of(name)
        if version is None:
            versions = self.versions(name)
            version = versions[-1] if versions else None
        place = places.get(version) if version is not None else None
        return None if place is None else place.model

    def _of(self, name: str) -> dict[str, _Place]:
        return self._places.get(name, {})

    def refresh(self) -> None:
        """Looks at the directories, and loads what is new there; former models answer meanwhile.

        A bundle that can't be loaded is reported once, and the former one stays. A version whose directory is
        gone is no longer served if the model has another one.
        """
        with self._lock:
            for name, source in self.sources.items():
                self._refresh(name, source)

    def _refresh(self, name: str, source: Path) -> None:
        found, places = _versions(source), dict(self._places[name])
        for version, folder in found.items():
            place = places.setdefault(version, _Place(folder))
            place.folder, place.missed = folder, 0
            stamp = store.stamp(folder)
            known = place.model is not None and place.model.stamp == stamp
            if stamp is None or known or stamp == place.refused:
                continue
            try:
                place.model = self._read(name, version, folder)
            except (RecurraError, OSError) as error:
                place.refused = stamp
                kept = " is not served" if place.model is None else " is not served; the former one answers"
                self.warn(f"the new model {name} version {version}{kept}: {error}")
            else:
                self.changed(place.model)
        for version in places.keys() - found.keys():
            places[version].missed += 1
            others = any(place.model is not None for other, place in places.items() if other != version)
            if places[version].missed >= _GONE and others:
                del places[version]
        self._places[name] = places  # replaced, not changed: requests read it meanwhile

    def _read(self, name: str, version: str, folder: Path) -> Model:
        stamp = store.stamp(folder)
        bundle = load(folder)
        card = folder / "README.md"
        text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
        model = Model(name, version, bundle, stamp, text)
        self.warm(model)
        return model


def _named(argument: str | Path) -> list[tuple[str, Path]]:
    """Returns the names and directories of one argument."""
    text = str(argument)
    name, equals, path = text.partition("=")
    if equals and not Path(text).exists():
        return [(_checked(name), Path(path))]
    folder = Path(argument)
    if not folder.is_dir():
        raise BundleError("there is no such model directory", where=folder)
    if _versions(folder):
        return [(_checked(folder.resolve().name), folder)]
    inside = [(_checked(child.name), child) for child in sorted(folder.iterdir()) if _versions(child)]
    if not inside:
        load(folder)  # raises the error that says what is missing
    return inside


def _checked(name: str) -> str:
    if not re.fullmatch(r"[\w.+ -]{1,200}", name) or name in (".", ".."):
        raise ConfigError(f"{name!r} is no name for a model", hint="use letters, digits, '-', '_' and '.'")
    return name


def _versions(folder: Path) -> dict[str, Path]:
    """Returns the directories of the versions in a directory; empty if it holds no model."""
    if not folder.is_dir() or folder.name.startswith("."):
        return {}
    if store.is_bundle(folder):
        return {_FIRST: folder}
    children = [child for child in folder.iterdir() if re.fullmatch(r"v?[0-9][0-9.]{0,30}", child.name)]
    return {child.name: child for child in sorted(children) if child.is_dir() and store.is_bundle(child)}


def _order(version: str) -> tuple[list[int], str]:
    """The order of versions: 2 before 10."""
    return [int(part) for part in re.findall(r"\d+", version)], version
