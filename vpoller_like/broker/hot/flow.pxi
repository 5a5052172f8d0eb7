cdef class Flow:
    cdef readonly Py_ssize_t _max_reply, _queue_length
    cdef readonly Quota quota
    cdef readonly Memory _memory
    cdef readonly Counters _counters
    cdef readonly list _out, giving
    cdef readonly dict live, by_key
    cdef readonly Timetable timetable
    cdef readonly Py_ssize_t queued, queued_bytes, longest_queue

    def __init__(self, settings, Memory memory, Counters counters, list out):
        self._max_reply = settings.max_reply
        self._queue_length = settings.queue_length
        self.quota = Quota(settings.max_in_flight, settings.queue_bytes)
        self._memory = memory
        self._counters = counters
        self._out = out
        self.giving = []
        self.live = {}
        self.by_key = {}
        self.timetable = Timetable()

    # Accepting

    cdef void c_open(self, Task task) except *:
        if task.waiters and not self.quota.take(task.share):
            raise self.over_quota(task.route)
        self.live[task.number] = task
        task.route.live += 1
        if task.key is not None:
            self.by_key[task.key] = task

    cdef void c_submit(self, Task task, double now) except *:
        cdef Route route = task.route
        cdef Worker worker = None
        if not route.queue.size:
            worker = route.find()
        if worker is None:
            self.c_require_room(route, task.share, size_of(task))
        self.c_open(task)
        if worker is None:
            self.c_enqueue(task)
        else:
            self.c_give(worker, task, now)

    cdef void c_require_room(self, Route route, share, Py_ssize_t size) except *:
        if route.queue.size >= self._queue_length:
            raise self.queue_is_full(route)
        if not self.quota.has_room(share, size + WAITING_BYTES):
            raise self.no_bytes_left(route)

    # Queueing

    cdef void c_enqueue(self, Task task, bint front=False) except *:
        cdef FairQueue queue = task.route.queue
        cdef Py_ssize_t size = size_of(task)
        task.state = QUEUED
        task.worker = None
        if front:
            queue.push_front(task)
        else:
            queue.push(task)
        self.queued += 1
        self.queued_bytes += size
        self.quota.hold(task.share, WAITING_BYTES + size)
        if queue.size > self.longest_queue:
            self.longest_queue = queue.size
        self.timetable.set(task, task.deadline)

    cdef void c_left_queue(self, Task task) except *:
        cdef Py_ssize_t size = size_of(task)
        self.queued -= 1
        self.queued_bytes -= size
        self.quota.release(task.share, WAITING_BYTES + size)
        self.timetable.cancel_task(task)

    # Giving

    cdef void c_serve(self, Pool pool, double now) except *:
        cdef Route route
        cdef Worker worker
        cdef bint alone
        while True:
            route = pool.next_waiting()
            if route is None:
                return
            if not route.queue.size:
                route.ready_again(pool)
                continue
            worker = pool.find(route.method, route.pace)
            assert worker is not None, "a route is named only where there is room for it"
            self._give_next(worker, route, now)
            alone = len(pool.quick) + len(pool.careful) == 1
            while alone and route.queue.size:
                worker = pool.find(route.method, route.pace)
                if worker is None:
                    break
                self._give_next(worker, route, now)

    cdef void c_serve_route(self, Route route, double now) except *:
        cdef Worker worker
        while route.queue.size:
            worker = route.find()
            if worker is None:
                return
            self._give_next(worker, route, now)

    cdef void _give_next(self, Worker worker, Route route, double now) except *:
        cdef Task task = route.queue.pop(now)
        self.c_left_queue(task)
        if task.deadline < now:
            self.too_late(task, now)
        else:
            self.c_give(worker, task, now)

    cdef void c_give(self, Worker worker, Task task, double now) except *:
        cdef Route route = task.route
        cdef Py_ssize_t free
        cdef Pack pack = worker.giving
        task.state = RUNNING
        task.worker = worker
        task.attempt += 1
        task.given_at = now
        worker.tasks[task.number] = task
        free = worker.slots - len(worker.tasks)
        if not free or not free + worker.ahead:
            worker.pool.place(worker)
        if task.key is None:
            principal, name = "", None
        else:
            principal, name = task.key
        if pack is None:
            pack = Pack.__new__(Pack)
        pack.add(
            task.number,
            task.attempt,
            route.method,
            route.hostname,
            principal,
            name,
            task.fingerprint,
            task.body,
        )
        if worker.giving is None:
            worker.giving = pack
            self.giving.append(worker)
            self._out.append(new_give(worker.peer, worker.session, pack))

    cdef void c_end_round(self) except *:
        cdef Worker worker
        for worker in self.giving:
            worker.giving = None
        self.giving.clear()

    # Ending

    cdef int c_results(self, Worker worker, list items, double now) except -1:
        cdef Task task
        cdef Answer item
        for item in items:
            task = worker.tasks.get(item.task)
            if task is None or task.attempt != item.attempt:
                self._counters.late_results += 1
                continue
            worker.done += 1
            self.c_result(task, item, now)
        return 0

    cdef void c_result(self, Task task, Answer item, double now) except *:
        cdef bytes body = item.body
        cdef Py_ssize_t size = len(body)
        cdef long long ran_us = item.ran_us
        cdef Route route = task.route
        cdef const unsigned char *text = body
        route.pace += (ran_us / 1e6 - route.pace) / 8
        if task.body is None:
            task.encoding = _encoding_of(body)
        if size > self._max_reply and self.is_too_large(task, body, now):
            return
        if (
            task.encoding is _JSON and size and text[0] == b"{" and text[size - 1] == b"}"
        ) or _is_envelope(body, task.encoding):
            self.c_finish(task, item.code, body, now, ran_us)
        else:
            self.without_envelope(task, item, now)

    cdef void c_finish(self, Task task, str code, bytes body, double now, long long ran_us) except *:
        cdef Request waiter
        cdef Told told
        label = None if task.worker is None else task.worker.label
        id = None if task.key is None else task.key[1]
        tell(task, ran_us, &told)
        if task.key is not None and code in REMEMBERED:
            self._memory.c_put(task, body, label, &told, now)
        for waiter in task.waiters:
            if not waiter.has_meta and waiter.index is None:
                self.c_send(waiter, body)
                continue
            answer = whole_of(waiter, body, task.encoding)
            if waiter.has_meta:
                answer = with_told(answer, id, label, &told, task.encoding)
            self.c_send(waiter, answer)
        self.c_close(task)

    cdef void c_send(self, Request waiter, bytes body) except *:
        self._counters.replies += 1
        self._out.append(new_reply(waiter.envelope, body, waiter.index))

    cdef void c_close(self, Task task) except *:
        cdef Request waiter
        cdef Worker worker = task.worker
        number = task.number
        task.state = DONE
        task.route.live -= 1
        del self.live[number]
        if task.key is not None:
            del self.by_key[task.key]
        self.timetable.cancel_task(task)
        if worker is not None:
            worker.tasks.pop(number, None)
            task.worker = None
        for waiter in task.waiters:
            self.quota.give_back(waiter.principal or waiter.envelope[0])
        task.waiters = []
        task.body = None

    # For Python

    def open(self, Task task):
        self.c_open(task)

    def submit(self, Task task, double now):
        self.c_submit(task, now)

    def require_room(self, Route route, share, Py_ssize_t size):
        self.c_require_room(route, share, size)

    def enqueue(self, Task task, bint front=False):
        self.c_enqueue(task, front)

    def left_queue(self, Task task):
        self.c_left_queue(task)

    def serve(self, Pool pool, double now):
        self.c_serve(pool, now)

    def serve_route(self, Route route, double now):
        self.c_serve_route(route, now)

    def give(self, Worker worker, Task task, double now):
        self.c_give(worker, task, now)

    def end_round(self):
        self.c_end_round()

    def results(self, Worker worker, list items, double now):
        self.c_results(worker, [answer_of(item) for item in items], now)

    def result(self, Task task, item, double now):
        self.c_result(task, answer_of(item), now)

    def finish(self, Task task, str code, bytes body, double now, ran_us=None):
        self.c_finish(task, code, body, now, -1 if ran_us is None else ran_us)

    def remember(self, Task task, bytes body, meta, double now):
        mark = task.fingerprint or b""
        entry = Remembered(mark, body, task.encoding, meta, task.arrived, now)
        self._memory.put(task.key, entry)

    def reply(self, Request waiter, bytes body, meta, encoding):
        body = whole_of(waiter, body, encoding)
        if meta is not None and waiter.has_meta:
            body = _with_meta(body, meta, encoding)
        self.c_send(waiter, body)

    def close(self, Task task):
        self.c_close(task)


cdef bytes whole_of(Request waiter, bytes body, encoding):
    """Return what may be sent to ``waiter``: in a pack, no part of an object."""
    if waiter.index is None or whole(body, encoding):
        return body
    message = f"a worker answered with something that is no {encoding.value} object"
    return _failure(TaskFailed(message), encoding)


cdef bint whole(bytes body, encoding) except -1:
    """Do what ``is_whole`` does of a short body in ASCII and JSON; leave all others to it."""
    cdef Py_ssize_t size = len(body)
    cdef Py_ssize_t at
    cdef const unsigned char *text = body
    cdef unsigned char bits = 0
    if encoding is not _JSON or size > SHALLOW:
        return _is_whole(body, encoding)
    for at in range(size):
        bits |= text[at]
    if bits > 127:
        return _is_whole(body, encoding)
    try:
        _json_whole(body)
        return True
    except DECODE_FAULTS:
        return False


cdef Py_ssize_t size_of(Task task) except -1:
    return 0 if task.body is None else len(task.body)
