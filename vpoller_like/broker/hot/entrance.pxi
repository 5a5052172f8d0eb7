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
            meta = event.head.meta
            key, mark = None, None
            if meta is not None:
                name = meta.id
                if name is not None:
                    key, mark = (event.principal, name), self._mark(event.body)
                    if key in self._dispatcher.by_key or key in self._memory._entries:
                        self.repeated(event, key, mark, now)
                        return
            task = self.begun = self._task(event, meta, key, mark, now)
            if task.route is self._plain_route or (
                key is not None
                and not is_new(meta)
                and self.may_have_run(meta, now)
            ):
                self.seek(task, now)
            else:
                self._dispatcher.c_submit(task, now)
        except _RequestError as error:
            self.refuse(event, error)

    cdef bytes _mark(self, bytes body):
        """Do what ``fingerprint`` does of a request in JSON; leave all others to it."""
        if (<const unsigned char *>body)[0] == b"{":
            try:
                fields = _json_value(body)
                del fields["meta"]
                mark = _new_mark()
                mark.update(_json_sorted(fields))
                return mark.digest()
            except _SPOILED:
                pass
        return self.mark(body)

    cdef Task _task(self, Request event, meta, tuple key, bytes mark, double now):
        cdef Route route
        cdef Task task
        cdef const unsigned char *text = event.body
        if self.draining:
            raise ShuttingDown("the broker is shutting down; ask again, or ask another broker")
        head = event.head
        method, hostname = head.method, head.hostname
        route = self._routes.get((method, hostname))
        if route is None or not route.pools:
            route = self.rare_route(method, hostname or None, now)
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
        if meta is None:
            task.deadline = now + self._default_deadline
            task.priority = DEFAULT_PRIORITY
        else:
            limit = meta.deadline_ms
            task.deadline = now + (self._default_deadline if limit is None else limit / 1000)
            task.priority = meta.priority
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
