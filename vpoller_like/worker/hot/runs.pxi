@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Debt:
    cdef readonly long link
    cdef readonly object task, attempt

    def __init__(self, long link, task, attempt):
        self.link = link
        self.task = task
        self.attempt = attempt

    def __eq__(self, other):
        if type(other) is not Debt:
            return NotImplemented
        cdef Debt debt = <Debt>other
        return self.link == debt.link and self.task == debt.task and self.attempt == debt.attempt

    def __hash__(self):
        return hash((self.link, self.task, self.attempt))

    def __repr__(self):
        return f"Debt(link={self.link!r}, task={self.task!r}, attempt={self.attempt!r})"


cdef Debt new_debt(long link, task, attempt):
    cdef Debt debt = Debt.__new__(Debt)
    debt.link = link
    debt.task = task
    debt.attempt = attempt
    return debt


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Finished:
    cdef readonly long long key, ran_us
    # As the host has them: a code may be a member of an enumeration.
    cdef readonly object code, body

    def __init__(self, long long key, code, long long ran_us, body):
        self.key = key
        self.code = code
        self.ran_us = ran_us
        self.body = body

    cdef tuple _fields(self):
        return (self.key, self.code, self.ran_us, self.body)

    def __eq__(self, other):
        if type(other) is not Finished:
            return NotImplemented
        return self._fields() == (<Finished>other)._fields()

    def __hash__(self):
        return hash(self._fields())

    def __repr__(self):
        return (
            f"Finished(key={self.key!r}, code={self.code!r}, ran_us={self.ran_us!r}, "
            f"body={self.body!r})"
        )


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Run:
    cdef readonly long long key
    # Not to be replaced by one of another method, or with another id: see below.
    cdef readonly object item
    cdef public double given_at
    cdef public bint brief, slow
    cdef public Finished outcome
    cdef public long unacknowledged
    # Of the item, which is found there after a while.
    cdef str _method
    # What it is found by where it has an id.
    cdef tuple _id_key
    # The memory that it is in, those before and behind it there, and until when.
    cdef void *memory
    cdef void *older
    cdef void *newer
    cdef double until
    # None where there are none: those that are remembered have none, and there are many.
    cdef list _debts
    cdef double _started_at, _deadline
    cdef bint _has_started, _has_deadline

    def __init__(
        self,
        long long key,
        item,
        list debts,
        double given_at,
        bint brief=False,
        started_at=None,
        deadline=None,
        bint slow=False,
        Finished outcome=None,
        long unacknowledged=0,
    ):
        self.key = key
        self.item = item
        self.debts = debts
        self.given_at = given_at
        self.brief = brief
        self.started_at = started_at
        self.deadline = deadline
        self.slow = slow
        self.outcome = outcome
        self.unacknowledged = unacknowledged
        self._method = item.method
        self._id_key = id_key_of(item)

    @property
    def debts(self):
        if self._debts is None:
            self._debts = []
        return self._debts

    @debts.setter
    def debts(self, list debts not None):
        self._debts = debts

    @property
    def started_at(self):
        return self._started_at if self._has_started else None

    @started_at.setter
    def started_at(self, at):
        self._has_started = at is not None
        self._started_at = 0.0 if at is None else at

    @property
    def deadline(self):
        return self._deadline if self._has_deadline else None

    @deadline.setter
    def deadline(self, at):
        self._has_deadline = at is not None
        self._deadline = 0.0 if at is None else at

    def __repr__(self):
        return (
            f"Run(key={self.key!r}, item={self.item!r}, debts={self.debts!r}, "
            f"given_at={self.given_at!r}, brief={self.brief!r}, started_at={self.started_at!r}, "
            f"deadline={self.deadline!r}, slow={self.slow!r}, outcome={self.outcome!r}, "
            f"unacknowledged={self.unacknowledged!r})"
        )

    @property
    def encoding(self):
        return _encoding_of(self.item.body)

    cpdef shed(self):
        item = self.item
        self.item = _Assignment(
            item.task,
            item.attempt,
            item.method,
            item.hostname,
            item.principal,
            item.id,
            item.fingerprint,
            b"",
        )

    cpdef Debt debt_to(self, long link):
        cdef Debt debt
        for debt in reversed(self.debts):
            if debt.link == link:
                return debt
        return None

    def held_for(self, task, attempt):
        item = self.item
        return _Held(
            task, attempt, item.method, item.hostname, item.principal, item.id, item.fingerprint
        )

    def own_debt(self, long link):
        return self.debt_to(link) or new_debt(link, self.item.task, self.item.attempt)

    cdef double _slow_at(self):
        cdef double at = self._started_at
        return (at if at != 0.0 else self.given_at) + SLOW_SECONDS

    cdef double _next_look(self):
        cdef double deadline = self._deadline if self._has_deadline else NEVER
        return deadline if self.slow else min(deadline, self._slow_at())


@cython.final
cdef class Runs:
    cdef readonly dict waiting, running, stuck, numbers, _by_id
    cdef long long _keys

    def __init__(self):
        self.waiting = {}
        self.running = {}
        self.stuck = {}
        self.numbers = {}
        self._by_id = {}
        self._keys = 0

    cdef dict _known_to(self, link):
        known = self.numbers.get(link)
        if known is None:
            known = self.numbers[link] = {}
        return <dict?>known

    cdef Run _add(self, dict known, long link, item, tuple id_key, bint brief, double now):
        cdef Run run = Run.__new__(Run)
        self._keys += 1
        run.key = self._keys
        run.item = item
        task = item.task
        run._debts = [new_debt(link, task, item.attempt)]
        run.given_at = now
        run.brief = brief
        run._method = item.method
        self.waiting[run.key] = run
        known[task] = run
        run._id_key = id_key
        if id_key is not None:
            self._by_id[id_key] = run
        return run

    def add(self, long link, item, bint brief, double now):
        return self._add(self._known_to(link), link, item, id_key_of(item), brief, now)

    def by_task(self, link, task):
        return self._known_to(link).get(task)

    def by_id(self, principal, request_id):
        return None if request_id is None else self._by_id.get((principal, request_id))

    def owe(self, Run run not None, Debt debt not None):
        run.debts.append(debt)
        self._known_to(debt.link).setdefault(debt.task, run)

    def release(self, Run run not None, Debt debt not None):
        cdef Debt other
        run.debts.remove(debt)
        for other in run.debts:
            if other.link == debt.link and other.task == debt.task:
                return
        known = self._known_to(debt.link)
        if known.get(debt.task) is run:
            del known[debt.task]

    cpdef Run start(self, key, at):
        cdef Run run = self.waiting.pop(key, None)
        if run is not None:
            run.started_at = at
            self.running[key] = run
        return run

    cpdef Run finish(self, key):
        cdef Run run = self.waiting.pop(key, None)
        if run is None:
            run = self.running.pop(key, None)
        if run is None:
            self.stuck.pop(key, None)
        return run

    def give_up(self, Run run not None):
        self.stuck[run.key] = self.running.pop(run.key)

    def withdraw(self, key):
        cdef Run run = self.waiting.pop(key, None)
        if run is not None:
            self.forget(run)
        return run

    cpdef settle(self, Run run):
        cdef Debt debt
        cdef dict known
        if run._debts is None:
            return
        for debt in run._debts:
            known = self._known_to(debt.link)
            if known.get(debt.task) is run:
                del known[debt.task]
        run._debts = None

    cpdef forget(self, Run run):
        self.settle(run)
        if run._id_key is not None:
            found = self._by_id.pop(run._id_key, None)
            if found is not None and found is not run:
                self._by_id[run._id_key] = found

    def owed_to(self, long link):
        cdef Run run
        cdef Debt debt
        found = []
        for run in [*self.running.values(), *self.waiting.values()]:
            for debt in run.debts:
                if debt.link == link:
                    found.append((run, debt))
        return found

    cpdef list slow(self):
        cdef Run run
        return [run for run in self.running.values() if run.slow]

    @property
    def occupied(self):
        return len(self.running) + len(self.stuck)

    @property
    def unfinished(self):
        return bool(self.waiting or self.running)


cdef tuple id_key_of(item):
    """Return what a run of ``item`` is found by; None where it has no id."""
    cdef tuple key
    request_id = item.id
    if request_id is None:
        return None
    key = (item.principal, request_id)
    # As the collector does when it first sees that there are only texts in it.
    PyObject_GC_UnTrack(<void *>key)
    return key
