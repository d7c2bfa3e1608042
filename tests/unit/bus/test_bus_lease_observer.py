"""When a candidate may take a lease, by its own clock alone."""

from __future__ import annotations

from services.common.bus.lease import Observer, Timing, Verdict

TIMING = Timing(lease_s=3.0, poll_s=0.2)


def test_lease_that_nobody_holds_is_free() -> None:
    assert Observer("me", TIMING).read(0, "", 0.0, 100.0) is Verdict.FREE


def test_lease_expires_by_the_observers_own_clock() -> None:
    observer = Observer("me", TIMING)
    assert observer.read(7, "other", 3.0, 100.0) is Verdict.HELD
    assert observer.read(7, "other", 3.0, 103.0) is Verdict.HELD  # clocks may run differently
    assert observer.read(7, "other", 3.0, 103.4) is Verdict.EXPIRED


def test_lease_renewal_starts_the_watch_anew() -> None:
    observer = Observer("me", TIMING)
    observer.read(7, "other", 3.0, 100.0)
    assert observer.read(8, "other", 3.0, 103.4) is Verdict.HELD
    assert observer.read(8, "other", 3.0, 106.0) is Verdict.HELD
    assert observer.read(8, "other", 3.0, 106.8) is Verdict.EXPIRED


def test_lease_outage_does_not_count_against_the_owner() -> None:
    observer = Observer("me", TIMING)
    observer.read(7, "other", 3.0, 100.0)
    observer.unread()
    assert observer.read(7, "other", 3.0, 110.0) is Verdict.HELD
    assert observer.read(7, "other", 3.0, 113.4) is Verdict.EXPIRED


def test_lease_of_an_owner_with_a_longer_promise_is_respected() -> None:
    observer = Observer("me", TIMING)
    observer.read(7, "other", 10.0, 100.0)
    assert observer.read(7, "other", 10.0, 110.9) is Verdict.HELD
    assert observer.read(7, "other", 10.0, 111.1) is Verdict.EXPIRED


def test_lease_of_an_absent_owner_is_taken_after_two_probes() -> None:
    observer = Observer("me", TIMING)
    observer.read(7, "other", 3.0, 100.0)
    assert not observer.probed(False)
    assert observer.read(7, "other", 3.0, 100.2) is Verdict.HELD
    assert not observer.probed(None)  # not known: the count begins again
    assert not observer.probed(False)
    assert observer.read(7, "other", 3.0, 100.6) is Verdict.HELD
    assert observer.probed(False)
    assert observer.read(7, "other", 3.0, 100.8) is Verdict.ABSENT


def test_lease_attempt_of_mine_that_nobody_confirmed_is_taken_again() -> None:
    assert Observer("me", TIMING).read(7, "me", 3.0, 100.0) is Verdict.FREE
