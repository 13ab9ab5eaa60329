# SPDX-License-Identifier: Apache-2.0
"""A page of attention as an object: in a notebook, a browser, a file, or as a text."""

import contextlib
import functools
import json
import os
import pathlib
import secrets
import tempfile
import webbrowser
from typing import Any, NamedTuple

from ._library import InvalidArgument, InvalidType
from ._options import shown

_START = '<script type="application/json" id="data">'
_HEIGHT = 680  # pixels of a notebook's frame
_MOST_LINES = 40  # of heads in the text
_LONGEST = 24  # characters of a token in it


class Head(NamedTuple):
    """What is known of one head.

    kind            what it attends: "previous", "next", "first", "self", "separator", "duplicate",
                    "induction", "local", "broad" or "mixed"
    entropy         the mean of its rows', in nats
    spread          the mean of the rows' entropies as a share of the most, 0 to 1
    query, key      the tokens with the largest weight between two different ones; None without
    weight          that weight
    """

    layer: int
    head: int
    kind: str
    entropy: float
    spread: float
    query: str | None
    key: str | None
    weight: float


class Page:
    """What rapt.show() makes. A notebook shows it, print() gives a text."""

    def __init__(self, html: str) -> None:
        self.html = html

    @functools.cached_property
    def _data(self) -> dict[str, Any]:
        """What the page describes itself by."""
        start = self.html.rindex(_START) + len(_START)
        data: dict[str, Any] = json.loads(self.html[start : self.html.index("</script>", start)])
        return data

    @functools.cached_property
    def heads(self) -> list[Head]:
        """All heads, layer by layer."""
        (text,) = self._data["sentences"]
        seen = text[self._data["views"][0]]["heads"]
        return [
            Head(layer, head, one["kind"], one["entropy"], one["spread"], *self._strongest(one))
            for (layer, head), one in zip(self._data["heads"], seen)
        ]

    def _strongest(self, head: dict[str, Any]) -> tuple[str | None, str | None, float]:
        if "pair" not in head:
            return None, None, 0.0
        (text,), group = self._data["sentences"], self._data["group"]
        row, key, weight = head["pair"]
        column = key - text["keys"]["first"]
        shown = 0 <= column < text["keys"]["count"]
        return (
            text["queries"]["tokens"][row // group],
            text["keys"]["tokens"][column // group] if shown else f"key {key}",
            weight,
        )

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that several in a notebook don't meet."""
        source = self.html.replace("&", "&amp;").replace('"', "&quot;")
        return (
            f'<iframe title="Attention" sandbox="allow-scripts" srcdoc="{source}" '
            f'style="width: 100%; height: {_HEIGHT}px; border: 0; border-radius: 8px"></iframe>'
        )

    def save(self, path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> None:
        """Writes the page to a file: all of it, or the file stays what it was.

        A symbolic link stays, and leads to the new file. A device or a pipe is written to. Raises
        OSError where the system says no, and rapt.Error for what is no path.
        """
        target = pathlib.Path(os.path.realpath(_path(path)))
        if target.exists() and not target.is_file():
            with open(target, "w", encoding="utf-8") as file:  # or a folder, which says no
                file.write(self.html)
            return
        aside, handle = _new_file(target)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(self.html)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileNotFoundError):
                os.chmod(aside, target.stat().st_mode & 0o777)
            os.replace(aside, target)
        except BaseException:
            os.unlink(aside)
            raise

    def open(self) -> bool:
        """Shows the page in a browser, from a file of the system's temporary folder; False if there
        is no browser."""
        handle, name = tempfile.mkstemp(prefix="attention-", suffix=".html")
        with open(handle, "w", encoding="utf-8") as file:
            file.write(self.html)
        opened = webbrowser.open(pathlib.Path(name).as_uri())
        if not opened:
            os.unlink(name)
        return opened

    def __repr__(self) -> str:
        """The heads as a text: kinds, entropies, the largest weight between two tokens."""
        (text,) = self._data["sentences"]
        queries, keys = text["counts"]
        square = text["own"] and queries == keys
        facts = [
            _counted(self._data["layers"], "layer"),
            _counted(len(self.heads), "head"),
            *([f"{keys} tokens"] if square else [f"{queries} queries", f"{keys} keys"]),
        ]
        lines = [f"{self._data['model'] or 'Attention'}: {', '.join(facts)}"]
        if self._data["group"] > 1:
            lines += [f"{self._data['group']} neighbouring tokens share a cell"]
        lines += ["", "layer head  kind       entropy           largest weight between two"]
        lines += [_line(head) for head in self.heads[:_MOST_LINES]]
        if len(self.heads) > _MOST_LINES:
            lines += [f"... and {len(self.heads) - _MOST_LINES} more, in .heads"]
        return "\n".join(lines)


def _path(path: Any) -> str:
    """A path that a file can have."""
    try:
        found = os.fsdecode(path)
        code = os.fsencode(found)
    except TypeError:
        raise InvalidType(f"path: found {shown(path)}, expected a string or another path") from None
    except UnicodeError as error:
        raise InvalidArgument(f"path: {error}, expected a name that the system can have") from None
    if not code or b"\0" in code:
        raise InvalidArgument(f"path: found {shown(path)}, expected the name of a file")
    return found


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _short(token: str | None) -> str:
    text = token or ""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _line(head: Head) -> str:
    pair = f"{head.weight:.3f} {_short(head.query)} → {_short(head.key)}" if head.query else ""
    return (
        f"{head.layer:5} {head.head:4}  {head.kind:9}  {head.entropy:6.3f} nats "
        f"{head.spread:4.0%}  {pair}"
    ).rstrip()


def _new_file(target: pathlib.Path) -> tuple[pathlib.Path, int]:
    """A file beside another one, with the permissions that new files get, open for writing."""
    while True:
        aside = target.with_name(f".{secrets.token_hex(8)}.part")
        with contextlib.suppress(FileExistsError):
            return aside, os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
