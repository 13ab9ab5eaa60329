# SPDX-License-Identifier: Apache-2.0
"""Memory of torch's tensors that objects go on using: torch lets anyone take it away in between."""

from typing import Any

from . import _views
from ._library import InvalidArgument


class Storages:
    """Where tensors lay when an object was made. Their storage lives as long as this does."""

    def __init__(self, views: dict[str, _views.View]) -> None:
        self._kept: list[tuple[str, Any, int, Any]] = []
        for name, view in views.items():
            tensor = view.owner
            if _views.is_torch(tensor) and view.address:
                # With its storage kept, no other memory can come to lie there.
                storage = tensor.untyped_storage()
                self._kept.append((name, tensor, tensor.data_ptr(), storage))

    def check(self, replaced: tuple[str, ...] = ()) -> None:
        """Raises where a tensor has other memory by now, but for those replaced."""
        for name, tensor, place, _ in self._kept:
            if name not in replaced and tensor.data_ptr() != place:
                raise InvalidArgument(
                    f"{name}: found a tensor whose memory was moved or freed, expected it where it "
                    "was when this was made"
                )
