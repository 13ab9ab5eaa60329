# SPDX-License-Identifier: Apache-2.0
"""Calls that may take long, and locks that outlive a fork."""

import _thread
import os
import signal
import threading
import weakref

from ._abi import AttentionArgs

_LONG = 1e10  # floating-point operations: some tenths of a second on one thread
_INTERRUPTED = dict(AttentionArgs._fields_)["interrupted"]
_LOOK = 0.1  # seconds; a signal that comes just before the main thread waits doesn't wake it


class _Run:
    """One call on a thread of its own. Its locks are C's: no signal finds them half taken."""

    def __init__(self, call):
        self.call = call  # and with it all that the call needs
        self.turn, self.end = _thread.allocate_lock(), _thread.allocate_lock()
        self.end.acquire()
        self.stop = self.ended = False
        self.error = None

    def work(self):
        if not self.turn.acquire(False):
            return  # the main thread gave up before this one began
        try:
            self.call(self)
        except BaseException as error:  # the main thread raises it
            self.error = error
        finally:
            self.ended = True
            self.end.release()

    def wait(self):
        while not self.ended:
            self.end.acquire(True, _LOOK)

    def leave(self):
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
    """Calls of one problem, made one after the other, that the main thread's signals can end.

    Python serves a signal when the main thread is back in Python. So a long call of the main thread
    is made on another one, and the main thread waits in Python. A second signal may let the main
    thread go before the call has ended, where other threads of the host take signals: the call
    keeps what it needs, its lock included.
    """

    def __init__(self, args, flops):
        self._run = None
        _lock(self)
        self._is_long = flops > _LONG
        if self._is_long:
            self._asked = _INTERRUPTED(_question(weakref.ref(self)))
            args.interrupted = self._asked

    def make(self, function):
        """Returns when function() has returned; raises what it raises, or a signal's handler."""

        if not self._is_long or threading.current_thread() is not threading.main_thread():
            with self.lock:
                function()
            return

        def call(run):
            with self.lock:
                self._run = run
                try:
                    function()
                finally:
                    self._run = None

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


_ALL = signal.valid_signals() if hasattr(signal, "pthread_sigmask") else ()


def _set_mask(how, signals):
    return signal.pthread_sigmask(how, signals) if _ALL else ()


def _hold(run):
    """Waits for the end of a call that one signal has ended, with others put off."""
    try:
        _set_mask(signal.SIG_BLOCK, _ALL)
    except BaseException:  # the handler of one that had come; they are put off all the same
        pass
    run.leave()


def _question(call):
    """What the library asks: whether the run of a call is to end."""

    def is_stopped(context):
        made = call()
        run = made and made._run
        return run is not None and run.stop

    return is_stopped


_locked = weakref.WeakSet()


def _lock(call):
    """Has runs take turns. A signal's handler may run within one of its own thread; in a forked
    child the lock is free, whoever had it in the parent."""
    call.lock = threading.RLock()
    _locked.add(call)


def _unlock_all():
    for call in list(_locked):
        call.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_all)
