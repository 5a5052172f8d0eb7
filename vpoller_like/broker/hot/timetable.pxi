@cython.final
cdef class Bucket:
    """What is due in one slot: tasks in a chain, with a reference to each, and other things."""

    cdef readonly long long slot
    cdef void *first
    cdef void *last
    cdef dict others

    def __cinit__(self):
        self.others = {}

    cdef void add(self, Task task) noexcept:
        task.bucket = <void *>self
        task.later = NULL
        task.sooner = self.last
        if self.last != NULL:
            (<Task>self.last).later = <void *>task
        else:
            self.first = <void *>task
        self.last = <void *>task
        Py_INCREF(task)

    cdef void remove(self, Task task) noexcept:
        if task.sooner != NULL:
            (<Task>task.sooner).later = task.later
        else:
            self.first = task.later
        if task.later != NULL:
            (<Task>task.later).sooner = task.sooner
        else:
            self.last = task.sooner
        task.sooner = task.later = task.bucket = NULL
        Py_DECREF(task)

    cdef list things(self):
        cdef void *at = self.first
        found = list(self.others.values())
        while at != NULL:
            found.append(<Task>at)
            at = (<Task>at).later
        return found

    def __dealloc__(self):
        while self.first != NULL:
            self.remove(<Task>self.first)


@cython.final
cdef class Timetable:
    cdef readonly dict _buckets
    cdef readonly list _order
    # The one that was used last: of many that are set now, most are due together.
    cdef Bucket _last

    def __init__(self):
        self._buckets = {}
        self._order = []

    def __iter__(self):
        cdef Bucket bucket
        for bucket in list(self._buckets.values()):
            yield from bucket.things()

    cdef Bucket _bucket(self, long long slot):
        cdef Bucket found = self._last
        if found is not None and found.slot == slot:
            return found
        found = self._buckets.get(slot)
        if found is None:
            found = Bucket.__new__(Bucket)
            found.slot = slot
            self._buckets[slot] = found
            heapq.heappush(self._order, slot)
        self._last = found
        return found

    cpdef void set(self, thing, double due) except *:
        cdef Bucket bucket
        cdef double grains = due / GRAIN
        cdef long long slot
        if -1e18 < grains < 1e18:
            slot = <long long>grains + 1
        else:
            # It raises, as what is no number at all does.
            slot = int(grains) + 1
        self.cancel(thing)
        bucket = self._bucket(slot)
        if type(thing) is Task:
            bucket.add(<Task>thing)
        else:
            bucket.others[thing.number] = thing
            thing.slot = bucket.slot

    cpdef void cancel(self, thing) except *:
        cdef Bucket bucket
        if type(thing) is Task:
            self.cancel_task(<Task>thing)
        elif thing.slot:
            bucket = self._buckets[thing.slot]
            thing.slot = 0
            del bucket.others[thing.number]
            self._tidy(bucket)

    cdef void cancel_task(self, Task task) except *:
        cdef Bucket bucket
        if task.bucket != NULL:
            bucket = <Bucket>task.bucket
            bucket.remove(task)
            if bucket.first == NULL:
                self._tidy(bucket)

    cdef void _tidy(self, Bucket bucket) except *:
        if bucket.first != NULL or bucket.others:
            return
        del self._buckets[bucket.slot]
        if self._last is bucket:
            self._last = None
        if len(self._order) > 2 * len(self._buckets) + SLACK:
            self._order = list(self._buckets)
            heapq.heapify(self._order)

    def pop_due(self, double now):
        cdef Bucket bucket
        cdef Task task
        while self._order and self._order[0] * GRAIN <= now:
            slot = self._order[0]
            bucket = self._buckets.get(slot)
            if bucket is None:
                heapq.heappop(self._order)
                continue
            while bucket.first != NULL:
                task = <Task>bucket.first
                self.cancel_task(task)
                yield task
            for thing in list(bucket.others.values()):
                # It may have been taken out meanwhile.
                if thing.slot == slot:
                    self.cancel(thing)
                    yield thing
