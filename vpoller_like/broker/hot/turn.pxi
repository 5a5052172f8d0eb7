cdef class Turn:
    cdef public Machine _core
    cdef readonly object _doors, _clock, _gone, _lull
    cdef readonly Inbox _inbox
    cdef readonly list _replies
    cdef readonly Packs _packs
    cdef public dict _perform
    cdef public double _next_tick, _due
    # Of the doors.
    cdef object _poll, _front, _front_socket, _front_outbox
    cdef object _back, _back_socket, _back_outbox, _admin_outbox
    cdef set _busy
    cdef object _any_event, _attempts

    def __init__(self, Machine core, doors, Inbox inbox, list replies, clock):
        from vpoller_like.broker.gone import Gone
        from vpoller_like.broker.lull import Lull
        from vpoller_like.broker.packs import attempts
        from vpoller_like.broker.turn import worker_event

        self._core = core
        self._doors = doors
        self._inbox = inbox
        self._clock = clock
        self._replies = replies
        self._packs = Packs()
        self._gone = Gone(self._packs)
        self._lull = Lull()
        self._perform = {}
        self._next_tick = 0.0
        self._due = 0.0
        self._poll = doors.poll
        self._front, self._back = doors.frontend, doors.backend
        self._front_socket, self._back_socket = doors.frontend.socket, doors.backend.socket
        self._front_outbox, self._back_outbox = doors.frontend_outbox, doors.backend_outbox
        self._admin_outbox = doors.admin_outbox
        self._busy = doors.busy
        self._any_event = worker_event
        self._attempts = attempts

    def turn(self):
        cdef set ready = self._wait()
        if self._is_rare(ready):
            self.seldom(ready)
        self._frontend(ready)
        self._backend(ready)
        if self._gone.any:
            self.gone_workers(ready)
        if self._replies:
            self._c_send_replies()
        if self._packs.open:
            self._c_send_packs()

    # Time

    cdef set _wait(self):
        lull, poll = self._lull, self._poll
        self._due = min(
            self._next_tick,
            <double>self._front_outbox.due,
            <double>self._back_outbox.due,
            <double>self._admin_outbox.due,
        )
        if not lull.is_stirred and not self._core.is_idle:
            lull.stir()
        if self._gone.any or self._inbox.messages:
            return poll.wait(0.0)
        if not lull.is_on:
            return poll.wait(self._due - <double>self._clock())
        if lull.has_heard:
            return poll.wait(self._due - <double>self._clock(), self._back)
        ready = poll.wait(0.0)
        lull.has_heard = self._back_socket not in ready
        return ready

    cdef bint _is_rare(self, set ready) except -1:
        return not ready or not ready <= self._busy or <double>self._clock() >= self._due

    # What comes in

    cdef int _frontend(self, set ready) except -1:
        cdef Inbox inbox = self._inbox
        if not inbox.messages:
            inbox.messages.extend(self._front.receive(self._front_socket in ready))
        if inbox.messages:
            self._c_feed_all(inbox.c_take(self._front.asks_users))
        return 0

    cdef int _backend(self, set ready) except -1:
        cdef list messages = self._back.receive(self._back_socket in ready)
        if not messages:
            return 0
        if self._back.asks_users:
            self._c_feed_all(filter(None, map(self.allowed, messages)))
        else:
            self._c_feed_all([self._event(message) for message in messages])
        return 0

    cdef object _event(self, message):
        """Do what ``worker_event`` does of results; leave all others to it."""
        cdef list frames = message[0]
        cdef WorkerSays event
        if len(frames) == 3 and not message[1] and frames[1] == RESULTS_BYTE:
            answers = read_answers(frames[2])
            if answers is None:
                return self._any_event(message)
            event = WorkerSays.__new__(WorkerSays)
            event.peer = frames[0]
            event.key = ""
            event.frame = frames[2]
            event.answers = answers
            return event
        return self._any_event(message)

    # What goes out

    cdef int _c_feed_all(self, events) except -1:
        cdef double now = self._clock()
        # Held while it runs: something may take its place meanwhile.
        cdef Machine core = self._core
        for action in core.c_handle_all(events, now, self.log_fault):
            if type(action) is Reply:
                self._replies.append(action)
            elif type(action) is Give:
                self._packs.add(<Give>action)
            else:
                self._perform[type(action)](action)
        return 0

    cdef int _c_send_replies(self) except -1:
        cdef Py_ssize_t lost = 0
        messages = c_reply_messages(self._replies)
        self._replies.clear()
        for outcome in self._front_outbox.send_all(messages):
            lost += outcome is not SENT
        if lost:
            self.undeliverable(lost)
        return 0

    cdef int _c_send_packs(self) except -1:
        for peer, frame in self._packs.c_take():
            if not self._c_tell((peer, TASKS_BYTE, frame)):
                self._gone.keep(peer, self._attempts(_read_tasks(frame).items))
        return 0

    cdef bint _c_tell(self, tuple frames) except -1:
        if self._back_outbox.send(frames) is SENT:
            return True
        self._gone.note([frames[0]])
        return False

    # For Python

    def _feed_all(self, events):
        self._c_feed_all(events)

    def _send_replies(self):
        self._c_send_replies()

    def _send_packs(self):
        self._c_send_packs()

    def _tell(self, peer, message):
        return self._c_tell((peer, *_encode(message)))
