# cython: language_level=3, wraparound=False, nonecheck=True
# cython: auto_pickle=False, always_allow_keywords=True
"""What each request goes through to be run by an agent, in C.

Each class here does what the class of the same name does that is written in Python, to the letter;
read that one for the what and the why. See ``compiled.py``.
"""

import msgspec

from vpoller_like.agent.answer import Answer
from vpoller_like.agent.helpers import PARAMETER as _PARAMETER
from vpoller_like.agent.outcome import Outcome, refused, too_large
from vpoller_like.agent.results import unwritable
from vpoller_like.agent.secrets import is_telltale
from vpoller_like.errors import VPollerError
from vpoller_like.protocol.encoding import DECODE_FAULTS as _DECODE_FAULTS
from vpoller_like.protocol.encoding import JSON as _JSON
from vpoller_like.protocol.encoding import decode_object, encoding_of
from vpoller_like.protocol.limits import (
    MAX_HOSTNAME as _MAX_HOSTNAME,
    MAX_ID as _MAX_ID,
    MAX_MILLISECONDS as _MAX_MILLISECONDS,
)
from vpoller_like.protocol.limits import MAX_REPLY as _MAX_REPLY
from vpoller_like.protocol.reply import SUCCESS as _SUCCESS
from vpoller_like.protocol.reply import Success, success
from vpoller_like.protocol.request import Meta

#: See compiled.py, which takes no other one.
INTERFACE = 1

cdef object _convert = msgspec.convert
cdef object _json_decode = msgspec.json.Decoder().decode
cdef object _JSONEncoder = msgspec.json.Encoder
cdef object _ValidationError = msgspec.ValidationError
cdef object _Answer = Answer
cdef object _Meta = Meta
cdef object _Outcome = Outcome
cdef object _Success = Success
cdef object _VPollerError = VPollerError
cdef object _decode_object = decode_object
cdef object _encoding_of = encoding_of
cdef object _is_telltale = is_telltale
cdef object _refused = refused
cdef object _success = success
cdef object _too_large = too_large
cdef object _unwritable = unwritable
cdef object JSON = _JSON
cdef object MAX_REPLY = _MAX_REPLY
cdef object SUCCESS = _SUCCESS
cdef str PARAMETER = _PARAMETER
cdef tuple DECODE_FAULTS = _DECODE_FAULTS
cdef tuple UNREADABLE = (msgspec.ValidationError, OverflowError, RecursionError)
#: What is no Answer: to be told so by that class itself takes longer than to write most of them.
cdef frozenset PLAIN = frozenset([str, int, float, bool, list, tuple, dict, type(None)])
cdef Py_ssize_t MAX_HOSTNAME = _MAX_HOSTNAME
cdef Py_ssize_t MAX_ID = _MAX_ID
cdef double MAX_MILLISECONDS = _MAX_MILLISECONDS
cdef unsigned char BRACE = ord("{")


cdef class Reader:
    cdef readonly frozenset harmless, secret
    cdef readonly object _struct, _prepare
    cdef bint _reads_keys
    cdef frozenset _keeps_null

    def __init__(
        self,
        frozenset harmless not None,
        frozenset secret not None,
        struct=None,
        prepare=None,
        bint reads_keys=False,
        frozenset keeps_null not None=frozenset(),
    ):
        self.harmless = harmless
        self.secret = secret
        self._struct = struct
        self._prepare = prepare
        self._reads_keys = reads_keys
        self._keeps_null = keeps_null

    def read(self, given):
        return self._read(given)

    cdef object _read(self, given):
        if self._struct is None:
            return given
        if self._prepare is not None:
            given = self._prepare(given)
        if _has_null(given):
            given = {
                key: value
                for key, value in given.items()
                if value is not None or key in self._keeps_null
            }
        try:
            if self._reads_keys:
                return _convert(given, self._struct, str_keys=True)
            return _convert(given, self._struct)
        except UNREADABLE as error:
            raise self._invalid(error) from None

    # Whether there is nothing that keeps a request with ``params`` from its usual way.
    cdef bint _is_harmless(self, params) except -1:
        if type(params) is not dict:
            return self.harmless.issuperset(params)
        for key in <dict>params:
            if key in self.harmless:
                continue
            if type(key) is not str or key == PARAMETER or key in self.secret:
                return False
            if _is_telltale(key):
                return False
        return True


cdef bint _has_null(given) except -1:
    if type(given) is not dict:
        return None in given.values()
    for value in (<dict>given).values():
        if value is None:
            return True
    return False


cdef class Writer:
    cdef object _hook, _write_json

    def __init__(self, hook):
        self._hook = hook
        self._write_json = _JSONEncoder(enc_hook=hook).encode

    def write(self, result, msg, encoding):
        return self._write(result, msg, encoding)

    cdef object _write(self, result, msg, encoding):
        try:
            if encoding is JSON:
                return self._write_json(_Success(SUCCESS, msg, result))
            return _success(result, msg, encoding, self._hook)
        except Exception as error:
            raise _unwritable(result, encoding, self._hook, error) from error


cdef class Calling:
    cdef public object task, agent
    cdef public Reader _schema
    cdef public Writer _writer

    def __init__(self, task, agent):
        self.task = task
        self.agent = agent

    def run(self, params, encoding=JSON, max_reply=MAX_REPLY, bare=False):
        return self._run(params, encoding, max_reply, bare)

    cdef object _run(self, params, encoding, max_reply, bare):
        cdef Reader schema = self._schema
        if schema is None:
            schema = self._make_ready()
        if not schema._is_harmless(params):
            return self._run_warily(schema, params, encoding, max_reply, bare)
        return self._limited(max_reply, self._call(schema, params, encoding, ()), encoding)

    def _within(self, limit, outcome, encoding):
        return self._limited(limit, outcome, encoding)

    cdef object _limited(self, limit, outcome, encoding):
        size = len(outcome.body)
        return outcome if size <= limit else _too_large(size, self.task.name, encoding, limit)

    def _outcome(self, Reader schema not None, params, encoding, secrets):
        return self._call(schema, params, encoding, secrets)

    cdef object _call(self, Reader schema, params, encoding, secrets):
        cdef Writer writer
        task = self.task
        try:
            result = task.function(self.agent, schema._read(params))
            msg = task.msg
            if type(result) not in PLAIN and isinstance(result, _Answer):
                result, msg = result.result, result.msg
            # Held while it writes: another thread may get ready, too, and put its own in its place.
            writer = self._writer
            return _Outcome("", writer._write(result, msg, encoding))
        except BaseException as error:
            return self._failed(error, schema, params, encoding, secrets)


cdef class Desk:
    cdef public dict _routes

    def __init__(self):
        self._routes = {}

    def execute(self, body, max_reply=MAX_REPLY):
        cdef dict fields
        cdef bint is_json = _is_object(body)
        encoding = JSON if is_json else _encoding_of(body)
        try:
            fields = _decoded(body) if is_json else _decode_object(body)
            bare = PARAMETER in fields and fields.get("meta") is None
            bound = self._take(fields, is_json)
        except _VPollerError as error:
            return _refused(error, encoding)
        if isinstance(bound, Calling):
            return (<Calling>bound)._run(fields, encoding, max_reply, bare)
        return bound.run(fields, encoding, max_reply, bare)

    def _take_head(self, dict fields not None):
        return self._take(fields, False)

    # ``is_json``: the keys of ``fields`` are texts, all of them.
    cdef object _take(self, dict fields, bint is_json):
        method = fields.get("method")
        route = self._routes.get(method) if type(method) is str else None
        if route is None:
            return self._take_any_head(fields)
        has_meta, has_hostname = "meta" in fields, "hostname" in fields
        if not has_meta and not has_hostname:
            del fields["method"]
            return route.usual or route.pick(None)
        hostname = fields.get("hostname")
        if not (is_json and _is_hostname(hostname) and _is_meta(fields.get("meta"))):
            return self._take_any_head(fields)
        del fields["method"]
        if has_meta:
            del fields["meta"]
        if has_hostname:
            del fields["hostname"]
        return route.pick(hostname)


# Whether ``body`` can be nothing but an object in JSON.
cdef bint _is_object(body):
    return type(body) is bytes and len(<bytes>body) > 0 and (<bytes>body)[0] == BRACE


cdef object _decoded(body):
    try:
        return _json_decode(body)
    except DECODE_FAULTS:
        return _decode_object(body)  # It says what is wrong.


cdef bint _is_hostname(hostname):
    return hostname is None or (type(hostname) is str and len(<str>hostname) <= MAX_HOSTNAME)


cdef bint _is_meta(meta) except -1:
    if meta is None or (type(meta) is dict and _is_plain_meta(<dict>meta)):
        return True
    try:
        _convert(meta, _Meta)
        return True
    except _ValidationError:
        return False


# Whether there is nothing in ``meta`` but what can be right at a glance, and is.
cdef bint _is_plain_meta(dict meta) except -1:
    for key, value in meta.items():
        if type(key) is not str:
            return False
        if key == "id":
            if type(value) is not str or not 0 < len(<str>value) <= MAX_ID:
                return False
        elif key == "age_ms" or key == "deadline_ms":
            if type(value) is not int and type(value) is not float:
                return False
            if not 0 <= value <= MAX_MILLISECONDS:
                return False
        elif key == "priority":
            if type(value) is not int or not 0 <= value <= 9:
                return False
        elif key != "moved" or (value is not True and value is not False):
            return False
    return True
