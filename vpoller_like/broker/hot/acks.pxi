@cython.final
cdef class Acks:
    # By the worker's instance.
    cdef dict _later
    cdef dict _next
    cdef bint _hurried

    def __init__(self):
        self._later = {}
        self._next = {}
        self._hurried = False

    def __bool__(self):
        return bool(self._later or self._next)

    cpdef int owe(self, Worker worker, long long seq, Py_ssize_t size, double now) except -1:
        worker.ack = seq
        name = worker.instance
        if seq - worker.acked >= MANY or size > LARGE or worker.draining or self._hurried:
            self._next[name] = worker
        elif name not in self._later:
            worker.ack_due = now + PATIENCE
            self._later[name] = worker
        return 0

    def hasten(self, Worker worker):
        if worker.instance in self._later:
            self._next[worker.instance] = worker

    def hurry(self):
        self._hurried = True
        self._next.update(self._later)

    def forget(self, Worker worker):
        self._later.pop(worker.instance, None)
        self._next.pop(worker.instance, None)

    def take(self, double now):
        cdef Worker worker
        for worker in self._next.values():
            self._later.pop(worker.instance, None)
            if worker.ack != worker.acked:
                worker.acked = worker.ack
                yield worker
        self._next.clear()
        while self._later:
            worker = next(iter(self._later.values()))
            if worker.ack_due > now:
                return
            del self._later[worker.instance]
            if worker.ack != worker.acked:
                worker.acked = worker.ack
                yield worker
