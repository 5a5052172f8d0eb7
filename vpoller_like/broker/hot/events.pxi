@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Request:
    cdef readonly tuple envelope
    cdef readonly bytes body
    cdef readonly str principal
    cdef readonly object index
    # What is read of the head. Milliseconds are below zero where they are not given.
    cdef str method, id
    cdef object hostname
    cdef bint has_meta, moved
    cdef double age_ms, deadline_ms
    cdef long priority
    # The fingerprint, if it was taken when this was read.
    cdef readonly bytes mark
    # The head, once somebody has asked for it.
    cdef object _head

    def __init__(self, tuple envelope, bytes body, head, str principal="", index=None):
        self.envelope = envelope
        self.body = body
        self.principal = principal
        self.index = index
        self.take_head(head)

    cdef int take_head(self, head) except -1:
        self._head = head
        self.method, self.hostname = head.method, head.hostname
        self.age_ms = self.deadline_ms = -1
        self.priority = DEFAULT_PRIORITY
        meta = head.meta
        if meta is None:
            return 0
        self.has_meta = True
        self.id, self.moved, self.priority = meta.id, meta.moved, meta.priority
        if meta.age_ms is not None:
            self.age_ms = meta.age_ms
        if meta.deadline_ms is not None:
            self.deadline_ms = meta.deadline_ms
        return 0

    cdef int take_scan(self, const Scan *scan, const unsigned char *text) except -1:
        """Take what ``scan`` has read, and written at ``text``."""
        self.method = kept_text(&scan.method)
        self.hostname = None if scan.hostname.start == NULL else kept_text(&scan.hostname)
        self.has_meta, self.moved = scan.has_meta, scan.moved
        self.age_ms, self.deadline_ms = scan.age_ms, scan.deadline_ms
        self.priority = scan.priority
        if scan.id.start != NULL:
            # First of all: what follows may let another thread run, which writes there, too.
            whole = PyBytes_FromStringAndSize(<const char *>text, scan.out - text)
            self.id = new_text(&scan.id)
            mark = _new_mark()
            mark.update(whole)
            self.mark = mark.digest()
        return 0

    @property
    def head(self):
        if self._head is None:
            self._head = _json_head(self.body)
        return self._head

    @property
    def share(self):
        return self.principal or self.envelope[0]

    def without_body(self):
        return Request(self.envelope, b"", self.head, self.principal, self.index)

    cdef tuple _fields(self):
        return (self.envelope, self.body, self.head, self.principal, self.index)

    def __eq__(self, other):
        if type(other) is not Request:
            return NotImplemented
        return self._fields() == (<Request>other)._fields()

    def __hash__(self):
        return hash(self._fields())

    def __repr__(self):
        return (
            f"Request(envelope={self.envelope!r}, body={self.body!r}, head={self.head!r}, "
            f"principal={self.principal!r}, index={self.index!r})"
        )


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class WorkerSays:
    cdef readonly bytes peer
    cdef readonly str key
    # What it says, or, where that was read here, its frame and what is in it.
    cdef object _message
    cdef bytes frame
    cdef Answers answers

    def __init__(self, bytes peer, message, str key=""):
        self.peer = peer
        self._message = message
        self.key = key

    @property
    def message(self):
        if self.answers is not None and self._message is None:
            self._message = _read_results(self.frame)
        return self._message

    cdef tuple _fields(self):
        return (self.peer, self.message, self.key)

    def __eq__(self, other):
        if type(other) is not WorkerSays:
            return NotImplemented
        return self._fields() == (<WorkerSays>other)._fields()

    def __hash__(self):
        return hash(self._fields())

    def __repr__(self):
        return f"WorkerSays(peer={self.peer!r}, message={self.message!r}, key={self.key!r})"


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Reply:
    cdef readonly tuple envelope
    cdef readonly bytes body
    cdef readonly object index

    def __init__(self, tuple envelope, bytes body, index=None):
        self.envelope = envelope
        self.body = body
        self.index = index

    cdef tuple _fields(self):
        return (self.envelope, self.body, self.index)

    def __eq__(self, other):
        if type(other) is not Reply:
            return NotImplemented
        return self._fields() == (<Reply>other)._fields()

    def __hash__(self):
        return hash(self._fields())

    def __repr__(self):
        return f"Reply(envelope={self.envelope!r}, body={self.body!r}, index={self.index!r})"


cdef Reply new_reply(tuple envelope, bytes body, index):
    cdef Reply reply = Reply.__new__(Reply)
    reply.envelope = envelope
    reply.body = body
    reply.index = index
    return reply


@cython.final
@cython.no_gc
cdef class Give:
    cdef readonly bytes peer
    cdef readonly object session
    cdef Pack pack

    def __init__(self, bytes peer, session, list items):
        self.peer = peer
        self.session = session
        self.pack = Pack.__new__(Pack)
        self.pack.add_items(items)

    @property
    def items(self):
        return self.pack.items()

    cdef tuple _fields(self):
        return (self.peer, self.session, self.items)

    def __eq__(self, other):
        if type(other) is not Give:
            return NotImplemented
        return self._fields() == (<Give>other)._fields()

    def __repr__(self):
        return f"Give(peer={self.peer!r}, session={self.session!r}, items={self.items!r})"


cdef Give new_give(bytes peer, session, Pack pack):
    cdef Give give = Give.__new__(Give)
    give.peer = peer
    give.session = session
    give.pack = pack
    return give
