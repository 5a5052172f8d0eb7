@cython.final
@cython.no_gc
@cython.freelist(1024)
cdef class Task:
    cdef public object number
    cdef public Route route
    cdef public bytes body
    cdef public object share
    cdef public object encoding
    cdef public double arrived, deadline, given_at
    cdef public long priority, attempt, losses
    cdef public tuple key
    cdef public bytes fingerprint
    cdef public list waiters
    cdef public object state
    cdef public Worker worker
    # Those before and behind it in its line, and the line.
    cdef void *ahead
    cdef void *behind
    cdef void *line
    # The same in its bucket of the timetable.
    cdef void *sooner
    cdef void *later
    cdef void *bucket

    def __init__(
        self,
        number,
        Route route,
        bytes body,
        share,
        encoding,
        double arrived,
        double deadline,
        long priority,
        tuple key=None,
        bytes fingerprint=None,
        list waiters=None,
        state=QUEUED,
        Worker worker=None,
        double given_at=0.0,
    ):
        self.number = number
        self.route = route
        self.body = body
        self.share = share
        self.encoding = encoding
        self.arrived = arrived
        self.deadline = deadline
        self.priority = priority
        self.key = key
        self.fingerprint = fingerprint
        self.waiters = [] if waiters is None else waiters
        self.state = state
        self.worker = worker
        self.given_at = given_at

    @property
    def slot(self):
        return 0 if self.bucket == NULL else (<Bucket>self.bucket).slot

    @property
    def fate(self):
        return "a worker that was lost may have run it" if self.losses else "it has not run"
