"""Discovery: the one runner that a service is."""

import os
import platform

import grpc
import pytest
from coreweave.sandbox.v1 import discovery_pb2 as pb
from coreweave.sandbox.v1 import discovery_pb2_grpc as rpc
from coreweave.sandbox.v1 import sandbox_pb2

from service import OPTIONS, OTHER_KEY, TIMEOUT, failure


@pytest.fixture
def discovery(service):
    return rpc.DiscoveryServiceStub(service.channel)


def runners(discovery, **fields):
    return list(discovery.ListAvailableRunners(pb.ListAvailableRunnersRequest(**fields), timeout=TIMEOUT).runners)


def test_basic_says_what_the_machine_is_and_omits_what_is_free(discovery):
    (runner,) = runners(discovery, view=pb.RUNNER_VIEW_BASIC)
    assert runner.runner_id and runner.organization_id and runner.runner_group_id == "local"
    assert runner.healthy and not runner.is_shared and runner.connected_at.seconds > 0
    assert not runner.HasField("resources")
    capabilities = runner.capabilities
    assert capabilities.max_cpu_millicores == os.cpu_count() * 1000
    assert capabilities.max_memory_bytes > 256 << 20 and capabilities.max_gpu_count == 0
    assert list(capabilities.supported_architectures) == [platform.machine()]
    assert not capabilities.supports_privileged and not capabilities.supported_service_visibilities
    assert runners(discovery) == [runner]  # BASIC is what nobody asked for


def test_full_says_what_is_free(service, discovery, sandbox):
    (runner,) = runners(discovery, view=pb.RUNNER_VIEW_FULL, page_size=100)
    resources = runner.resources
    assert resources.available_cpu_millicores == runner.capabilities.max_cpu_millicores
    assert 0 < resources.available_memory_bytes <= runner.capabilities.max_memory_bytes
    assert resources.running_sandboxes >= 1 and resources.available_gpu_count == 0


def test_what_is_free_is_what_a_create_may_ask_for(own_service):
    """A limit reserves nothing; only a service that takes no more sandboxes has nothing free."""
    service = own_service(args=["--max-sandboxes", "2", "--accept-unenforced-limits"])
    discovery = rpc.DiscoveryServiceStub(service.channel)
    everything = sandbox_pb2.ResourceRequirements(limits=sandbox_pb2.Resources(cpu=str(os.cpu_count())))

    def free():
        (runner,) = runners(discovery, view=pb.RUNNER_VIEW_FULL)
        return runner.resources.available_cpu_millicores

    first = service.create(resource_requirements=everything)
    assert free() == os.cpu_count() * 1000
    second = service.create(resource_requirements=everything)
    assert free() == 0
    assert failure(service.create).code == grpc.StatusCode.RESOURCE_EXHAUSTED
    for box in (first, second):
        box.delete()


def test_only_ones_own_sandboxes_are_counted(service, sandbox):
    with grpc.insecure_channel(service.tcp, OPTIONS) as channel:
        bob = [("authorization", f"Bearer {OTHER_KEY}")]
        request = pb.ListAvailableRunnersRequest(view=pb.RUNNER_VIEW_FULL)
        (runner,) = rpc.DiscoveryServiceStub(channel).ListAvailableRunners(request, timeout=TIMEOUT, metadata=bob).runners
        assert runner.resources.running_sandboxes == 0


def test_a_sandbox_names_a_runner_of_the_list(discovery, sandbox):
    assert sandbox.get().status.runner_id in [runner.runner_id for runner in runners(discovery)]


def test_filters(discovery):
    for fields, n in (
        ({"healthy_only": True}, 1),
        ({"runner_group_id": "local"}, 1),
        ({"runner_group_id": "elsewhere"}, 0),
        ({"architecture": platform.machine()}, 1),
        ({"architecture": "pdp11"}, 0),
        ({"gpu_type": "H100"}, 0),
        ({"service_visibility": sandbox_pb2.VISIBILITY_PUBLIC}, 0),
    ):
        assert len(runners(discovery, **fields)) == n, fields
    if platform.machine() == "x86_64":
        assert len(runners(discovery, architecture="amd64")) == 1


def test_get_by_id(discovery):
    (runner,) = runners(discovery)
    request = pb.GetAvailableRunnerRequest(runner_id=runner.runner_id, organization_id=runner.organization_id)
    assert discovery.GetAvailableRunner(request, timeout=TIMEOUT).HasField("resources")  # FULL is what nobody asked for
    request.view = pb.RUNNER_VIEW_BASIC
    assert discovery.GetAvailableRunner(request, timeout=TIMEOUT) == runner
    request.view = pb.RUNNER_VIEW_FULL
    assert discovery.GetAvailableRunner(request, timeout=TIMEOUT).HasField("resources")


def test_what_is_not_there_and_what_is_wrong(discovery):
    (runner,) = runners(discovery)
    for runner_id, organization_id in (("nobody", runner.organization_id), (runner.runner_id, "nobody")):
        request = pb.GetAvailableRunnerRequest(runner_id=runner_id, organization_id=organization_id)
        error = failure(discovery.GetAvailableRunner, request, timeout=TIMEOUT)
        assert error.code == grpc.StatusCode.NOT_FOUND and error.reason == "CWSANDBOX_RUNNER_NOT_FOUND"
    for call, request in (
        (discovery.GetAvailableRunner, pb.GetAvailableRunnerRequest(runner_id="r")),
        (discovery.GetAvailableRunner, pb.GetAvailableRunnerRequest(organization_id="o")),
        (discovery.ListAvailableRunners, pb.ListAvailableRunnersRequest(page_size=-1)),
        (discovery.ListAvailableRunners, pb.ListAvailableRunnersRequest(page_token="x")),
        (discovery.ListAvailableRunners, pb.ListAvailableRunnersRequest(view=7)),
    ):
        error = failure(call, request, timeout=TIMEOUT)
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT and error.reason == "CWSANDBOX_INVALID_REQUEST"
