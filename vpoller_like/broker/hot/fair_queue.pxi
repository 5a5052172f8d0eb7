@cython.final
cdef class Line:
    """The tasks of one share, in a chain; it holds a reference to each of them."""

    cdef object share
    cdef void *first
    cdef void *last
    # Those whose turns are before and after.
    cdef Line before, after

    cdef void append(self, Task task) noexcept:
        task.line = <void *>self
        task.behind = NULL
        task.ahead = self.last
        if self.last != NULL:
            (<Task>self.last).behind = <void *>task
        else:
            self.first = <void *>task
        self.last = <void *>task
        Py_INCREF(task)

    cdef void prepend(self, Task task) noexcept:
        task.line = <void *>self
        task.ahead = NULL
        task.behind = self.first
        if self.first != NULL:
            (<Task>self.first).ahead = <void *>task
        else:
            self.last = <void *>task
        self.first = <void *>task
        Py_INCREF(task)

    cdef void remove(self, Task task) noexcept:
        if task.ahead != NULL:
            (<Task>task.ahead).behind = task.behind
        else:
            self.first = task.behind
        if task.behind != NULL:
            (<Task>task.behind).ahead = task.ahead
        else:
            self.last = task.ahead
        task.ahead = task.behind = task.line = NULL
        Py_DECREF(task)

    def __dealloc__(self):
        while self.first != NULL:
            self.remove(<Task>self.first)


@cython.final
cdef class Level:
    """The lines of one priority, in the order of their turns."""

    cdef dict lines
    cdef Line first, last

    def __cinit__(self):
        self.lines = {}

    cdef Line line(self, share):
        cdef Line found = self.last
        # Mostly it is that of the one before.
        if found is not None and found.share is share:
            return found
        found = self.lines.get(share)
        if found is None:
            found = Line.__new__(Line)
            found.share = share
            self.lines[share] = found
            self.put_last(found)
        return found

    cdef void put_last(self, Line line) except *:
        line.before, line.after = self.last, None
        if self.last is None:
            self.first = line
        else:
            self.last.after = line
        self.last = line

    cdef void put_first(self, Line line) except *:
        line.before, line.after = None, self.first
        if self.first is None:
            self.last = line
        else:
            self.first.before = line
        self.first = line

    cdef void take_out(self, Line line) except *:
        if line.before is None:
            self.first = line.after
        else:
            line.before.after = line.after
        if line.after is None:
            self.last = line.before
        else:
            line.after.before = line.before
        line.before = line.after = None

    cdef void remove(self, Line line) except *:
        self.take_out(line)
        del self.lines[line.share]


cdef void require_free(Task task) except *:
    """Raise where ``task`` waits already: in two chains at once it would tear both."""
    if task.line != NULL:
        raise ValueError(f"task {task.number} waits already")


@cython.final
cdef class FairQueue:
    # By priority.
    cdef dict _levels
    # The highest one, if there is any.
    cdef Level _top
    cdef readonly Py_ssize_t size

    def __init__(self):
        self._levels = {}

    def __len__(self):
        return self.size

    def __iter__(self):
        cdef Level level
        cdef Line line
        cdef void *at
        tasks = []
        for level in self._levels.values():
            line = level.first
            while line is not None:
                at = line.first
                while at != NULL:
                    tasks.append(<Task>at)
                    at = (<Task>at).behind
                line = line.after
        return iter(tasks)

    cdef Level _level(self, long priority):
        cdef Level found = self._levels.get(priority)
        if found is None:
            found = self._levels[priority] = Level.__new__(Level)
            self._find_top()
        return found

    cdef void _find_top(self) except *:
        self._top = self._levels[max(self._levels)] if self._levels else None

    cpdef void push(self, Task task) except *:
        require_free(task)
        self._level(task.priority).line(task.share).append(task)
        self.size += 1

    cpdef void push_front(self, Task task) except *:
        require_free(task)
        cdef Level level = self._level(task.priority)
        # Of no share: it is nobody's turn.
        cdef Line line = level.line(None)
        line.prepend(task)
        level.take_out(line)
        level.put_first(line)
        self.size += 1

    cpdef Task pop(self, double now):
        cdef Level level = self._top
        if not self.size:
            raise KeyError("the queue is empty")
        cdef Line line = level.first
        cdef Task task = <Task>line.first
        line.remove(task)
        self.size -= 1
        if line.first == NULL:
            self._close_line(level, line, task.priority)
        elif line.after is not None and line.share is not None and task.deadline >= now:
            level.take_out(line)
            level.put_last(line)
        return task

    cpdef void remove(self, Task task) except *:
        if task.line == NULL:
            raise KeyError(task.number)
        cdef Line line = <Line>task.line
        cdef Level level = self._levels[task.priority]
        if level.lines.get(line.share) is not line:
            raise KeyError(task.number)
        line.remove(task)
        self.size -= 1
        if line.first == NULL:
            self._close_line(level, line, task.priority)

    cdef void _close_line(self, Level level, Line line, long priority) except *:
        level.remove(line)
        if level.first is None:
            del self._levels[priority]
            self._find_top()
