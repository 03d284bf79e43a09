"""A client in another language: everything here is generated from proto/, nothing comes from Quorate's own client.

Drives one whole round of a loop against a running cluster, provokes the refusals that a program must be able to tell
apart, follows the events, and asks the health and reflection services. Prints one JSON object; exits with 1 and says
what was wrong when an answer is not the expected one.

Usage: round.py STUBS_FOLDER ADDRESS[,ADDRESS...]
"""

import json
import sys
import threading

sys.path.insert(0, sys.argv[1])

import grpc  # noqa: E402
from google.protobuf import descriptor_pb2  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from grpc_reflection_v1 import reflection_pb2, reflection_pb2_grpc  # noqa: E402
from health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from quorate.v1 import (  # noqa: E402
    cluster_pb2,
    cluster_pb2_grpc,
    common_pb2,
    maintenance_pb2,
    maintenance_pb2_grpc,
    membership_pb2,
    membership_pb2_grpc,
    phase_pb2,
    phase_pb2_grpc,
    pipeline_pb2,
    pipeline_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
    watch_pb2,
    watch_pb2_grpc,
)

TIMEOUT_S = 20
PHASES = ["ANALYZE", "BLUEPRINT", "CONSTRUCT", "VALIDATE", "IDLE"]
LOOP = "interop/python"


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(found, wanted, what):
    check(found == wanted, "%s: %r, expected %r" % (what, found, wanted))


class Session:
    """Numbers the requests, so that a retry is recognised."""

    def __init__(self, channel):
        stub = session_pb2_grpc.SessionServiceStub(channel)
        answer = stub.OpenSession(session_pb2.OpenSessionRequest(ttl_ms=60000), timeout=TIMEOUT_S)
        check(answer.session_id > 0, "a session has an id")
        self.id = answer.session_id
        self.sequence = 0

    def header(self):
        self.sequence += 1
        return common_pb2.RequestHeader(
            session_id=self.id,
            sequence=self.sequence,
            acked_through=max(0, self.sequence - 2),
            caller="python",
            trace_id="interop",
        )


def reason_of(call):
    """Carries out the call, which must be refused; gives the gRPC status name and the reason for programs."""
    try:
        call()
    except grpc.RpcError as error:
        for key, value in error.trailing_metadata():
            if key == "grpc-status-details-bin":
                status = status_pb2.Status.FromString(value)
                for detail in status.details:
                    info = error_details_pb2.ErrorInfo()
                    if detail.Unpack(info):
                        equal(info.domain, "quorate", "domain of the error")
                        return error.code().name, info.reason
        raise AssertionError("no ErrorInfo with %s" % error)
    raise AssertionError("not refused")


class Watcher(threading.Thread):
    """Collects the events of the loop until the round is over."""

    def __init__(self, channel, from_revision):
        super().__init__(daemon=True)
        stub = watch_pb2_grpc.WatchServiceStub(channel)
        request = watch_pb2.WatchRequest(from_revision=from_revision, loop=LOOP)
        self.stream = stub.Watch(request, timeout=TIMEOUT_S * 3)
        self.events = []
        self.problem = None

    def run(self):
        try:
            for message in self.stream:
                for event in message.events:
                    self.events.append(event)
                    if event.kind == "phase_ready" and event.g == 2:
                        self.stream.cancel()
                        return
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.CANCELLED:
                self.problem = error


def run_phase(phases, session, phase):
    """Begins, reports and commits one phase of round 1. Gives the token and the round that is open afterwards."""
    ref = phase_pb2.PhaseRef(loop=LOOP, g=1, phase=phase)
    begin = phase_pb2.BeginPhaseRequest(header=session.header(), ref=ref)
    begun = phases.BeginPhase(begin, timeout=TIMEOUT_S)
    again = phases.BeginPhase(begin, timeout=TIMEOUT_S)
    check(again.header.replayed, "a retry is answered from memory")
    equal(again.fencing_token, begun.fencing_token, "token of the retry")
    equal(begun.attempt, 1, "attempt")

    progress = phase_pb2.ReportProgressRequest(
        header=session.header(),
        ref=ref,
        fencing_token=begun.fencing_token,
        completed=2,
        total=2,
        note="half way",
        sub_steps=[phase_pb2.SubStepReport(id="step-%d" % n, result="done") for n in (1, 2)],
    )
    equal(phases.ReportProgress(progress, timeout=TIMEOUT_S).sub_steps_recorded, 2, "sub-steps recorded")
    progress.header.CopyFrom(session.header())
    known = phases.ReportProgress(progress, timeout=TIMEOUT_S)
    equal(list(known.sub_steps_known), ["step-1", "step-2"], "sub-steps known")

    stale = phase_pb2.CommitPhaseRequest(header=session.header(), ref=ref, fencing_token=begun.fencing_token - 1)
    equal(reason_of(lambda: phases.CommitPhase(stale, timeout=TIMEOUT_S))[1], "STALE_FENCE", "reason")

    commit = phase_pb2.CommitPhaseRequest(
        header=session.header(), ref=ref, fencing_token=begun.fencing_token, result="ok"
    )
    return begun.fencing_token, phases.CommitPhase(commit, timeout=TIMEOUT_S).next_g


def run_round(channels):
    session = Session(channels[0])
    phases = [phase_pb2_grpc.PhaseServiceStub(channel) for channel in channels]
    created = phases[0].CreateLoop(
        phase_pb2.CreateLoopRequest(header=session.header(), loop=LOOP), timeout=TIMEOUT_S
    )
    equal(created.g, 1, "first round")
    watcher = Watcher(channels[-1], created.header.revision)
    watcher.start()

    early = phase_pb2.PhaseRef(loop=LOOP, g=2, phase=PHASES[0])
    refused = reason_of(
        lambda: phases[0].BeginPhase(
            phase_pb2.BeginPhaseRequest(header=session.header(), ref=early), timeout=TIMEOUT_S
        )
    )
    equal(refused, ("FAILED_PRECONDITION", "BARRIER_CLOSED"), "a phase of the next round")

    tokens = []
    for number, phase in enumerate(PHASES):
        # Any member serves any client: a different one for each phase.
        token, next_g = run_phase(phases[number % len(phases)], session, phase)
        equal(next_g, 2 if phase == PHASES[-1] else 1, "round after " + phase)
        tokens.append(token)
    check(tokens == sorted(set(tokens)), "tokens rise: %r" % tokens)

    for stub in phases:
        loop = stub.GetLoop(phase_pb2.GetLoopRequest(loop=LOOP), timeout=TIMEOUT_S).loop
        equal(loop.g, 2, "open round, read linearizably on every member")
    check_events(watcher)
    return tokens


def check_events(watcher):
    watcher.join(TIMEOUT_S)
    check(not watcher.is_alive() and watcher.problem is None, "the watch did not end: %s" % watcher.problem)
    events = watcher.events
    order = [(event.revision, event.ordinal) for event in events]
    check(order == sorted(set(order)), "events are ordered and unique: %r" % order)
    found = [(event.kind, event.g, event.phase) for event in events if event.kind != "phase_transition.progress"]
    wanted = [("loop.created", 1, ""), ("phase_ready", 1, "")]
    for phase in PHASES:
        wanted += [("phase_transition.started", 1, phase), ("phase_transition.finished", 1, phase)]
    equal(found, wanted + [("phase_ready", 2, "")], "events")


def check_health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    # A member that has just started serves when it knows who leads.
    for update in stub.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S):
        if update.status == health_pb2.HealthCheckResponse.SERVING:
            break
    for service in ("", "quorate.v1.PhaseService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
        equal(answer.status, health_pb2.HealthCheckResponse.SERVING, "health of %r" % service)


def check_reflection(channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services="*"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="quorate.v1.PhaseService"),
    ]
    answers = list(stub.ServerReflectionInfo(iter(requests), timeout=TIMEOUT_S))
    equal(len(answers), 2, "answers of the reflection service")
    services = [service.name for service in answers[0].list_services_response.service]
    for name in ("PhaseService", "SessionService", "WatchService", "PipelineService", "ClusterService", "MembershipService"):
        check("quorate.v1." + name in services, "reflection lists %s: %r" % (name, services))
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(text)
        for text in answers[1].file_descriptor_response.file_descriptor_proto
    ]
    methods = [
        method.name
        for file in files
        for service in file.service
        if service.name == "PhaseService"
        for method in service.method
    ]
    check("BeginPhase" in methods, "reflection describes BeginPhase: %r" % methods)
    return services


def check_pipeline(channel):
    """Many commands on one stream: answers in their order, errors of single calls, and a retry that is recognised."""
    session = Session(channel)
    creates = [
        phase_pb2.CreateLoopRequest(header=session.header(), loop="interop/piped-%d" % n) for n in (*range(50), 0)
    ]
    creates.append(creates[49])
    calls = [pipeline_pb2.PipelinedCall(request=create.SerializeToString(), deadline_ms=10000) for create in creates]
    calls[0].method = "/quorate.v1.PhaseService/CreateLoop"
    # One in a message, and then many.
    requests = [pipeline_pb2.ExecuteRequest(calls=part) for part in (calls[:1], calls[1:2], calls[2:])]
    stub = pipeline_pb2_grpc.PipelineServiceStub(channel)
    answers = [answer for message in stub.Execute(iter(requests), timeout=TIMEOUT_S) for answer in message.answers]
    equal(len(answers), 52, "answers of the pipeline")
    created = [phase_pb2.CreateLoopResponse.FromString(answer.response) for answer in answers]
    for answer in answers[:50]:
        check(not answer.HasField("error"), "an error of the pipeline: %r" % answer)
    revisions = [one.header.revision for one in created[:50]]
    check(revisions == sorted(set(revisions)), "revisions rise with the calls: %r" % revisions)
    equal(answers[50].error.code, grpc.StatusCode.ALREADY_EXISTS.value[0], "code of a loop that exists")
    check(created[51].header.replayed, "a retry is answered from memory")
    equal(created[51].header.revision, created[49].header.revision, "revision of the retry")


def check_members_and_backup(channels):
    """Members by a lease read; the state as a file, which must begin as one and end well."""
    listed = membership_pb2_grpc.MembershipServiceStub(channels[0]).ListMembers(
        membership_pb2.ListMembersRequest(consistency=common_pb2.READ_CONSISTENCY_LEASE), timeout=TIMEOUT_S
    )
    equal([member.role for member in listed.members], ["voter"] * len(channels), "roles")
    check(listed.settled and not listed.joint, "no change of members is under way")
    maintenance = maintenance_pb2_grpc.MaintenanceServiceStub(channels[-1])
    messages = list(maintenance.Backup(maintenance_pb2.BackupRequest(), timeout=TIMEOUT_S))
    check(messages[0].HasField("info") and messages[0].info.index > 0, "a backup says first what it stands for")
    data = b"".join(message.data for message in messages)
    equal(data[:8], b"QUORATEB", "the first bytes of a backup")
    level = maintenance.GetFeatureLevel(maintenance_pb2.GetFeatureLevelRequest(), timeout=TIMEOUT_S)
    check(1 <= level.used <= level.level, "feature levels: %r" % level)


def main():
    addresses = sys.argv[2].split(",")
    channels = [grpc.insecure_channel(address) for address in addresses]
    for channel in channels:
        grpc.channel_ready_future(channel).result(timeout=TIMEOUT_S)
        check_health(channel)
    services = check_reflection(channels[0])
    tokens = run_round(channels)
    check_pipeline(channels[-1])
    check_members_and_backup(channels)
    status = cluster_pb2_grpc.ClusterServiceStub(channels[0]).GetStatus(
        cluster_pb2.GetStatusRequest(), timeout=TIMEOUT_S
    )
    equal(len(status.members), len(addresses), "members")
    print(json.dumps({"ok": True, "services": services, "tokens": tokens, "members": len(status.members)}))


if __name__ == "__main__":
    try:
        main()
    except AssertionError as problem:
        sys.exit("interop: %s" % problem)
