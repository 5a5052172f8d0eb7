cdef class Machine:
    cdef readonly list _out
    cdef public dict _handlers
    cdef public Flow _flow

    def __init__(self):
        self._out = []
        self._handlers = {}

    def handle(self, event, double now):
        self._handlers[type(event)](event, now)
        return self._take_actions()

    def handle_all(self, events, double now, on_fault):
        return self.c_handle_all(events, now, on_fault)

    cdef list c_handle_all(self, events, double now, on_fault):
        cdef dict handlers = self._handlers
        for event in events:
            try:
                handlers[type(event)](event, now)
            except Exception as error:
                self.failed(event, now)
                on_fault(error, event)
        return self._take_actions()

    cdef list _take_actions(self):
        cdef list actions
        self._flow.c_end_round()
        actions = self._out[:]
        self._out.clear()
        return actions
