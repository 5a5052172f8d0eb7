cdef class Debts:
    cdef readonly Runs runs
    cdef readonly Memory memory
    cdef readonly list _outboxes
    cdef public list unwanted

    def __init__(self, outboxes, Memory memory not None):
        cdef Outbox outbox
        self.runs = Runs()
        self.memory = memory
        self._outboxes = [outbox for outbox in outboxes]
        self.unwanted = []

    def take(self, long link, items, is_brief, double now):
        cdef Runs runs = self.runs
        cdef dict known = runs._known_to(link)
        taken = []
        for item in items:
            before = known.get(item.task)
            id_key = id_key_of(item)
            is_known = before is not None or (id_key is not None and id_key in runs._by_id)
            if not is_known or self._is_new(before, link, item, now):
                taken.append(runs._add(known, link, item, id_key, is_brief(item.method), now))
        return taken

    cpdef conclude(self, Run run, Finished outcome, double now):
        cdef Debt debt
        run.outcome = outcome
        if len(run.item.body) > LARGE:
            run.shed()
        if run._debts:
            for debt in run._debts:
                self._pay_one(run, outcome, debt, now)
        else:
            self._settle(run, now)

    def acknowledge(self, long link, long long seq, double now):
        self._paid(self._outbox(link).acknowledge(seq), now)

    def _is_new(self, known, link, item, now):
        raise NotImplementedError

    def _pay(self, Run run not None, Finished outcome not None, debts, double now):
        cdef Debt debt
        for debt in debts:
            self._pay_one(run, outcome, debt, now)

    cdef int _pay_one(self, Run run, Finished outcome, Debt debt, double now) except -1:
        run.unacknowledged += 1
        result = _Result(debt.task, debt.attempt, outcome.code, outcome.ran_us, outcome.body)
        return self._outbox(debt.link)._add(run, result, len(outcome.body), now)

    cdef Outbox _outbox(self, long link):
        if not 0 <= link < len(self._outboxes):
            raise IndexError(link)
        return <Outbox?>self._outboxes[link]

    cpdef _paid(self, runs, double now):
        cdef Run run
        for run in runs:
            run.unacknowledged -= 1
            if not run.unacknowledged:
                self._settle(run, now)

    cdef int _settle(self, Run run, double now) except -1:
        self.runs.settle(run)
        if run._id_key is None:
            return 0
        if run.outcome is None or run.outcome.code not in REMEMBERED:
            self.runs.forget(run)
            return 0
        for evicted in self.memory.keep(run, now):
            self.runs.forget(evicted)
        return 0
