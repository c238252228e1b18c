"""What the accounts of a release may do whose trainings are Jobs, and who has a token."""

import httpx

from tests.e2e.cluster import PORTS, Cluster
from tests.e2e.jobs import Trainings, network, rights

TOKEN = "ls -d /var/run/secrets/kubernetes.io 2>/dev/null || echo none"


def test_the_account_of_the_api_may_manage_jobs_and_read_why_a_pod_died(
    with_jobs: Cluster,
) -> None:
    """Exactly that, in its own namespace, beside what every account may do."""
    more = rights(with_jobs, with_jobs.name("api")) - rights(with_jobs, "default")

    assert more == {
        "jobs.batch [] [] [create get list watch delete]",
        "pods [] [] [get list]",
        "pods/log [] [] [get]",
        "events [] [] [get list]",
    }


def test_it_may_do_nothing_of_that_in_another_namespace(
    with_jobs: Cluster, outside: Cluster
) -> None:
    account = with_jobs.name("api")

    assert rights(with_jobs, account, outside.namespace) == rights(with_jobs, "default")


def test_the_account_of_trainings_may_do_nothing(with_jobs: Cluster) -> None:
    assert rights(with_jobs, with_jobs.name("training")) == rights(with_jobs, "default")


def test_pods_of_the_api_alone_have_a_token(with_jobs: Cluster, api: httpx.Client) -> None:
    """A pod of a training has none, nor has any other part."""
    trainings = Trainings(with_jobs, api)
    training = trainings.begin(network("token", 10_000))
    pods = {part: with_jobs.ready_pods(part)[0].name for part in PORTS}
    pods["training"] = trainings.running_pod(training)
    found = {part: with_jobs.exec(pod, "sh", "-c", TOKEN) for part, pod in pods.items()}
    trainings.cancel(training)

    assert {part for part, folder in found.items() if folder != "none\n"} == {"api"}
