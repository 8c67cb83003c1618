"""The contract with HTTP rules, for a proxy that speaks JSON with its callers and gRPC with us.

The contract itself imports nothing but google/protobuf, so that stubs need nothing else; what a
transcoder wants besides is put into the descriptors here.
"""

from __future__ import annotations

from importlib import resources

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2

PATHS = {"Chat": "/v1/chat", "StreamChat": "/v1/chat:stream"}
"""Where each method is found over HTTP, by POST."""


def descriptor_set() -> bytes:
    """A serialized FileDescriptorSet: the contract, and the types in the details of its errors.

    A transcoder that is to show `grpc-status-details-bin` as JSON has to know those types
    (google/rpc/error_details.proto). The rules are those of google/api/annotations.proto.
    """
    contract = resources.files("headgate").joinpath("v1", "chat.binpb").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(contract)
    chat = files.file.pop()
    chat.ClearField("source_code_info")
    known = {file.name for file in files.file}
    for module in (descriptor_pb2, http_pb2, annotations_pb2, error_details_pb2):
        if module.DESCRIPTOR.name not in known:
            module.DESCRIPTOR.CopyToProto(files.file.add())
    chat.dependency.append(annotations_pb2.DESCRIPTOR.name)
    for method in chat.service[0].method:
        method.options.Extensions[annotations_pb2.http].CopyFrom(
            http_pb2.HttpRule(post=PATHS[method.name], body="*")
        )
    files.file.append(chat)
    return files.SerializeToString(deterministic=True)
