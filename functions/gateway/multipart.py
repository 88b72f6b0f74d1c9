"""A file in a multipart/form-data body, by the standard library. Pure."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP

from millrace.errors import InvalidInput

MAX_PARTS = 20


def read(content_type: str, body: bytes) -> dict[str, tuple[str | None, bytes]]:
    """Field -> its file name, None for a plain field, and its bytes."""
    if not content_type.lower().startswith("multipart/form-data"):
        raise InvalidInput("Send the file as multipart/form-data.")
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n" + body
    )
    parts = list(message.iter_parts()) if message.is_multipart() else []
    if not 0 < len(parts) <= MAX_PARTS or not any(part.get_content_disposition() == "form-data" for part in parts):
        raise InvalidInput("The body is not multipart/form-data with a file and its purpose.")
    found: dict[str, tuple[str | None, bytes]] = {}
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            found[name] = (part.get_filename(), payload)
    return found
