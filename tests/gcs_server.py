"""Google Cloud Storage's XML API on loopback, in memory: what the clients of LanceDB and obstore speak.

No emulator in the registries answers it whole: those that there are speak the JSON API, and leave out conditional
writes or multipart uploads. This one is strict: what it does not know of a request is refused, tokens must be
signed with the service account's key, ``x-goog-if-generation-match`` holds, parts are of the sizes that Google
demands. Reference: https://cloud.google.com/storage/docs/xml-api/reference-methods
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import logging
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import http_date
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

EMAIL = "tests@project.iam.gserviceaccount.com"
#: Google sends a thousand; fewer are allowed and try the clients' paging.
LIST_PAGE = 25
SMALLEST_PART_BYTES = 5 * 1024 * 1024
_MATCH = "x-goog-if-generation-match"
_SOURCE = "x-goog-copy-source"


@dataclass(frozen=True)
class StoredObject:
    """One generation of an object."""

    data: bytes
    etag: str
    generation: int
    content_type: str
    written_unix: float


@dataclass
class Upload:
    """A multipart upload under way: parts by number."""

    name: str
    content_type: str
    parts: dict[int, bytes] = field(default_factory=dict)


Answering = Callable[[Request], Response]


class Refused(Exception):
    """An answer that is an error: status and Google's code for it."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        self.status, self.code, self.message = status, code, message or code


class GoogleStorage:
    """The service: a WSGI application.

    Args:
        buckets: the buckets that there are.

    Attributes:
        around: called with each request and what answers it, in place of that: for answers that get lost and
            servers that are busy.
    """

    def __init__(self, *buckets: str) -> None:
        self.buckets: dict[str, dict[str, StoredObject]] = {name: {} for name in buckets}
        self.around: Callable[[Request, Answering], Response] = lambda request, answer: answer(request)
        self._uploads: dict[str, Upload] = {}
        self._numbers = itertools.count(time.time_ns() // 1000)
        self._lock = threading.Lock()
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def service_account(self, base_url: str, key: rsa.RSAPrivateKey | None = None) -> str:
        """The JSON file that Google hands out for a service account, with the address of this server."""
        pem = (key or self._key).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {"type": "service_account", "client_email": EMAIL, "private_key_id": "1"}
        return json.dumps({**account, "private_key": pem.decode(), "gcs_base_url": base_url})

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self.around(Request(environ), self._answer)(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            return self._carried_out(request)
        except Refused as error:
            return _xml("Error", error.status, Code=error.code, Message=error.message)
        except RequestedRangeNotSatisfiable:
            return _xml("Error", 416, Code="InvalidRange", Message=str(request.range))

    def _carried_out(self, request: Request) -> Response:
        self._demand_token(request)
        bucket, _, name = request.path[1:].partition("/")
        if bucket not in self.buckets:
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist.")
        scope = "object" if name else "bucket"
        headers = {key.lower() for key, _ in request.headers if key.lower().startswith("x-goog-")}
        for method, where, needed, allowed, known, call in _ROUTES:
            if (
                (method, where) == (request.method, scope)
                and needed <= request.args.keys() <= needed | allowed
                and headers <= known
                and (_SOURCE in headers) == (call is GoogleStorage._copy)
            ):
                with self._lock:
                    return call(self, request, self.buckets[bucket], name)
        raise Refused(501, "NotImplemented", f"{request.method} {request.full_path} {sorted(headers)}")

    def _demand_token(self, request: Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise Refused(401, "AuthenticationRequired", "Authentication required.")
        try:
            message, _, signature = token.rpartition(".")
            claims = json.loads(_unbase64(message.split(".")[1]))
            self._key.public_key().verify(
                _unbase64(signature), message.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except (ValueError, IndexError, InvalidSignature):
            raise Refused(401, "AuthenticationRequired", "Invalid Credentials") from None
        if claims["iss"] != EMAIL or not claims["iat"] - 60 < time.time() < claims["exp"]:
            raise Refused(401, "AuthenticationRequired", "Invalid Credentials")

    # ---- objects

    def _get(self, request: Request, objects: dict[str, StoredObject], name: str) -> Response:
        found = _found(objects, name)
        if request.args.get("generation", str(found.generation)) != str(found.generation):
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        answer = Response(found.data, content_type=found.content_type, headers=_version(found))
        answer.last_modified = int(found.written_unix)  # type: ignore[assignment]
        answer.make_conditional(request, accept_ranges=True, complete_length=len(found.data))
        return answer

    def _put(self, request: Request, objects: dict[str, StoredObject], name: str) -> Response:
        data = request.get_data()
        _demand_generation(request, objects.get(name))
        md5 = hashlib.md5(data).hexdigest()
        return Response(headers=_version(self._store(objects, name, data, md5, request.content_type)))

    def _copy(self, request: Request, objects: dict[str, StoredObject], name: str) -> Response:
        bucket, _, source = urllib.parse.unquote(request.headers[_SOURCE]).partition("/")
        if bucket not in self.buckets:
            raise Refused(404, "NoSuchBucket")
        found = _found(self.buckets[bucket], source)
        _demand_generation(request, objects.get(name))
        made = self._store(objects, name, found.data, found.etag, found.content_type)
        answer = _xml("CopyObjectResult", ETag=f'"{made.etag}"', LastModified=_rfc3339(made.written_unix))
        answer.headers.update(_version(made))
        return answer

    def _delete(self, request: Request, objects: dict[str, StoredObject], name: str) -> Response:
        _demand_generation(request, _found(objects, name))
        del objects[name]
        return Response(status=204)

    def _store(
        self, objects: dict[str, StoredObject], name: str, data: bytes, etag: str, content_type: str | None
    ) -> StoredObject:
        kind = content_type or "application/octet-stream"
        objects[name] = StoredObject(data, etag, next(self._numbers), kind, time.time())
        return objects[name]

    # ---- lists

    def _list(self, request: Request, objects: dict[str, StoredObject], _: str) -> Response:
        if request.args["list-type"] != "2":
            raise Refused(400, "InvalidArgument", "list-type")
        prefix, delimiter = request.args.get("prefix", ""), request.args.get("delimiter", "")
        after = max(request.args.get("continuation-token", ""), request.args.get("start-after", ""))
        entries = sorted({_entry(name, prefix, delimiter) for name in objects if name.startswith(prefix)})
        left = [entry for entry in entries if entry > after]
        page = left[: min(int(request.args.get("max-keys", LIST_PAGE)), LIST_PAGE)]
        root = ET.Element("ListBucketResult")
        _add(root, Prefix=prefix, KeyCount=len(page), IsTruncated=str(len(page) < len(left)).lower())
        if len(page) < len(left):
            _add(root, NextContinuationToken=page[-1])
        for entry in page:
            if entry in objects:
                _add(ET.SubElement(root, "Contents"), **_listed(entry, objects[entry]))
            else:
                _add(ET.SubElement(root, "CommonPrefixes"), Prefix=entry)
        return _document(root)

    # ---- multipart uploads

    def _begin(self, request: Request, objects: dict[str, StoredObject], name: str) -> Response:
        upload_id = f"upload-{next(self._numbers)}"
        self._uploads[upload_id] = Upload(name, request.content_type or "")
        return _xml("InitiateMultipartUploadResult", Key=name, UploadId=upload_id)

    def _upload_of(self, request: Request, name: str) -> Upload:
        upload = self._uploads.get(request.args["uploadId"])
        if upload is None or upload.name != name:
            raise Refused(404, "NoSuchUpload", "The requested upload was not found.")
        return upload

    def _part(self, request: Request, objects: dict[str, StoredObject], name: str) -> Response:
        number = int(request.args["partNumber"])
        if not 1 <= number <= 10_000:
            raise Refused(400, "InvalidArgument", "partNumber")
        data = request.get_data()
        self._upload_of(request, name).parts[number] = data
        return Response(headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

    def _complete(self, request: Request, objects: dict[str, StoredObject], name: str) -> Response:
        upload = self._upload_of(request, name)
        data = _joined(upload, _named_parts(request.get_data()))
        del self._uploads[request.args["uploadId"]]
        etag = f"{hashlib.md5(data).hexdigest()}-{len(upload.parts)}"  # not the hash of the whole, as Google's
        made = self._store(objects, name, data, etag, upload.content_type)
        answer = _xml("CompleteMultipartUploadResult", Key=name, ETag=f'"{made.etag}"')
        answer.headers.update(_version(made))
        return answer

    def _abort(self, request: Request, objects: dict[str, StoredObject], name: str) -> Response:
        self._upload_of(request, name)
        del self._uploads[request.args["uploadId"]]
        return Response(status=204)


_Handler = Callable[[GoogleStorage, Request, dict[str, StoredObject], str], Response]
_NONE: frozenset[str] = frozenset()
_LISTING = frozenset({"prefix", "delimiter", "continuation-token", "start-after", "max-keys"})
_GENERATION = frozenset({_MATCH})
#: method, bucket or object, parameters that must be there and may be there, x-goog- headers that may be there.
_ROUTES: tuple[tuple[str, str, frozenset[str], frozenset[str], frozenset[str], _Handler], ...] = (
    ("GET", "bucket", frozenset({"list-type"}), _LISTING, _NONE, GoogleStorage._list),
    ("GET", "object", _NONE, frozenset({"generation"}), _NONE, GoogleStorage._get),
    ("HEAD", "object", _NONE, frozenset({"generation"}), _NONE, GoogleStorage._get),
    ("PUT", "object", _NONE, _NONE, _GENERATION, GoogleStorage._put),
    ("PUT", "object", _NONE, _NONE, _GENERATION | {_SOURCE}, GoogleStorage._copy),
    ("DELETE", "object", _NONE, _NONE, _GENERATION, GoogleStorage._delete),
    ("POST", "object", frozenset({"uploads"}), _NONE, _NONE, GoogleStorage._begin),
    ("PUT", "object", frozenset({"partNumber", "uploadId"}), _NONE, _NONE, GoogleStorage._part),
    ("POST", "object", frozenset({"uploadId"}), _NONE, _NONE, GoogleStorage._complete),
    ("DELETE", "object", frozenset({"uploadId"}), _NONE, _NONE, GoogleStorage._abort),
)


def _found(objects: dict[str, StoredObject], name: str) -> StoredObject:
    if name not in objects:
        raise Refused(404, "NoSuchKey", "The specified key does not exist.")
    return objects[name]


def _demand_generation(request: Request, there: StoredObject | None) -> None:
    """0 means that no object may be there."""
    wanted = request.headers.get(_MATCH)
    if wanted is not None and int(wanted) != (there.generation if there else 0):
        raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions did not hold.")


def _entry(name: str, prefix: str, delimiter: str) -> str:
    """What a listing shows of an object: its name, or the folder that it is in."""
    end = name.find(delimiter, len(prefix)) if delimiter else -1
    return name if end < 0 else name[: end + len(delimiter)]


def _listed(name: str, found: StoredObject) -> dict[str, Any]:
    return {
        "Key": name,
        "Generation": found.generation,
        "LastModified": _rfc3339(found.written_unix),
        "ETag": f'"{found.etag}"',
        "Size": len(found.data),
    }


def _named_parts(body: bytes) -> list[tuple[int, str]]:
    root = ET.fromstring(body)
    parts = [(int(p.findtext("PartNumber", "0")), p.findtext("ETag", "")) for p in root.findall("Part")]
    if root.tag != "CompleteMultipartUpload" or not parts:
        raise Refused(400, "MalformedCompleteMultipartUploadRequest")
    if [number for number, _ in parts] != sorted({number for number, _ in parts}):
        raise Refused(400, "InvalidPartOrder")
    return parts


def _joined(upload: Upload, parts: list[tuple[int, str]]) -> bytes:
    for number, etag in parts:
        if number not in upload.parts or etag.strip('"') != hashlib.md5(upload.parts[number]).hexdigest():
            raise Refused(400, "InvalidPart", f"part {number}")
    if any(len(upload.parts[number]) < SMALLEST_PART_BYTES for number, _ in parts[:-1]):
        raise Refused(400, "EntityTooSmall")
    return b"".join(upload.parts[number] for number, _ in parts)


def _version(found: StoredObject) -> dict[str, str]:
    return {
        "ETag": f'"{found.etag}"',
        "x-goog-generation": str(found.generation),
        "Last-Modified": http_date(found.written_unix),
    }


def _rfc3339(unix: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix)) + f".{int(unix % 1 * 1000):03}Z"


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _add(parent: ET.Element, **values: Any) -> None:
    for tag, value in values.items():
        ET.SubElement(parent, tag).text = str(value)


def _xml(tag: str, status: int = 200, **values: Any) -> Response:
    root = ET.Element(tag)
    _add(root, **values)
    return _document(root, status)


def _document(root: ET.Element, status: int = 200) -> Response:
    return Response(ET.tostring(root, xml_declaration=True, encoding="UTF-8"), status, mimetype="application/xml")


@contextlib.contextmanager
def serving(storage: GoogleStorage) -> Iterator[str]:
    """Serve it from a thread of this process; gives its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, storage, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
