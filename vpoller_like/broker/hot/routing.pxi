@cython.final
cdef class Ring:
    """Workers in the order of their turns, in a chain. It holds none: who goes leaves it."""

    cdef void *first
    cdef void *last

    cdef void add(self, Worker worker) noexcept:
        if worker.ring == <void *>self:
            return
        leave_ring(worker)
        worker.ring = <void *>self
        worker.after = NULL
        worker.before = self.last
        if self.last != NULL:
            (<Worker>self.last).after = <void *>worker
        else:
            self.first = <void *>worker
        self.last = <void *>worker

    cdef Worker turn(self):
        cdef Worker worker = <Worker>self.first
        if self.first != self.last:
            leave_ring(worker)
            self.add(worker)
        return worker

    cdef dict names(self):
        cdef void *at = self.first
        found = {}
        while at != NULL:
            found[(<Worker>at).instance] = <Worker>at
            at = (<Worker>at).after
        return found

    def __dealloc__(self):
        while self.first != NULL:
            leave_ring(<Worker>self.first)


cdef void leave_ring(Worker worker) noexcept:
    cdef Ring ring
    if worker.ring == NULL:
        return
    ring = <Ring>worker.ring
    if worker.before != NULL:
        (<Worker>worker.before).after = worker.after
    else:
        ring.first = worker.after
    if worker.after != NULL:
        (<Worker>worker.after).before = worker.before
    else:
        ring.last = worker.before
    worker.before = worker.after = worker.ring = NULL


@cython.final
cdef class Pool:
    cdef readonly object signature, offers
    cdef readonly dict methods, workers
    cdef readonly long slots
    cdef readonly object quick, careful
    cdef Ring free, spare
    cdef Worker _last
    cdef set _retry_safe
    cdef dict _hosts
    cdef bint _careful_next

    def __init__(self, signature, offers):
        self.signature = signature
        self.offers = offers
        self.methods = {}
        self.workers = {}
        self.free = Ring.__new__(Ring)
        self.spare = Ring.__new__(Ring)
        self.quick = OrderedDict()
        self.careful = OrderedDict()
        self._hosts = {}
        for offer in offers:
            for method in offer.methods:
                self._add(method, offer.hosts)
        self._retry_safe = {
            name for name, method in self.methods.items() if method.retry_safe
        }

    def _add(self, method, hosts):
        known = self._hosts.get(method.name, set())
        self._hosts[method.name] = None if hosts is None or known is None else known | {*hosts}
        known_method = self.methods.get(method.name, method)
        self.methods[method.name] = method if known_method.retry_safe else known_method

    def serves(self, method, hostname):
        if method not in self.methods:
            return False
        hosts = self._hosts[method]
        return hostname is None or hosts is None or hostname in hosts

    def hosts(self, method):
        return self._hosts.get(method, set())

    @property
    def _free(self):
        return self.free.names()

    @property
    def _spare(self):
        return self.spare.names()

    cpdef void place(self, Worker worker) except *:
        cdef Py_ssize_t free
        if worker.slots != worker.placed_slots:
            self.slots += worker.slots - worker.placed_slots
            worker.placed_slots = worker.slots
        free = worker.slots - len(worker.tasks)
        if worker.draining:
            self._take_out(worker)
        elif free > 0:
            self.free.add(worker)
        elif free + worker.ahead > 0:
            self.spare.add(worker)
        else:
            self._take_out(worker)

    cdef void _take_out(self, Worker worker) noexcept:
        if worker.ring == <void *>self.free or worker.ring == <void *>self.spare:
            leave_ring(worker)

    cpdef Worker find(self, method, double pace):
        cdef Worker last = self._last
        if last is not None and last.giving is not None and pace:
            if last.giving.count * pace < SPELL and has_room(last) and method in self._retry_safe:
                return last
        if self.free.first != NULL:
            self._last = self.free.turn()
        elif self.spare.first != NULL and method in self._retry_safe:
            self._last = self.spare.turn()
        else:
            return None
        return self._last

    cpdef void wait(self, Route route) except *:
        if route.method in self._retry_safe:
            self.quick[route] = None
        else:
            self.careful[route] = None

    cpdef void forget(self, Route route) except *:
        self.quick.pop(route, None)
        self.careful.pop(route, None)

    cpdef Route next_waiting(self):
        cdef bint is_free = self.free.first != NULL
        if is_free and self.careful and (self._careful_next or not self.quick):
            self._careful_next = False
            return turn(self.careful)
        if self.quick and (is_free or self.spare.first != NULL):
            self._careful_next = True
            return turn(self.quick)
        return None

    def remove(self, Worker worker):
        del self.workers[worker.instance]
        self.slots -= worker.placed_slots
        worker.placed_slots = 0
        self._take_out(worker)
        if self._last is worker:
            self._last = None


cdef bint has_room(Worker worker) noexcept:
    return not worker.draining and worker.slots + worker.ahead > len(worker.tasks)


cdef Route turn(routes):
    cdef Route route = next(iter(routes))
    if len(routes) > 1:
        routes.move_to_end(route)
    return route


@cython.final
cdef class Route:
    cdef readonly str method
    cdef readonly object hostname
    cdef readonly FairQueue queue
    cdef readonly list pools
    cdef public double last_used, pace
    cdef public Py_ssize_t live
    cdef list _ready

    def __init__(self, str method, hostname, double now):
        self.method = method
        self.hostname = hostname
        self.queue = FairQueue()
        self.pools = []
        self.last_used = now
        self._ready = []

    def link(self, Pool pool):
        self.pools.append(pool)
        self._ready.append(pool)

    def unlink(self, Pool pool):
        self.pools.remove(pool)
        pool.forget(self)
        if pool in self._ready:
            self._ready.remove(pool)

    cpdef void ready_again(self, Pool pool) except *:
        pool.forget(self)
        self._ready.append(pool)

    cpdef Worker find(self):
        cdef Pool pool
        cdef Worker worker
        while self._ready:
            pool = self._ready[0]
            worker = pool.find(self.method, self.pace)
            if worker is not None:
                if len(self._ready) > 1:
                    self._ready.append(self._ready.pop(0))
                return worker
            self._ready.pop(0)
            pool.wait(self)
        return None

    @property
    def retry_safe(self):
        return bool(self.pools) and all(self.method in (<Pool>pool)._retry_safe for pool in self.pools)
