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
        cdef list items
        message = event.message
        kind = type(message)
        if kind is not _Hello:
            worker = self._by_peer.get(event.peer)
        if worker is None or worker.key != event.key:
            self.introduced(event, now)
            return
        if not worker.stale:
            worker.last_heard = now
        if kind is _Results:
            items = message.items
            self._acks.owe(worker, message.seq, len(items[len(items) - 1].body) if items else 0, now)
            self._dispatcher.c_results(worker, items, now)
            self._grant(worker, message.slots, message.ahead, now)
        elif kind is _Heartbeat:
            self._grant(worker, message.slots, message.ahead, now)
        else:
            self.unusual(worker, message, now)

    cpdef int _grant(self, Worker worker, long slots, long ahead, double now) except -1:
        cdef Pool pool = worker.pool
        worker.slots = slots
        worker.ahead = ahead
        pool.place(worker)
        if pool.quick or pool.careful:
            self._dispatcher.c_serve(pool, now)
        return 0
