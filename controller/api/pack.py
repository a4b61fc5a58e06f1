"""The core's values as messages, and back."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from flowsnap.v1 import control_pb2, types_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from controller import model
from controller.errors import InvalidArgument
from controller.flow_calls.fields import shown_input
from controller.savepoints import Selector
from controller.values import packed


def timestamp(value: datetime | None) -> Timestamp | None:
    if value is None:
        return None
    packed = Timestamp()
    packed.FromDatetime(value)
    return packed


def status_to_proto(status: model.Status) -> types_pb2.ExecutionStatus.ValueType:
    return types_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{status.value}")


def status_from_proto(status: types_pb2.ExecutionStatus.ValueType) -> model.Status:
    """Raises InvalidArgument."""
    if status not in types_pb2.ExecutionStatus.values() or not status:
        raise InvalidArgument(f"{status} is no execution status")
    return model.Status(types_pb2.ExecutionStatus.Name(status).removeprefix("EXECUTION_STATUS_"))


def kind_to_proto(kind: model.SavepointKind) -> types_pb2.SavepointKind.ValueType:
    return types_pb2.SavepointKind.Value(f"SAVEPOINT_KIND_{kind.value}")


def kind_from_proto(kind: types_pb2.SavepointKind.ValueType) -> model.SavepointKind:
    """Raises InvalidArgument."""
    if kind not in types_pb2.SavepointKind.values() or not kind:
        raise InvalidArgument(f"{kind} is no kind of savepoint")
    return model.SavepointKind(types_pb2.SavepointKind.Name(kind).removeprefix("SAVEPOINT_KIND_"))


def execution(value: model.Execution) -> types_pb2.Execution:
    # A task's input may hold secrets; all others go out as they are, unparsed.
    input_value = packed(shown_input(value)) if value.type is model.ExecutionType.TASK else value.input_value
    return types_pb2.Execution(
        id=value.id,
        name=value.name,
        status=status_to_proto(value.status),
        message=value.message,
        flow_name=value.flow_name,
        flow_version=value.flow_version,
        input_value_json=input_value,
        output_value_json=value.output_value,
        container_image=value.container_image,
        created_at=timestamp(value.created_at),
        started_at=timestamp(value.started_at),
        ended_at=timestamp(value.ended_at),
        branch=value.branch,
        savepoint_count=value.savepoint_count,
        last_call=value.last_call,
        last_file=value.last_file,
        last_line=value.last_line,
        load_count=value.load_count,
        type=types_pb2.ExecutionType.Value(f"EXECUTION_TYPE_{value.type.value}"),
        parent_id=value.parent_id or "",
        container_image_name=value.container_image_name,
        head_savepoint_id=value.head_savepoint_id or "",
        forked_from=None if value.forked_from is None else types_pb2.ForkedFrom(**asdict(value.forked_from)),
        recovery_count=value.recovery_count,
        parked=value.parked,
        retry=retry_rule_to_proto(value.retry_rule) if value.retry_limit else None,
        retry_count=value.retry_count,
        retry_at=timestamp(value.retry_at),
    )


def retry_rule_to_proto(rule: model.RetryRule) -> types_pb2.RetryRule:
    return types_pb2.RetryRule(retries=rule.retries, savepoint=rule.savepoint, backoff_s=rule.backoff_s)


def retry_rule_from_proto(rule: types_pb2.RetryRule) -> model.RetryRule:
    return model.RetryRule(rule.retries, rule.savepoint or model.LATEST, rule.backoff_s)


def flow_file(value: model.FlowFile) -> types_pb2.FlowFile:
    return types_pb2.FlowFile(path=value.path, content=value.content)


def flow_file_from_proto(file: types_pb2.FlowFile) -> model.FlowFile:
    return model.FlowFile(file.path, file.content)


def release(value: model.Release) -> types_pb2.Flow:
    return types_pb2.Flow(
        name=value.name, number=value.number, version=value.version, created_at=timestamp(value.created_at)
    )


def savepoint(value: model.Savepoint | None) -> types_pb2.Savepoint | None:
    if value is None:
        return None
    return types_pb2.Savepoint(
        id=value.id,
        execution_id=value.execution_id,
        number=value.number,
        name=value.name,
        kind=kind_to_proto(value.kind),
        branch=value.branch,
        parent_id=value.parent_id or "",
        call=value.call,
        file=value.file,
        line=value.line,
        function=value.function,
        created_at=timestamp(value.created_at),
        raw_bytes=value.raw_bytes,
        stored_bytes=value.stored_bytes,
        frozen_us=value.frozen_us,
        dump_us=value.dump_us,
    )


def log_line(value: model.LogLine) -> types_pb2.LogLine:
    return types_pb2.LogLine(number=value.number, time=timestamp(value.time), stream=value.stream, text=value.text)


def log_line_from_proto(line: types_pb2.LogLine) -> model.LogLine:
    time = line.time.ToDatetime(UTC) if line.HasField("time") else datetime.now(UTC)
    return model.LogLine(time, line.stream, line.text)


def usage_sample(value: model.UsageSample) -> types_pb2.UsageSample:
    return types_pb2.UsageSample(
        time=timestamp(value.time),
        cpu_us=value.cpu_us,
        memory_bytes=value.memory_bytes,
        pids=value.pids,
        container=value.container,
    )


def usage_sample_from_proto(sample: types_pb2.UsageSample, container: str) -> model.UsageSample:
    return model.UsageSample(
        sample.time.ToDatetime(UTC), max(sample.cpu_us, 0), max(sample.memory_bytes, 0), max(sample.pids, 0), container
    )


def selector_from_proto(selector: control_pb2.SavepointSelector) -> Selector:
    """Raises InvalidArgument."""
    if selector.WhichOneof("selector") == "name":
        return Selector(selector.name, "name")
    if not selector.id:
        raise InvalidArgument("no savepoint was named; give its number, its id or its name")
    return Selector(selector.id, "id")
