"""Somebody without the token tries every port: prints a line of JSON for each that was opened.

    python stranger.py HOST PORT [PORT ...]

The requests are for what a Ray process would tell or do: over HTTP/1.1 the pages of the dashboard
and its agents, over gRPC one call of each service of Ray's, with an empty message. `answered` lists
what was not refused.
"""

import http.client
import json
import socket
import sys

import grpc

SECONDS = 5
PAGES = [
    "/",
    "/api/version",
    "/nodes?view=summary",
    "/api/jobs/",
    "/api/v0/actors",
    "/api/cluster_status",
    "/metrics",
]
PAGES += [
    "/api/healthz",
    "/api/local_raylet_healthz",
    "/get_or_create_runtime_env",
    "/api/job_agent/jobs/",
]
CALLS = {
    "NodeInfoGcsService": [
        "GetAllNodeInfo",
        "GetClusterId",
        "CheckAlive",
        "DrainNode",
        "RegisterNode",
    ],
    "InternalKVGcsService": [
        "InternalKVKeys",
        "InternalKVGet",
        "InternalKVPut",
        "GetInternalConfig",
    ],
    "JobInfoGcsService": ["GetAllJobInfo", "AddJob", "GetNextJobID"],
    "ActorInfoGcsService": ["GetAllActorInfo", "RegisterActor", "CreateActor"],
    "NodeResourceInfoGcsService": ["GetAllAvailableResources"],
    "WorkerInfoGcsService": ["GetAllWorkerInfo"],
    "TaskInfoGcsService": ["GetTaskEvents"],
    "InternalPubSubGcsService": ["GcsSubscriberPoll"],
    "PlacementGroupInfoGcsService": ["GetAllPlacementGroup"],
    "autoscaler.AutoscalerStateService": ["GetClusterStatus", "GetClusterResourceState"],
    "RuntimeEnvGcsService": ["PinRuntimeEnvURI"],
    "NodeManagerService": [
        "GetNodeStats",
        "RequestWorkerLease",
        "GetTasksInfo",
        "FormatGlobalMemoryInfo",
    ],
    "ObjectManagerService": ["Pull", "Push", "FreeObjects"],
    "CoreWorkerService": [
        "PushTask",
        "KillActor",
        "GetCoreWorkerStats",
        "Exit",
        "RayletNotifyGCSRestart",
    ],
    "RayletDriver": ["Init", "ClusterInfo", "KVGet", "KVPut", "Schedule", "PutObject"],
    "LogService": ["ListLogs", "StreamLog"],
    "ReporterService": ["GetTraceback", "HealthCheck"],
}
METHODS = [
    f"/ray.rpc.{service}/{method}" for service, methods in CALLS.items() for method in methods
]
METHODS += [
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]
#: What gRPC's own part answers to everybody, and no more: "serving", and that it has nothing to
#: tell of itself (12).
HARMLESS = {METHODS[-2]: b"\x08\x01", METHODS[-1]: b"\x12\x00:\x02\x08\x0c"}


def pages(host, port):
    """[(page, status, what it says)] of those that were not refused."""
    answered = []
    for page in PAGES:
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
        try:
            connection.request("POST" if "create" in page else "GET", page)
            reply = connection.getresponse()
            if reply.status not in (401, 403, 404, 405):
                answered.append((page, reply.status, reply.read(200).decode(errors="replace")))
        except (OSError, http.client.HTTPException):
            pass  # no HTTP here
        finally:
            connection.close()
    return answered


def calls(host, port, methods=METHODS, token=""):
    """([(method, status, what it says)] of those that were not refused, {status: count} of all)."""
    answered, counts = [], {}
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        for method in methods:
            try:
                reply = channel.unary_unary(method)(b"", timeout=SECONDS, metadata=metadata)
                status = "OK"
                if HARMLESS.get(method) != reply:
                    answered.append((method, status, repr(reply[:100])))
            except grpc.RpcError as error:
                status = error.code().name
                if status not in (
                    "UNAUTHENTICATED",
                    "UNIMPLEMENTED",
                    "UNAVAILABLE",
                    "PERMISSION_DENIED",
                ):
                    answered.append((method, status, error.details()))
            counts[status] = counts.get(status, 0) + 1
            if status == "UNAVAILABLE":
                break  # no gRPC here
    return answered, counts


def main(host, ports):
    """Try every port."""
    for port in map(int, ports):
        try:
            socket.create_connection((host, port), timeout=SECONDS).close()
        except OSError as error:
            print(json.dumps({"port": port, "open": False, "reason": str(error)}), flush=True)
            continue
        over_http, (over_grpc, counts) = pages(host, port), calls(host, port)
        print(
            json.dumps(
                {"port": port, "open": True, "answered": over_http + over_grpc, "grpc": counts}
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
