"""What several processes say to one another, and what they say when it fails.

Real processes are in test_train_processes.py; here a client stands in for the
coordination service, so that nothing has to wait for a limit.
"""

import jax
import pytest

from tooldev_jax.errors import UserError
from tooldev_jax.parallel import processes


class _Service:
  """The coordination service as process 0 of 2 sees it."""

  def __init__(self, other=None):
    self._other, self._values, self.barriers = other, {}, []

  def wait_at_barrier(self, name, timeout_ms):
    self.barriers.append((name, timeout_ms))
    if self._other is None:
      raise RuntimeError("DEADLINE_EXCEEDED")

  def key_value_set(self, key, value):
    self._values[key] = value

  def blocking_key_value_get(self, key, timeout_ms):
    del timeout_ms
    if key.endswith("/1"):
      if self._other is None:
        raise RuntimeError("DEADLINE_EXCEEDED")
      return self._other
    return self._values[key]


@pytest.fixture
def service(monkeypatch):
  def install(other=None):
    client = _Service(other)
    monkeypatch.setattr(processes, "_client", lambda: client)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    return client

  return install


def test_alone_nothing_waits():
  processes.barrier("x")
  processes.agree("x", "value")
  assert processes.share("x", "value") == ["value"]
  assert processes.stop_asked(True) and not processes.stop_asked(False)
  assert processes.is_lead()


def test_a_barrier_that_not_all_reach_is_named(service):
  client = service()
  with pytest.raises(processes.ProcessTimeoutError, match="'saved' and not"):
    processes.barrier("saved", timeout_s=5)
  assert client.barriers[0][1] == 5000


def test_barriers_of_one_name_are_told_apart(service):
  client = service("1")
  processes.barrier("saved")
  processes.barrier("saved")
  first, second = (name for name, _ in client.barriers)
  assert first != second


def test_a_process_that_says_nothing_is_named(service):
  service()
  with pytest.raises(processes.ProcessTimeoutError, match="process 1 gave no"):
    processes.share("restored", "1", timeout_s=5)


def test_processes_that_differ_are_named(service):
  service("0123456789abcdef")
  with pytest.raises(UserError, match="settings: process 1 has another"):
    processes.agree("settings", "mine")


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("host:1", 2, 2), "process_index: 2 is not from 0"),
    (("host:1", 2, -1), "process_index: -1 is not from 0"),
    (("", 2, 0), "mean nothing without a coordinator"),
  ],
)
def test_wrong_arguments_are_refused_before_anything_waits(arguments, message):
  with pytest.raises(UserError, match=message):
    processes.initialize(*arguments)
