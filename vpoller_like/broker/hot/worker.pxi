@cython.final
cdef class Worker:
    cdef readonly object instance
    cdef public str key, label
    cdef readonly dict tasks
    cdef public long long done, returned
    cdef public long slots, ahead, placed_slots
    cdef public bytes peer
    cdef public object pid, session
    cdef public Pool pool
    cdef public bint draining, stale
    # What it is given in this round.
    cdef Pack giving
    cdef public long long ack, acked
    cdef public double ack_due, last_heard
    # Where it is among those of its pool that have room: the ones before and behind it.
    cdef void *ring
    cdef void *before
    cdef void *after

    def __init__(self, bytes peer, hello, Pool pool, double now):
        self.instance = hello.instance
        self.key = ""
        self.tasks = {}
        self.greet(peer, hello, pool, now)

    def __dealloc__(self):
        leave_ring(self)

    def greet(self, bytes peer, hello, Pool pool, double now):
        self.peer = peer
        self.label = hello.label
        self.pid = hello.pid
        self.session = hello.session
        self.slots = hello.slots
        self.ahead = hello.ahead
        self.pool = pool
        self.draining = False
        self.giving = None
        self.stale = False
        self.ack = self.acked = 0
        self.ack_due = 0.0
        self.last_heard = now

    @property
    def free_slots(self):
        return 0 if self.draining else self.slots - len(self.tasks)

    @property
    def room(self):
        return 0 if self.draining else self.slots + self.ahead - len(self.tasks)
