"""The HTTP face: the published API and OpenAI's, over the same corridor as the gRPC face."""

from headgate.http_face.face import HttpFace
from headgate.http_face.options import HttpOptions

__all__ = ["HttpFace", "HttpOptions"]
