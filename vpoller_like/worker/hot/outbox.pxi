@cython.final
@cython.no_gc
cdef class Pack:
    cdef readonly long long seq
    cdef readonly list runs, results
    cdef readonly Py_ssize_t bytes

    def __init__(self, long long seq, list runs not None, list results not None, Py_ssize_t bytes):
        self.seq = seq
        self.runs = runs
        self.results = results
        self.bytes = bytes

    cdef tuple _fields(self):
        return (self.seq, self.runs, self.results, self.bytes)

    def __eq__(self, other):
        if type(other) is not Pack:
            return NotImplemented
        return self._fields() == (<Pack>other)._fields()

    def __hash__(self):
        return hash(self._fields())

    def __repr__(self):
        return (
            f"Pack(seq={self.seq!r}, runs={self.runs!r}, results={self.results!r}, "
            f"bytes={self.bytes!r})"
        )


@cython.final
cdef class Outbox:
    cdef double _since
    cdef bint _waits
    cdef list _runs, _results
    cdef Py_ssize_t _bytes
    cdef object _sent
    cdef long long _seq

    def __init__(self):
        self._waits = False
        self._runs = []
        self._results = []
        self._bytes = 0
        self._sent = deque()
        self._seq = 0

    @property
    def since(self):
        return self._since if self._waits else None

    def __iter__(self):
        cdef Pack pack
        found = []
        for pack in self._sent:
            found.extend(zip(pack.runs, pack.results, strict=True))
        found.extend(zip(self._runs, self._results, strict=True))
        return iter(found)

    def __bool__(self):
        return bool(self._sent) or bool(self._results)

    def add(self, Run run not None, result, double now):
        self._add(run, result, len(result.body), now)

    cdef int _add(self, Run run, result, Py_ssize_t size, double now) except -1:
        self._runs.append(run)
        self._results.append(result)
        self._bytes += size
        if not self._waits:
            self._waits = True
            self._since = now
        return 0

    cpdef list take_packs(self):
        cdef list runs = self._runs, results = self._results
        cdef Py_ssize_t total = self._bytes, first = 0, last = 0, part = 0, size
        self._runs, self._results, self._bytes, self._waits = [], [], 0, False
        if total <= MAX_PACK:
            return [self._pack(runs, results, total)] if results else []
        packs = []
        for result in results:
            size = len(result.body)
            if last > first and part + size > MAX_PACK:
                packs.append(self._pack(runs[first:last], results[first:last], part))
                first, part = last, 0
            last += 1
            part += size
        packs.append(self._pack(runs[first:last], results[first:last], part))
        return packs

    cdef Pack _pack(self, list runs, list results, Py_ssize_t size):
        cdef Pack pack = Pack.__new__(Pack)
        self._seq += 1
        pack.seq = self._seq
        pack.runs = runs
        pack.results = results
        pack.bytes = size
        self._sent.append(pack)
        return pack

    def acknowledge(self, long long seq):
        settled = []
        if seq > self._seq:
            return settled
        while self._sent and (<Pack?>self._sent[0]).seq <= seq:
            settled.extend((<Pack?>self._sent.popleft()).runs)
        return settled

    def rewind(self, double now):
        unsent = list(self)
        self._sent.clear()
        self._seq = 0
        self._hold(unsent)
        self._waits, self._since = bool(unsent), now

    def discard(self, unwanted):
        cdef Py_ssize_t index
        dropped, kept = [], []
        for index in range(len(self._runs)):
            run = self._runs[index]
            if unwanted(run):
                dropped.append(run)
            else:
                kept.append((run, self._results[index]))
        self._hold(kept)
        if not self._results:
            self._waits = False
        return dropped

    cdef _hold(self, list unsent):
        self._runs = [run for run, _ in unsent]
        self._results = [result for _, result in unsent]
        self._bytes = sum([len(result.body) for result in self._results])
