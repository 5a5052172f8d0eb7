cdef class Flow:
    cdef readonly list _links
    cdef readonly Debts _ledger
    cdef readonly Runs _runs
    cdef readonly object _timeouts, _departure
    cdef readonly Pace _pace
    cdef readonly long _threads
    cdef public bint _exited
    cdef public object _links_due
    cdef public list _out
    cdef public dict _handlers, _answers
    cdef list _outboxes

    def __init__(self, links, Debts ledger not None, timeouts, long threads):
        _bind()
        self._links = list(links)
        self._ledger = ledger
        self._outboxes = ledger._outboxes
        self._runs = ledger.runs
        self._timeouts = timeouts
        self._threads = threads
        self._pace = Pace()
        self._departure = _Departure()
        self._exited = False
        self._links_due = None
        self._out = []
        self._handlers = {}
        self._answers = {}

    def handle(self, event, double now):
        return self._handle(event, now)

    cdef list _handle(self, event, double now):
        if self._exited:
            return []
        kind = type(event)
        if kind is _Received:
            return self._hear(event.link, event.message, now)
        if kind is _Progress:
            return self._note(event.started, event.finished, now)
        self._handlers[kind](event, now)
        return self._conclude(now)

    cdef list _hear(self, Py_ssize_t index, message, double now):
        if self._exited:
            return []
        self._received(index, message, now)
        return self._conclude(now)

    cdef list _note(self, started, finished, double now):
        if self._exited:
            return []
        self._progress(started, finished, now)
        return self._conclude(now)

    cdef list _conclude(self, double now):
        cdef Py_ssize_t index
        cdef list actions
        for index in range(len(self._outboxes)):
            if (<Outbox?>self._outboxes[index])._waits:
                self._flush(index, now)
        if self._departure.leaving:
            self._depart(now)
        actions = self._out
        self._out = []
        return actions

    def next_due(self, double now):
        cdef double due = self._next_due(now)
        return None if self._exited else due

    cdef double _next_due(self, double now) except? -1:
        # Nothing that counts after Exit.
        cdef double due
        cdef Run run
        if self._exited:
            return NEVER
        if self._links_due is None:
            due = now + 1.0 if not self._links else NEVER
            for link in self._links:
                due = min(due, self._link_due(<Standing?>link, now))
            self._links_due = due
        else:
            due = self._links_due
        if self._departure.leaving:
            due = min(due, <double>self._departure.next_due())
        if self._runs.waiting:
            due = min(due, now + FLUSH_SECONDS, self._flush_due())
        if self._runs.running:
            for run in self._runs.running.values():
                due = min(due, run._next_look())
        return due if due > now else now

    cdef double _link_due(self, Standing link, double now) except? -1:
        cdef double due = link.next_due()
        cdef Grant told = link.told
        if link.welcomed and _is_news(told, self._grant(link, now)):
            due = min(due, link._told_at + GRANT_PAUSE)
        return due

    cdef double _flush_due(self) except? -1:
        cdef double due = NEVER
        cdef Py_ssize_t index
        cdef Outbox outbox
        for index in range(len(self._outboxes)):
            outbox = self._outboxes[index]
            if outbox._waits and (<Standing?>self._links[index]).welcomed:
                due = min(due, outbox._since + FLUSH_SECONDS)
        return due

    # What comes in ---------------------------------------------------------------------

    cdef int _received(self, Py_ssize_t index, message, double now) except -1:
        # Held here: what it calls in Python may do anything to this core, even begin it anew.
        cdef Debts ledger = self._ledger
        if not 0 <= index < len(self._links):
            raise IndexError(index)
        cdef Standing link = self._links[index]
        kind = type(message)
        link.heard_at = now
        if kind is _Tasks:
            self._tasks(ledger, index, link, message, now)
        elif kind is _Ack:
            ledger._paid(ledger._outbox(index).acknowledge(message.seq), now)
        else:
            if kind is not _Alive:
                self._links_due = None
            self._answers[kind](link, message, now)
        if ledger.unwanted:
            self._recall(ledger.take_unwanted())
        return 0

    cdef int _tasks(self, Debts ledger, long index, Standing link, message, double now) except -1:
        cdef list items, runs
        if message.session != link.session:
            return 0
        items = message.items
        if self._departure.leaving:
            self._return(link, [_Attempt(item.task, item.attempt) for item in items], now)
            return 0
        runs = ledger.take(index, items, self._pace.is_brief, now)
        if runs:
            self._out.append(_Submit(runs))
        if len(runs) < len(items):
            self._links_due = None
        return 0

    cdef int _progress(self, all_started, all_finished, double now) except -1:
        cdef Debts ledger = self._ledger
        cdef Run run
        cdef Finished finished
        for started in all_started:
            run = self._runs.start(started.key, started.at)
            if run is not None:
                run._deadline, run._has_deadline = started.at + self._timeouts.of(run), True
        for finished in all_finished:
            run = self._runs.finish(finished.key)
            if run is None:
                continue
            if run.slow or not run._debts:
                self._links_due = None
            self._pace.note(run._method, <double>finished.ran_us / 1e6, now)
            ledger.conclude(run, finished, now)
        return 0

    # What goes out ---------------------------------------------------------------------

    cdef int _flush(self, Py_ssize_t index, double now) except -1:
        cdef Outbox outbox = self._outboxes[index]
        cdef Pack pack
        cdef list results
        cdef Standing link = self._links[index]
        cdef Grant grant
        if not link.welcomed or (self._runs.waiting and now < outbox._since + FLUSH_SECONDS):
            self._links_due = None
            return 0
        grant = self._tell(link, now)
        for pack in outbox.take_packs():
            results = pack.results
            max_reply = link.max_reply
            if pack.bytes > max_reply:
                results = [_within(result, max_reply) for result in results]
            message = _Results(pack.seq, grant.slots, grant.ahead, results)
            self._out.append(_Send(index, message))
        return 0

    def _recall(self, keys):
        asked = list(keys)
        if asked:
            self._out.append(_Recall(asked))

    cpdef Grant _tell(self, Standing link, double now):
        cdef Grant grant = self._grant(link, now)
        if link.tell(grant, now):
            self._links_due = None
        return grant

    cpdef Grant _grant(self, Standing link, double now):
        if self._departure.leaving:
            return NOTHING
        return _grant_to(link.index, self._threads, self._runs, self._pace, now)

    # Who derives from it ---------------------------------------------------------------

    def _return(self, link, attempts, now):
        raise NotImplementedError

    def _depart(self, now):
        raise NotImplementedError
