# SPDX-License-Identifier: Apache-2.0
"""Calls that may take long, and locks that outlive a fork."""

import _thread
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from ._abi import AttentionArgs

_LONG = 1e10  # floating-point operations: some tenths of a second on one thread
_INTERRUPTED: Any = next(kind for name, kind, *_ in AttentionArgs._fields_ if name == "interrupted")
_LOOK = 0.1  # seconds; a signal that comes just before the main thread waits doesn't wake it


def is_long(flops: float) -> bool:
    """Whether a call may take so long that a signal should be able to end it."""
    return flops > _LONG


class _Run:
    """One call on a thread of its own. Its locks are C's: no signal finds them half taken."""

    def __init__(self, call: "Callable[[_Run], None]") -> None:
        self.call = call  # and with it all that the call needs
        self.turn, self.end = _thread.allocate_lock(), _thread.allocate_lock()
        self.end.acquire()
        self.stop = self.ended = False
        self.error: BaseException | None = None

    def work(self) -> None:
        if not self.turn.acquire(False):
            return  # the main thread gave up before this one began
        try:
            self.call(self)
        except BaseException as error:  # the main thread raises it
            self.error = error
        finally:
            self.ended = True
            self.end.release()

    def wait(self) -> None:
        while not self.ended:
            self.end.acquire(True, _LOOK)

    def leave(self) -> None:
        """The call is about to end; whoever is impatient can't have its memory before that."""
        self.stop = True
        if self.turn.acquire(False):
            return  # it never begins
        while not self.ended:
            try:
                self.end.acquire(True, _LOOK)
            except BaseException:
                pass


class Call:
    """Calls of one problem that the main thread's signals can end.

    Python serves a signal when the main thread is back in Python. So a long call of the main thread
    is made on another one, and the main thread waits in Python. A second signal may let the main
    thread go before the call has ended, where other threads of the host take signals: the call
    keeps what it needs.
    """

    def __init__(self, args: AttentionArgs, flops: float) -> None:
        self._runs: dict[int, _Run] = {}  # by the thread that makes it
        self._is_long = is_long(flops)
        if self._is_long:
            self._asked = _INTERRUPTED(_question(weakref.ref(self)))
            args.interrupted = self._asked

    def make(self, function: Callable[[], None]) -> None:
        """Returns when function() has returned; raises what it raises, or a signal's handler."""

        if not self._is_long or threading.current_thread() is not threading.main_thread():
            function()
            return

        def call(run: _Run) -> None:
            own = _thread.get_ident()
            self._runs[own] = run
            try:
                function()
            finally:
                del self._runs[own]

        run = _Run(call)
        before = _set_mask(signal.SIG_BLOCK, ())
        try:
            # Signals are for the main thread, which has to wake when one comes.
            _set_mask(signal.SIG_BLOCK, _ALL)
            try:
                _thread.start_new_thread(run.work, ())
            except RuntimeError:
                if run.turn.locked():
                    raise  # a signal's handler did
                run.work()  # there is no thread to be had
            _set_mask(signal.SIG_SETMASK, before)
            run.wait()
        except BaseException:
            _hold(run)
            _set_mask(signal.SIG_SETMASK, before)
            raise
        if run.error is not None:
            raise run.error


_ALL: Iterable[int] = signal.valid_signals() if hasattr(signal, "pthread_sigmask") else ()


def _set_mask(how: int, signals: Iterable[int]) -> Iterable[int]:
    return signal.pthread_sigmask(how, signals) if _ALL else ()


def _hold(run: _Run) -> None:
    """Waits for the end of a call that one signal has ended, with others put off."""
    try:
        _set_mask(signal.SIG_BLOCK, _ALL)
    except BaseException:  # the handler of one that had come; they are put off all the same
        pass
    run.leave()


def _question(call: "weakref.ref[Call]") -> Callable[[Any], bool]:
    """What the library asks: whether the run of a call is to end."""

    def is_stopped(context: Any) -> bool:
        made = call()
        run = made._runs.get(_thread.get_ident()) if made is not None else None
        return run is not None and run.stop

    return is_stopped


class Turns:
    """`with turns.lock` has calls take turns. A signal's handler may make one within one of its own
    thread. In a forked child the lock is a free one, whoever had the parent's."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        _turns.add(self)


_turns: "weakref.WeakSet[Turns]" = weakref.WeakSet()


def _free_all() -> None:
    for turns in list(_turns):
        turns.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)
