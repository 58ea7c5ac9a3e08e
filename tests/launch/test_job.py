"""Names, labels and places are checked before anything is sent."""

import pytest

from launch.platforms import job as jobs
from launch.platforms.batch import Batch
from launch.platforms.gke import Gke
from launch.platforms.local import Local
from launch.platforms.tpu_vm import TpuVm
from tests.launch.examples import job
from tooldev_jax.errors import UserError


@pytest.mark.parametrize(
  ("changes", "told"),
  [
    ({"name": "Demo"}, "--name: 'Demo'; allowed: 1 to 63 lower-case"),
    ({"name": "demo-"}, "--name: 'demo-'"),
    ({"name": "1demo"}, "--name: '1demo'"),
    ({"name": "d" * 64}, "--name: "),
    ({"name": "demo\n"}, "--name: "),
    ({"workdir": "runs/demo"}, "--workdir: 'runs/demo' is not seen by"),
    ({"workdir": "gs://UPPER/x"}, "--workdir: "),
    ({"slices": 0}, "--slices: 0; allowed: at least 1"),
    ({"restarts": -1}, "--restarts: -1; allowed: at least 0"),
    ({"image": "-it"}, "--image: '-it' is no container image"),
    ({"image": "a b"}, "--image: 'a b'"),
    ({"labels": {"Team": "nlp"}}, "--labels: Team=nlp; allowed in both"),
    ({"labels": {"team": "a.b"}}, "--labels: team=a.b"),
    ({"labels": {"team": "ends-"}}, "--labels: team=ends-"),
    ({"labels": {"run": "x"}}, "--labels: run is taken"),
    ({"labels": {"goog-x": "x"}}, "--labels: goog-x is taken"),
    ({"labels": {f"l{i}": "x" for i in range(63)}}, "--labels: 63; allowed"),
  ],
)
def test_what_a_platform_would_refuse_is_refused_here(changes, told):
  with pytest.raises(UserError) as refused:
    job(**changes)
  assert told in str(refused.value)


@pytest.mark.parametrize(
  ("make", "told"),
  [
    (lambda: TpuVm(zone="us-east5"), "--zone: 'us-east5' is no zone"),
    (lambda: TpuVm(), "--zone: '' is no zone"),
    (lambda: TpuVm(zone="us-east5-a", valid_until="6"), "is no duration"),
    (lambda: Batch(region="us-central1-a"), "is no region; regions are as"),
    (lambda: Batch(region="us-east5", boot_disk_gb=1), "--boot_disk_gb: 1"),
    (lambda: Batch(region="us-east5", max_run_duration=0), "1 to 1209600"),
    (lambda: Batch(region="us-east5", service_account="me"), "is no address"),
    (lambda: Gke(namespace="A_b"), "--namespace: 'A_b' is no namespace"),
    (lambda: Gke(queue="A b"), "--queue: 'A b' is no name"),
    (lambda: Gke(grace_s=30), "--grace_s: 30; allowed: at least 120"),
    (lambda: Local(processes=0), "--processes: 0; allowed: at least 1"),
    (lambda: Local(grace_s=0), "--grace_s: 0; allowed: at least 1"),
  ],
)
def test_wrong_flags_of_a_platform_are_refused(make, told):
  with pytest.raises(UserError) as refused:
    make()
  assert told in str(refused.value)


@pytest.mark.parametrize(
  ("platform", "refused_job", "told"),
  [
    (Batch(region="us-east5"), job(), "v6e-16 is a TPU, and Batch has none"),
    (
      Batch(region="us-east5"),
      job("h100-8", restarts=11),
      "--restarts: 11; Batch allows up to 10",
    ),
    (
      Batch(region="us-east5", max_run_duration=8 * 24 * 3600),
      job("h100-8", provisioning="flex"),
      "with --flex at most 604800",
    ),
    (TpuVm(zone="us-east5-a"), job("h100-8"), "h100-8 is no TPU"),
    (TpuVm(zone="us-east5-a"), job("tpu7x-16"), "is not had as a TPU VM"),
    (
      TpuVm(zone="us-east5-a", reserved=True),
      job(provisioning="spot"),
      "--reserved and --spot exclude each other",
    ),
    (Gke(), job(name="d" * 60), "is 11 characters too long: pods would be"),
  ],
)
def test_what_does_not_go_together_is_refused(platform, refused_job, told):
  with pytest.raises(UserError) as refused:
    platform.submit(refused_job)
  assert told in str(refused.value)


@pytest.mark.parametrize("verb", ["logs", "cancel"])
@pytest.mark.parametrize(
  "platform", [Gke(), Batch(region="us-east5"), TpuVm(zone="us-east5-a")]
)
def test_names_of_what_is_followed_or_cancelled_are_checked(platform, verb):
  with pytest.raises(UserError, match="--name: 'a b'"):
    getattr(platform, verb)("a b")


def test_labels_are_read_from_pairs():
  assert jobs.parse_labels(["team=nlp", "a=b"]) == {"team": "nlp", "a": "b"}
  with pytest.raises(UserError, match="'team' is not of the form key=value"):
    jobs.parse_labels(["team"])
