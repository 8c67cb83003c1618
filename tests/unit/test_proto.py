"""What the contract promises about itself, and the settings that clients get with it."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

from headgate.config import Settings
from headgate.errors import Reason
from headgate.gateway import _server_options
from headgate.v1 import chat_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

PROTOS: Final = Path(__file__).parents[2] / "protos"
WELL_KNOWN: Final = {"duration", "struct", "timestamp"}
INTEGERS_64: Final = {
    FieldDescriptorProto.TYPE_INT64,
    FieldDescriptorProto.TYPE_UINT64,
    FieldDescriptorProto.TYPE_SINT64,
    FieldDescriptorProto.TYPE_FIXED64,
    FieldDescriptorProto.TYPE_SFIXED64,
}
# The numbers of a field within its parent, as google/protobuf/descriptor.proto has them.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, NESTED, NESTED_ENUMS, ONEOFS, VALUES, METHODS = 2, 3, 4, 8, 2, 2

Element = tuple[tuple[int, ...], str]


def descriptor_set() -> FileDescriptorSet:
    data = resources.files("headgate").joinpath("v1", "chat.binpb").read_bytes()
    return FileDescriptorSet.FromString(data)


def contract() -> FileDescriptorProto:
    return descriptor_set().file[-1]


def numbers(message: Descriptor) -> dict[str, int]:
    return {field.name: field.number for field in message.fields}


def elements(file: FileDescriptorProto) -> Iterator[Element]:
    """The path and the name of everything in the file that a person can write a comment on."""
    for i, message in enumerate(file.message_type):
        yield from message_elements((MESSAGES, i), message)
    for i, enum in enumerate(file.enum_type):
        yield (ENUMS, i), enum.name
        yield from (((ENUMS, i, VALUES, j), value.name) for j, value in enumerate(enum.value))
    for i, service in enumerate(file.service):
        yield (SERVICES, i), service.name
        yield from (((SERVICES, i, METHODS, j), rpc.name) for j, rpc in enumerate(service.method))


def message_elements(path: tuple[int, ...], message: DescriptorProto) -> Iterator[Element]:
    yield path, message.name
    for i, field in enumerate(message.field):
        yield (*path, FIELDS, i), f"{message.name}.{field.name}"
    for i, oneof in enumerate(message.oneof_decl):
        if not oneof.name.startswith("_"):  # protoc's own, one for each `optional`
            yield (*path, ONEOFS, i), f"{message.name}.{oneof.name}"
    for i, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from message_elements((*path, NESTED, i), nested)
    for i, enum in enumerate(message.enum_type):
        yield (*path, NESTED_ENUMS, i), f"{message.name}.{enum.name}"


def test_only_well_known_types_are_imported() -> None:
    """A stub in any language needs protobuf's own types and nothing else."""
    imports = set(contract().dependency)
    assert imports == {f"google/protobuf/{name}.proto" for name in WELL_KNOWN}
    assert {file.name for file in descriptor_set().file} == {*imports, "headgate/v1/chat.proto"}


def test_every_element_is_commented() -> None:
    """The contract is its own manual: messages, fields, oneofs, enum values, methods."""
    file = contract()
    comments = {tuple(at.path): at.leading_comments for at in file.source_code_info.location}
    names = dict(elements(file))
    assert len(names) > 150
    assert [name for path, name in names.items() if not comments.get(path, "").strip()] == []


def test_the_file_options_are_the_ones_that_callers_build_on() -> None:
    """Changing one of them moves generated code, which breaks callers."""
    options = {field.name: value for field, value in contract().options.ListFields()}
    assert options == {
        "csharp_namespace": "Headgate.V1",
        "go_package": "headgate.dev/go/headgatev1;headgatev1",
        "java_multiple_files": True,
        "java_outer_classname": "ChatProto",
        "java_package": "dev.headgate.v1",
    }


@pytest.mark.parametrize("message", ["ChatDelta", "ToolCallDelta", "StreamChatResponse"])
def test_the_fields_of_a_delta_have_tags_of_one_byte(message: str) -> None:
    """What is sent for every token keeps to the numbers under 16."""
    assert max(numbers(pb.DESCRIPTOR.message_types_by_name[message]).values()) < 16


def test_counts_are_32_bits_wide() -> None:
    """JSON turns 64-bit integers into strings, so only the seed is one."""
    wide = {
        f"{message.name}.{field.name}"
        for message in contract().message_type
        for field in message.field
        if field.type in INTEGERS_64
    }
    assert wide == {"ChatRequest.seed"}


def test_every_reason_is_in_the_contract_and_back() -> None:
    """ErrorReason and headgate.errors.Reason name the same reasons."""
    prefix = "ERROR_REASON_"
    assert all(name.startswith(prefix) for name in pb.ErrorReason.keys())  # noqa: SIM118 - no dict
    named = {name.removeprefix(prefix) for name in pb.ErrorReason.keys()}  # noqa: SIM118
    assert named - {"UNSPECIFIED"} == {reason.value for reason in Reason}


def test_every_enum_starts_with_unspecified() -> None:
    """A value that is not set can be told from every value that is."""
    for enum in contract().enum_type:
        assert enum.value[0].number == 0
        assert enum.value[0].name.endswith("_UNSPECIFIED")


def test_the_events_of_a_stream_have_the_numbers_of_an_answer() -> None:
    """What StreamStarted and StreamFinished share with ChatResponse has its name and number."""
    whole = numbers(pb.ChatResponse.DESCRIPTOR)
    started = numbers(pb.StreamStarted.DESCRIPTOR)
    finished = numbers(pb.StreamFinished.DESCRIPTOR)
    assert started | finished == whole
    assert not started.keys() & finished.keys()


def test_a_choices_finish_has_the_numbers_of_a_choice() -> None:
    """ChoiceFinish is ChatChoice without what the deltas brought."""
    choice = numbers(pb.ChatChoice.DESCRIPTOR)
    finish = numbers(pb.ChoiceFinish.DESCRIPTOR)
    assert finish.items() <= choice.items()
    assert choice.keys() - finish.keys() == {"message", "logprobs"}


def test_planned_numbers_are_free_and_not_reserved() -> None:
    """Taking a number out of `reserved` would be a breaking change, so nothing is in it."""
    assert set(range(24, 30)).isdisjoint(numbers(pb.ChatRequest.DESCRIPTOR).values())
    for message in contract().message_type:
        assert (list(message.reserved_range), list(message.reserved_name)) == ([], [])


def settings(name: str) -> Any:
    return json.loads((PROTOS / name).read_text())


def test_the_service_config_retries_only_what_is_safe() -> None:
    """UNAVAILABLE only, after 0.1 s or more; no timeout cuts streams, no call waits for ready."""
    config = settings("service_config.json")
    names = [name for method in config["methodConfig"] for name in method["name"]]
    assert names == [{"service": pb.DESCRIPTOR.services_by_name["ChatService"].full_name}]
    for method in config["methodConfig"]:
        assert method.keys() == {"name", "retryPolicy"}
        policy = method["retryPolicy"]
        assert policy["retryableStatusCodes"] == ["UNAVAILABLE"]
        assert 0.1 <= seconds(policy["initialBackoff"]) <= seconds(policy["maxBackoff"])
        assert 2 <= policy["maxAttempts"] <= 5


def test_the_service_config_throttles_retries_and_asks_no_health_service() -> None:
    """A failing gateway is not hit harder, and a proxy without health checks does no harm."""
    config = settings("service_config.json")
    assert config.keys() == {"loadBalancingConfig", "retryThrottling", "methodConfig"}
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]


def test_a_long_line_can_move_on_and_its_tokens_come_back() -> None:
    """The most tokens that gRFC A6 allows; a ratio that gRPC's C core does not misread.

    It takes a number without a decimal point for thousandths, whatever it was written as.
    """
    throttling = settings("service_config.json")["retryThrottling"]
    assert throttling["maxTokens"] == 1000
    assert 0.1 < throttling["tokenRatio"] < 1


def test_the_channel_defaults_fit_the_gateway() -> None:
    """Pings are no more frequent than the gateway allows, and messages as large as it takes."""
    gateway = dict(_server_options(Settings.model_validate({}), shared=False))
    defaults = settings("channel_defaults.json")
    assert all(name.startswith("grpc.") and type(defaults[name]) is int for name in defaults)
    allowed = gateway["grpc.http2.min_ping_interval_without_data_ms"]
    assert defaults["grpc.keepalive_time_ms"] > allowed
    name = "grpc.keepalive_permit_without_calls"
    assert defaults[name] <= gateway[name]
    for direction in ("receive", "send"):
        assert defaults[f"grpc.max_{direction}_message_length"] == 16 * 2**20


def seconds(duration: str) -> float:
    assert duration.endswith("s")
    return float(duration[:-1])
