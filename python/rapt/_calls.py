# SPDX-License-Identifier: Apache-2.0
"""Calls that may take long, and locks that outlive a fork."""

import os
import threading
import weakref

from ._library import INTERRUPTED

_LONG = 1e10  # floating-point operations: some tenths of a second on one thread
_LOOK = 0.1  # seconds; a signal that comes just before the main thread waits doesn't wake it


class Call:
    """Calls of one problem, made one after the other, that the main thread's signals can end.

    Python serves a signal when the main thread is back in Python. So a long call of the main thread
    is made on another one, and the main thread waits in Python.
    """

    def __init__(self, args, flops):
        self._is_long = flops > _LONG
        if self._is_long:
            self._stop = threading.Event()
            self._asked = INTERRUPTED(_stop_of(self._stop))
            args.interrupted = self._asked

    def make(self, call):
        """Returns when call() has returned; raises what it raises, or what a signal's handler does."""
        if not self._is_long or threading.current_thread() is not threading.main_thread():
            call()
            return
        turn, ended, raised = threading.Lock(), threading.Event(), []

        def work():
            if not turn.acquire(blocking=False):
                return  # the main thread gave up before this one began
            try:
                call()
            except BaseException as error:  # the main thread raises it
                raised.append(error)
            finally:
                ended.set()

        try:
            try:
                threading.Thread(target=work, name="rapt").start()
            except RuntimeError:
                if turn.locked():
                    raise  # a signal's handler did
                work()  # there is no thread to be had
            while not ended.wait(_LOOK):
                pass
        except BaseException:
            self._stop.set()
            if not turn.acquire(blocking=False):
                _wait(ended)
            raise
        finally:
            self._stop.clear()
        if raised:
            raise raised[0]


def _stop_of(event):
    return lambda context: event.is_set()


def _wait(ended):
    """The call is about to end; whoever is impatient can't have its memory before that."""
    while not ended.is_set():
        try:
            ended.wait()
        except BaseException:
            pass


_locked = weakref.WeakSet()


def lock(owner):
    """Gives an object a _lock that is free in a forked child, whoever had it in the parent."""
    owner._lock = threading.Lock()
    _locked.add(owner)


def _unlock_all():
    for owner in list(_locked):
        owner._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_all)
