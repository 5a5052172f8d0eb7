@cython.final
cdef class Counters:
    cdef public long long bad_requests, busy, expired, garbled, internal_errors, joined
    cdef public long long late_results, lost_workers, plain, recalled, redelivered
    cdef public long long refused_handshakes, replies, requests, resyncs, returned
    cdef public long long unauthorized, undeliverable, whohas_found, whohas_missing, worker_lost

    def as_dict(self):
        return {name: getattr(self, name) for name in NAMES}


cdef list NAMES = sorted(name for name in dir(Counters) if name[0] != "_" and name != "as_dict")
