cdef class Entrance:
    cdef readonly Flow _dispatcher
    cdef readonly Memory _memory
    cdef readonly dict _routes
    cdef readonly Counters _counters
    cdef readonly double _default_deadline
    cdef readonly object _numbers
    cdef readonly Route _plain_route
    cdef public bint draining
    cdef readonly Task begun

    def __init__(
        self,
        Flow dispatcher,
        Memory memory,
        dict routes,
        Counters counters,
        double default_deadline,
        numbers,
    ):
        self._dispatcher = dispatcher
        self._memory = memory
        self._routes = routes
        self._counters = counters
        self._default_deadline = default_deadline
        self._numbers = numbers
        self._plain_route = Route("(plain)", None, 0.0)

    def request(self, Request event, double now):
        cdef Task task
        self._counters.requests += 1
        self.begun = None
        try:
            key, mark = None, None
            if event.id is not None:
                mark = self.mark(event.body) if event.mark is None else event.mark
                key = new_key(event.principal, event.id)
                if key in self._dispatcher.by_key or self._memory.c_knows(key[0], key[1]):
                    self.repeated(event, key, mark, now)
                    return
            task = self.begun = self._task(event, key, mark, now)
            if task.route is self._plain_route or (
                key is not None
                and (event.age_ms != 0 or event.moved)
                and self.may_have_run(event.head.meta, now)
            ):
                self.seek(task, now)
            else:
                self._dispatcher.c_submit(task, now)
        except _RequestError as error:
            self.refuse(event, error)

    cdef Task _task(self, Request event, tuple key, bytes mark, double now):
        cdef Route route
        cdef Task task
        cdef const unsigned char *text = event.body
        if self.draining:
            raise ShuttingDown("the broker is shutting down; ask again, or ask another broker")
        route = self._routes.get((event.method, event.hostname))
        if route is None or not route.pools:
            route = self.rare_route(event.method, event.hostname or None, now)
        route.last_used = now
        number = next(self._numbers)
        while number in self._dispatcher.live:
            number = next(self._numbers)
        task = Task.__new__(Task)
        task.number = number
        task.route = route
        task.body = event.body
        task.share = event.principal or event.envelope[0]
        task.encoding = _JSON if text[0] == b"{" else _encoding_of(event.body)
        task.arrived = task.given_at = now
        if event.deadline_ms < 0:
            task.deadline = now + self._default_deadline
        else:
            task.deadline = now + event.deadline_ms / 1000
        task.priority = event.priority
        task.key = key
        task.fingerprint = mark
        task.waiters = [event]
        task.state = QUEUED
        return task

    def deadline(self, meta, double now):
        if meta is None:
            return now + self._default_deadline
        limit = meta.deadline_ms
        return now + (self._default_deadline if limit is None else limit / 1000)


cdef tuple new_key(str principal, str id):
    cdef tuple key = (principal, id)
    # As the collector does when it first sees that there are only texts in it. It is kept for long,
    # and what comes before and behind it in the collector's list would be touched when it goes.
    PyObject_GC_UnTrack(<void *>key)
    return key
