cdef class Standing:
    cdef readonly long index
    cdef readonly Outbox outbox
    cdef public object session, max_reply
    cdef public bint welcomed
    cdef public Grant told
    cdef public double _told_at, _hello_due, _beat_due, heard_at, _liveness

    def __init__(self, long index):
        self.index = index
        self.outbox = Outbox()
        self.session = 0
        self.welcomed = False
        self.told = NOTHING
        self._told_at = -NEVER
        self._hello_due = -NEVER
        self._beat_due = -NEVER
        self.heard_at = -NEVER
        self._liveness = LIVENESS
        self.max_reply = MAX_REPLY

    cpdef bint tell(self, Grant grant, double now) except -1:
        cdef Grant told = self.told
        self.told = grant
        self._told_at = now
        return _is_news(told, grant)

    @property
    def next_tell(self):
        return self._told_at + GRANT_PAUSE

    cpdef double next_due(self) except? -1:
        if not self.welcomed:
            return self._hello_due
        return min(self.heard_at + self._liveness, self._beat_due)
