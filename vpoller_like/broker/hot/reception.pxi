cdef class Reception:
    cdef readonly Flow _dispatcher
    cdef readonly dict _by_peer
    cdef readonly Acks _acks

    def __init__(self, Flow dispatcher):
        self._dispatcher = dispatcher
        self._by_peer = {}
        self._acks = Acks()

    def says(self, WorkerSays event, double now):
        cdef Worker worker = None
        cdef Answers answers = event.answers
        message = None if answers is not None else event.message
        kind = _Results if answers is not None else type(message)
        if kind is not _Hello:
            worker = self._by_peer.get(event.peer)
        if worker is None or worker.key != event.key:
            self.introduced(event, now)
            return
        if not worker.stale:
            worker.last_heard = now
        if kind is _Results:
            self.c_results(worker, answers_of(message) if answers is None else answers, now)
        elif kind is _Heartbeat:
            self._grant(worker, message.slots, message.ahead, now)
        else:
            self.unusual(worker, message, now)

    cdef int c_results(self, Worker worker, Answers answers, double now) except -1:
        cdef list items = answers.items
        cdef Py_ssize_t count = len(items)
        cdef Py_ssize_t last = len((<Answer>items[count - 1]).body) if count else 0
        self._acks.owe(worker, answers.seq, last, now)
        self._dispatcher.c_results(worker, items, now)
        self._grant(worker, answers.slots, answers.ahead, now)
        return 0

    cpdef int _grant(self, Worker worker, long slots, long ahead, double now) except -1:
        cdef Pool pool = worker.pool
        worker.slots = slots
        worker.ahead = ahead
        pool.place(worker)
        if pool.quick or pool.careful:
            self._dispatcher.c_serve(pool, now)
        return 0
