"""A stand-in for the Hugging Face Hub on the loopback interface.

[`HubServer`] answers what `huggingface_hub` asks when models are pushed and loaded, in the Hub's own words, and keeps
its repositories in memory. It can be told to fail.
"""

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Literal, Self
from urllib.parse import unquote


# unavailable: status 503. hang up: the connection ends in the middle of the request, and there is no answer.
# cut: half of the answer, whose header promises all of it. short: half of the answer, and the header agrees with that.
Fault = Literal["unavailable", "hang up", "cut", "short"]


@dataclass
class Failure:
    """Requests that fail: how, how many more of them, and how many already have."""

    method: str
    path: str
    fault: Fault
    left: float
    count: int = 0


@dataclass(frozen=True)
class StoredFile:
    """A file of a commit. Large files travel by Git LFS, small ones inside the commit."""

    content: bytes
    large: bool

    @property
    def oid(self) -> str:
        """The name of the content: its SHA-256 for a large file, the hash that git gives it for a small one."""
        if self.large:
            return hashlib.sha256(self.content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()


class Repository:
    """Commits, each with all of its files, and the branches and tags that point to them."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, StoredFile]] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.commit("main", {})

    def commit(self, branch: str, files: dict[str, StoredFile]) -> str:
        """Add a commit, let the branch point to it, and return its SHA."""
        names = [f"{path} {file.oid}" for path, file in sorted(files.items())]
        sha = hashlib.sha1("\n".join([str(len(self.commits)), *names]).encode()).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        return sha

    def files(self, revision: str) -> dict[str, StoredFile]:
        """The files of a revision, by their paths."""
        return self.commits[self.sha(revision)]

    def sha(self, revision: str) -> str:
        """The SHA of a branch, a tag or a SHA."""
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        if sha not in self.commits:
            raise HubError(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha


class HubError(Exception):
    """An answer that is an error, in the header fields in which the Hub tells its client what is wrong."""

    def __init__(self, status: HTTPStatus, code: str, message: str, **header: str) -> None:
        super().__init__(message)
        self.answer = Answer(
            json.dumps({"error": message}).encode(),
            status,
            {"X-Error-Code": code, "X-Error-Message": message, **header},
        )


@dataclass
class Request:
    """What the client sent."""

    method: str
    path: str
    header: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass
class Answer:
    """What the server sends."""

    body: bytes = b"{}"
    status: HTTPStatus = HTTPStatus.OK
    header: dict[str, str] = field(default_factory=dict)


def as_json(data: Any, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """An answer that holds data."""
    return Answer(json.dumps(data).encode(), status, {"Content-Type": "application/json"})


class HubServer:
    """The Hub for as long as a `with` block lasts.

    Example:
        ```python
        with HubServer() as hub:
            hub.fail("PUT", "/lfs/", "unavailable", times=1)
            ...  # point the client to `hub.url`
            hub.files("me/ner", "main")
        ```
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._failures: list[Failure] = []
        self._repositories: dict[str, Repository] = {}
        self._large: dict[str, bytes] = {}
        self._lock = Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Connection, self))
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Go off the network; doing it again changes nothing."""
        self._http.shutdown()
        self._http.server_close()

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """The files of a revision, by their paths."""
        return {path: file.content for path, file in self._repositories[repo].files(revision).items()}

    def fail(self, method: str, path: str, fault: Fault, times: float = math.inf) -> Failure:
        """Let requests fail whose path has a match of the regular expression, so many times or until `heal`."""
        failure = Failure(method, path, fault, times)
        self._failures.append(failure)
        return failure

    def heal(self) -> None:
        """Let no more requests fail."""
        self._failures.clear()

    def fault_of(self, method: str, path: str) -> Fault | None:
        """How a request that has just come in must fail, if it must."""
        with self._lock:
            for failure in self._failures:
                if failure.left > 0 and failure.method == method and re.search(failure.path, path):
                    failure.left -= 1
                    failure.count += 1
                    return failure.fault
        return None

    def answer(self, request: Request) -> Answer:
        """Do what a request asks for."""
        path, _, _ = request.path.partition("?")
        with self._lock:
            self.requests.append(request)
            for method, pattern, action in ROUTES:
                match = re.fullmatch(pattern, path)
                if match and request.method in method.split():
                    try:
                        return action(
                            self, request, **{name: unquote(text) for name, text in match.groupdict().items()}
                        )
                    except HubError as error:
                        return error.answer
        return as_json({"error": "Not Found"}, HTTPStatus.NOT_FOUND)

    def _repository(self, repo: str) -> Repository:
        if repo not in self._repositories:
            raise HubError(HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found")
        return self._repositories[repo]

    def _create(self, request: Request) -> Answer:
        repo = "{organization}/{name}".format(**request.json())
        status = HTTPStatus.CONFLICT if repo in self._repositories else HTTPStatus.OK
        self._repositories.setdefault(repo, Repository())
        return as_json({"url": f"{self.url}/{repo}"}, status)

    def _validate_card(self, request: Request) -> Answer:
        return as_json({"errors": [], "warnings": []})

    def _info(self, request: Request, repo: str, revision: str = "main") -> Answer:
        repository = self._repository(repo)
        sha = repository.sha(revision)
        siblings = [{"rfilename": path} for path in repository.commits[sha]]
        return as_json({"id": repo, "sha": sha, "private": False, "tags": [], "siblings": siblings})

    def _tree(self, request: Request, repo: str, revision: str, folder: str = "") -> Answer:
        files = self._repository(repo).files(revision)
        listed = {path: file for path, file in files.items() if not folder or path.startswith(f"{folder}/")}
        if folder and not listed:
            raise HubError(HTTPStatus.NOT_FOUND, "EntryNotFound", f"{folder} does not exist on {revision}")
        return as_json([self._entry(path, file) for path, file in listed.items()])

    @staticmethod
    def _entry(path: str, file: StoredFile) -> dict[str, Any]:
        entry = {"type": "file", "path": path, "oid": file.oid, "size": len(file.content)}
        return {**entry, "lfs": {**entry, "pointerSize": 134}} if file.large else entry

    def _refs(self, request: Request, repo: str) -> Answer:
        repository = self._repository(repo)
        kinds = {"branches": ("heads", repository.branches), "tags": ("tags", repository.tags)}
        refs = {
            kind: [{"name": name, "ref": f"refs/{path}/{name}", "targetCommit": sha} for name, sha in named.items()]
            for kind, (path, named) in kinds.items()
        }
        return as_json({**refs, "converts": [], "pullRequests": []})

    def _create_branch(self, request: Request, repo: str, branch: str) -> Answer:
        repository = self._repository(repo)
        if branch in repository.branches:
            raise HubError(HTTPStatus.CONFLICT, "Conflict", f"Reference already exists: {branch}")
        repository.branches[branch] = repository.sha(request.json().get("startingPoint", "main"))
        return as_json({}, HTTPStatus.CREATED)

    def _create_tag(self, request: Request, repo: str, revision: str) -> Answer:
        repository, tag = self._repository(repo), request.json()["tag"]
        if tag in repository.tags:
            raise HubError(HTTPStatus.CONFLICT, "Conflict", f"Tag reference exists already: {tag}")
        repository.tags[tag] = repository.sha(revision)
        return as_json({}, HTTPStatus.CREATED)

    def _preupload(self, request: Request, repo: str, revision: str) -> Answer:
        present = self._repository(repo).files(revision)
        answer = []
        for file in request.json()["files"]:
            path = file["path"]
            mode = "lfs" if path.endswith((".safetensors", ".bin")) else "regular"
            oid = present[path].oid if path in present else None
            answer.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return as_json({"files": answer})

    def _lfs_batch(self, request: Request, repo: str) -> Answer:
        """Say where to put large files, or that they are here already."""
        self._repository(repo)
        objects = []
        for wanted in request.json()["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self._large:
                upload, verify = f"{self.url}/lfs/{wanted['oid']}", f"{self.url}/lfs/verify"
                answer["actions"] = {"upload": {"href": upload}, "verify": {"href": verify}}
            objects.append(answer)
        return as_json({"transfer": "basic", "objects": objects})

    def _lfs_upload(self, request: Request, oid: str) -> Answer:
        if hashlib.sha256(request.body).hexdigest() != oid:
            raise HubError(HTTPStatus.BAD_REQUEST, "BadDigest", "The content does not have the announced SHA-256")
        self._large[oid] = request.body
        return Answer()

    def _lfs_verify(self, request: Request) -> Answer:
        wanted = request.json()
        if len(self._large.get(wanted["oid"], b"")) != wanted["size"]:
            raise HubError(HTTPStatus.NOT_FOUND, "NotFound", f"No upload of {wanted['oid']}")
        return Answer()

    def _commit(self, request: Request, repo: str, revision: str) -> Answer:
        """Change a branch by all of the operations, or, when one of them fails, by none."""
        repository = self._repository(repo)
        files = dict(repository.files(revision))
        for line in request.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            match operation["key"]:
                case "file":
                    files[value["path"]] = StoredFile(base64.b64decode(value["content"]), large=False)
                case "lfsFile":
                    if value["oid"] not in self._large:
                        raise HubError(HTTPStatus.BAD_REQUEST, "LfsMissing", f"{value['path']} was not uploaded")
                    files[value["path"]] = StoredFile(self._large[value["oid"]], large=True)
                case "deletedFile":
                    del files[value["path"]]
        sha = repository.commit(revision, files)
        return as_json({"commitOid": sha, "commitUrl": f"{self.url}/{repo}/commit/{sha}"})

    def _resolve(self, request: Request, repo: str, revision: str, path: str) -> Answer:
        """The content of a file or, where a range is asked for, the part from its first byte on."""
        repository = self._repository(repo)
        sha = repository.sha(revision)
        header = {"X-Repo-Commit": sha}
        if path not in repository.commits[sha]:
            raise HubError(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found", **header)
        file = repository.commits[sha][path]
        header |= {"ETag": f'"{file.oid}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-", request.header.get("Range", ""))
        if wanted is None:
            return Answer(file.content, header=header)
        first, size = int(wanted[1]), len(file.content)
        header["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        return Answer(file.content[first:], HTTPStatus.PARTIAL_CONTENT, header)


REPO = "(?P<repo>[^/]+/[^/]+)"
REVISION = "(?P<revision>[^/]+)"
# Slashes within a revision or a folder come as %2F, those within the path of a file as they are.
ROUTES: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("POST", "/api/repos/create", HubServer._create),
    ("POST", "/api/validate-yaml", HubServer._validate_card),
    ("GET", f"/api/models/{REPO}", HubServer._info),
    ("GET", f"/api/models/{REPO}/revision/{REVISION}", HubServer._info),
    ("GET", f"/api/models/{REPO}/tree/{REVISION}", HubServer._tree),
    ("GET", f"/api/models/{REPO}/tree/{REVISION}/(?P<folder>[^/]+)", HubServer._tree),
    ("GET", f"/api/models/{REPO}/refs", HubServer._refs),
    ("POST", f"/api/models/{REPO}/branch/(?P<branch>[^/]+)", HubServer._create_branch),
    ("POST", f"/api/models/{REPO}/tag/{REVISION}", HubServer._create_tag),
    ("POST", f"/api/models/{REPO}/preupload/{REVISION}", HubServer._preupload),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", HubServer._lfs_batch),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", HubServer._lfs_upload),
    ("POST", "/lfs/verify", HubServer._lfs_verify),
    ("POST", f"/api/models/{REPO}/commit/{REVISION}", HubServer._commit),
    ("HEAD GET", f"/{REPO}/resolve/{REVISION}/(?P<path>.+)", HubServer._resolve),
)


class Connection(BaseHTTPRequestHandler):
    """One request: in HTTP/1.0 a connection carries no more, so that none outlives the server."""

    def __init__(self, hub: HubServer, *args: Any) -> None:
        self.hub = hub
        super().__init__(*args)

    def handle(self) -> None:
        """Read the request and send the answer, or fail as was asked for."""
        self.raw_requestline = self.rfile.readline()
        if not self.parse_request():
            return
        fault = self.hub.fault_of(self.command, self.path)
        length = int(self.headers.get("Content-Length", 0))
        if fault == "hang up":
            self.rfile.read(length // 2)
            return
        request = Request(self.command, self.path, dict(self.headers), self.rfile.read(length))
        answer = Answer(status=HTTPStatus.SERVICE_UNAVAILABLE) if fault == "unavailable" else self.hub.answer(request)
        sent = answer.body[: len(answer.body) // 2] if fault in ("cut", "short") else answer.body
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(sent if fault == "short" else answer.body)))
        for name, value in answer.header.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sent)

    def log_message(self, *args: Any) -> None:
        """Say nothing: `BaseHTTPRequestHandler` would write a line for each request."""
