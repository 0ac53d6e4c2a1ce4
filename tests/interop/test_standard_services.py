"""grpc.health.v1 and gRPC reflection, asked by grpcio's own clients."""

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from service import TIMEOUT, failure

SERVING = health_pb2.HealthCheckResponse.SERVING


def test_health_is_told_without_a_key(service):
    with grpc.insecure_channel(service.tcp) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "coreweave.sandbox.v1.SandboxService", "coreweave.sandbox.v1.DiscoveryService"):
            assert stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=TIMEOUT).status == SERVING
        error = failure(stub.Check, health_pb2.HealthCheckRequest(service="nobody"), timeout=TIMEOUT)
        assert error.code == grpc.StatusCode.NOT_FOUND


def test_health_lists_its_services(service):
    stub = health_pb2_grpc.HealthStub(service.channel)
    if not hasattr(stub, "List"):
        pytest.skip("this grpcio-health-checking has no List")
    statuses = stub.List(health_pb2.HealthListRequest(), timeout=TIMEOUT).statuses
    assert statuses["coreweave.sandbox.v1.SandboxService"].status == SERVING


def test_health_watch_tells_of_the_stop(own_service):
    service = own_service()
    stub = health_pb2_grpc.HealthStub(service.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
    unknown = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"), timeout=TIMEOUT)
    assert next(watch).status == SERVING
    assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    service.stop()
    assert [r.status for r in watch] == [health_pb2.HealthCheckResponse.NOT_SERVING]


def test_reflection_describes_every_service(service):
    database = ProtoReflectionDescriptorDatabase(service.channel)
    services = database.get_services()
    assert "coreweave.sandbox.v1.SandboxService" in services and "grpc.health.v1.Health" in services
    pool = DescriptorPool(database)
    method = pool.FindServiceByName("coreweave.sandbox.v1.SandboxService").FindMethodByName("StreamExec")
    assert method.client_streaming and method.server_streaming
    assert pool.FindMessageTypeByName("coreweave.sandbox.v1.SandboxSpec").fields_by_name["tags"].number == 8
    assert pool.FindMessageTypeByName("coreweave.sandbox.v1.ExecStreamOutput").enum_types_by_name["Stream"]
    assert database.FindFileByName("google/protobuf/timestamp.proto").package == "google.protobuf"
    numbers = database.FindAllExtensionNumbers("google.protobuf.MethodOptions")
    assert 72295728 in numbers


def test_reflection_says_what_it_does_not_know(service):
    stub = reflection_pb2_grpc.ServerReflectionStub(service.channel)
    requests = [reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such.Symbol"),
                reflection_pb2.ServerReflectionRequest(file_by_filename="no.proto"),
                reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="no.Type")]
    answers = list(stub.ServerReflectionInfo(iter(requests), timeout=TIMEOUT))
    assert [a.error_response.error_code for a in answers] == [5, 5, 5]
    assert [a.original_request for a in answers] == requests


def test_reflection_needs_a_key_over_tcp(service):
    with grpc.insecure_channel(service.tcp) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        error = failure(stub.ServerReflectionInfo, iter([reflection_pb2.ServerReflectionRequest(list_services="")]),
                        timeout=TIMEOUT)
        assert error.code == grpc.StatusCode.UNAUTHENTICATED
