@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Request:
    cdef readonly tuple envelope
    cdef readonly bytes body
    cdef readonly object head
    cdef readonly str principal
    cdef readonly object index

    def __init__(self, tuple envelope, bytes body, head, str principal="", index=None):
        self.envelope = envelope
        self.body = body
        self.head = head
        self.principal = principal
        self.index = index

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
    cdef readonly object message
    cdef readonly str key

    def __init__(self, bytes peer, message, str key=""):
        self.peer = peer
        self.message = message
        self.key = key

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
    cdef readonly list items

    def __init__(self, bytes peer, session, list items):
        self.peer = peer
        self.session = session
        self.items = items

    cdef tuple _fields(self):
        return (self.peer, self.session, self.items)

    def __eq__(self, other):
        if type(other) is not Give:
            return NotImplemented
        return self._fields() == (<Give>other)._fields()

    def __repr__(self):
        return f"Give(peer={self.peer!r}, session={self.session!r}, items={self.items!r})"
